"""What it takes to start: one training run, Python's imports, Snakemake around the jobs.

    python benchmarks/startup.py            needs results/tiny, of `make reproduce`

Runs of the tiny scale that end after one step; their phases are the times of the files that a run
writes anyway. The parts alone are separate processes. Dry runs are timed in alternation with those
of a trivial Snakefile with as many jobs, so that other load slows both equally.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from common import ROOT, Goal, Table, command, train, write
from dag import TRIVIAL, against_trivial

PARTS = {
    "Python": "pass",
    "import lens_impl.experiments.settings": "import lens_impl.experiments.settings",
    "import lens_impl.training.supervisor": "import lens_impl.training.supervisor",
    "import torch": "import torch",
    "import ray and start it": "import ray; ray.init(num_cpus=2, include_dashboard=False)",
    "import verl's trainer": "import lens_impl.verl_plugin.trainer",
    "load the model": "from transformers import AutoModelForCausalLM as M; M.from_pretrained({!r})",
}
PHASES = ("supervisor", "Ray, verl, workers, model", "first validation", "first step", "save, end")


def start(results: Path, folder: Path) -> list[float]:
    """Seconds of the phases of a run of one step."""
    before = time.time()
    checkpoints = train(results, folder, {"steps": 1, "validate_every": 1, "dump_every": 0})
    after = time.time()
    marks = ["request.json", "verl_config.json", "validation/step_0.parquet", "metrics.jsonl"]
    times = [before, *((checkpoints / mark).stat().st_mtime for mark in marks), after]
    return [later - earlier for earlier, later in zip(times, times[1:], strict=False)]


def parts(model: Path, rounds: int) -> dict[str, float]:
    """Median seconds of each part in a process of its own, in turn."""
    found: dict[str, list[float]] = {name: [] for name in PARTS}
    for _ in range(rounds):
        for name, code in PARTS.items():
            found[name].append(command(sys.executable, "-c", code.format(str(model)))[0])
    return {name: median(values) for name, values in found.items()}


def seconds_a_job(folder: Path) -> float:
    """What Snakemake adds to a job that does nothing: 21 of them less 1."""
    seconds = []
    for jobs in (1, 21):
        place = folder / f"{jobs} jobs"
        place.mkdir()
        (place / "Snakefile").write_text(TRIVIAL.format(jobs=jobs + 1))
        snakemake = (sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all")
        seconds.append(command(*snakemake, folder=place)[0])
    return (seconds[1] - seconds[0]) / 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "tiny")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    results = arguments.results.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = [start(results, folder / str(i)) for i in range(arguments.rounds)]
        alone = parts(results / "models" / "tiny", arguments.rounds)
        ours, trivial, jobs = against_trivial(
            folder, arguments.rounds, "--config", "scale=tiny", "--forceall"
        )
        each = seconds_a_job(folder)
    phases = [median(values) for values in zip(*starts, strict=True)]
    ready = median(values[0] + values[1] for values in starts)
    imports = alone["import lens_impl.experiments.settings"] - alone["Python"]
    goals = [
        Goal(
            "start of a run until its workers are ready",
            "under 25 s",
            ready < 25,
            f"{ready:.1f} s",
        ),
        Goal(
            "imports of lens_impl.experiments.settings",
            "under 0.3 s",
            imports < 0.3,
            f"{imports:.2f} s",
        ),
        Goal(
            f"`snakemake -n` of tiny, {jobs} jobs, against a trivial Snakefile",
            "at most 1.3 x",
            ours / trivial <= 1.3,
            f"{ours:.2f} s",
            peer=f"{trivial:.2f} s",
            ratio=f"{ours / trivial:.2f}",
        ),
    ]
    tables = [
        Table(
            "A run of one step",
            ["phase", "s"],
            [[name, f"{value:.1f}"] for name, value in zip(PHASES, phases, strict=True)],
        ),
        Table(
            "Parts in a process of their own",
            ["part", "s"],
            [[name, f"{value:.2f}"] for name, value in alone.items()]
            + [["Snakemake, a job that does nothing", f"{each:.2f}"]],
        ),
    ]
    write("startup", __doc__.split("\n\n")[-1].strip(), goals, tables)


if __name__ == "__main__":
    main()
