"""Dry run of 2,000 jobs of this workflow, compared with a trivial Snakefile with as many jobs.

    python benchmarks/dag.py        prints both times and their ratio

The two are timed in alternation, so that other load slows both equally.
"""

import re
import sys
import tempfile
from pathlib import Path

from common import ROOT, command, in_turn

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


def dry_run(folder: Path, *arguments: object) -> tuple[float, int]:
    """(seconds, jobs) of one dry run."""
    snakemake = (sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules")
    seconds, output = command(*snakemake, *arguments, folder=folder)
    # Snakemake prints the table of jobs twice.
    return seconds, int(re.findall(r"^total +(\d+)$", output, re.M)[-1])


def against_trivial(folder: Path, rounds: int, *ours: object) -> tuple[float, float, int]:
    """(seconds of the project with these arguments, of the trivial Snakefile, jobs), medians."""
    ours = ("--cores", "1", "--nolock", "--directory", ROOT, *ours)
    _, jobs = dry_run(ROOT, *ours)
    (folder / "Snakefile").write_text(TRIVIAL.format(jobs=jobs))
    ways = {
        "ours": lambda: dry_run(ROOT, *ours),
        "trivial": lambda: dry_run(folder, "--cores", "1"),
    }
    seconds = in_turn(ways, rounds)
    return seconds["ours"], seconds["trivial"], jobs


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        overlay = Path(name) / "overlay.yaml"
        # A run is 10 jobs: itself, 8 shards, and their score.
        overlay.write_text(OVERLAY.format(seeds=list(range(99))))
        paper = ("--configfile", overlay, "--config", "scale=paper", "--")
        ours, trivial, jobs = against_trivial(Path(name), ROUNDS, *paper, "all")
    print(f"{jobs} jobs, median of {ROUNDS} dry runs: ours {ours:.2f} s, trivial {trivial:.2f} s")
    print(f"ratio {ours / trivial:.2f}")


if __name__ == "__main__":
    main()
