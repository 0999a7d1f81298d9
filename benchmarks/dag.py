"""Dry run of 2,000 jobs of this workflow against a trivial Snakefile's of as many jobs.

    python benchmarks/dag.py        prints both times and their ratio

The two are timed in turn, so that what else the machine does meets both.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
OVERLAY = """
experiments:
  - {{model: qwen-2-5-3b-base, mix: math-dapo, methods: [grpo, lens], seeds: {seeds}}}
"""
TRIVIAL = """
rule all:
    input: expand("made/{{i}}", i=range({jobs} - 1))

rule make:
    output: "made/{{i}}"
    shell: "touch {{output}}"
"""


def dry_run(folder: Path, *arguments: str) -> tuple[float, int]:
    """(seconds, jobs) of one dry run."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout)
    return seconds, int(re.search(r"^total +(\d+)$", done.stdout, re.M).group(1))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A training is 10 jobs: itself, 8 shards, and their score.
        (folder / "overlay.yaml").write_text(OVERLAY.format(seeds=list(range(99))))
        ours = ["--configfile", str(folder / "overlay.yaml"), "--config", "scale=paper"]
        ours += ["--cores", "1", "--directory", str(ROOT), "--nolock", "all"]
        _, jobs = dry_run(ROOT, *ours)
        (folder / "Snakefile").write_text(TRIVIAL.format(jobs=jobs))
        times: dict[str, list[float]] = {"ours": [], "trivial": []}
        for _ in range(ROUNDS):
            times["ours"].append(dry_run(ROOT, *ours)[0])
            times["trivial"].append(dry_run(folder, "--cores", "1")[0])
        seconds = {kind: median(values) for kind, values in times.items()}
    print(
        f"{jobs} jobs, median of {ROUNDS} dry runs: "
        + ", ".join(f"{kind} {value:.2f} s" for kind, value in seconds.items())
    )
    print(f"ratio {seconds['ours'] / seconds['trivial']:.2f}")


if __name__ == "__main__":
    main()
