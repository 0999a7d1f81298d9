"""The main job after the fact: what `make reproduce` took, its critical path, its memory.

    python benchmarks/main_job.py           reads results/tiny and Snakemake's records of it

The seconds of the workflow are from the start of the first job to the end of the last; they leave
out installation and `make report`. The chart is that of `lens timeline`; MiB is the largest
resident set of a job with all its processes.
"""

import argparse
from pathlib import Path

from common import RESULTS, ROOT, Goal, Table, write

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import evaluated, planned_runs
from lens_impl.files import read_json, read_jsonl
from lens_impl.report.jobs import longest_chain, read_jobs, seconds_at_once, without_idle_times
from lens_impl.report.timeline import write_timeline

MINUTES, GIB = 12, 8


def steps_table(results: Path, runs: list[str]) -> Table:
    """Where the seconds of the runs went, by phase, all steps together."""
    rows = []
    for run in runs:
        lines = read_jsonl(results / "runs" / run / "metrics.jsonl")
        phases = ("rollout", "old_log_prob", "advantage", "update", "queue", "validation", "step")
        sums = {name: sum(line["seconds"].get(name, 0.0) for line in lines) for name in phases}
        whole = read_json(results / "runs" / run / "manifest.json")["seconds"]
        # The step holds the phases before it but the queue's put; validations come on top of it.
        outside = whole - sums["step"] - sums["validation"]
        rows.append([run, *(f"{value:.0f}" for value in sums.values()), f"{outside:.0f}"])
    return Table("Seconds of the runs", ["run", *phases, "start and end"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="the project's folder")
    root = parser.parse_args().root.resolve()
    config = load("tiny", root)
    trained = planned_runs(config)
    runs, names = [run.name for run in trained], evaluated(trained)
    text = write_timeline(root, "tiny", names, RESULTS)
    jobs = read_jobs(root, "tiny", names)
    moved, _ = without_idle_times(jobs)
    wall = max(job.end for job in moved) / 60
    chain = sum(job.seconds for job in longest_chain(moved)) / 60
    places = len(seconds_at_once(moved)) - 1
    work = sum(job.seconds for job in moved) / 60 / places
    training = max(job.memory for job in jobs if job.rule == "train" and job.memory) / 1024
    goals = [
        Goal(
            "`make reproduce` from empty to end, after installation",
            f"at most {MINUTES} min",
            wall <= MINUTES,
            f"{wall:.1f} min",
            floor=f"{max(chain, work):.1f} min: "
            + (f"work / {places}" if work > chain else "longest chain"),
            ratio=f"{wall / max(chain, work):.2f}",
        ),
        Goal(
            "memory of a run at tiny scale",
            f"under {GIB} GiB",
            training < GIB,
            f"{training:.1f} GiB",
        ),
    ]
    results = root / "results" / "tiny"
    about = __doc__.split("\n\n")[-1].strip() + f"\n\n{text}\n\n![timeline](timeline.png)"
    write("main_job", about, goals, [steps_table(results, runs)])


if __name__ == "__main__":
    main()
