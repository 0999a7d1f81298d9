"""When each job of a scale ran, by Snakemake's own records, and what bounded the whole.

Start, end and inputs of a job are in .snakemake/metadata (one JSON file per output, named by the
base64 of its path), seconds and memory in results/<scale>/benchmarks/, under the name of the job's
log. On a cluster a job starts when it is submitted.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from itertools import chain, pairwise
from pathlib import Path

from lens_impl.errors import UserError

IDLE_SECONDS = 60.0  # a longer time without any job is one between two calls of the workflow


@dataclass(frozen=True)
class Job:
    """One job of the workflow. start, end: seconds, UNIX time; needs: names of other jobs.

    measured: seconds of its command; memory: largest resident set of its processes in MiB, which
    counts shared pages more than once; None where the rule has no benchmark file.
    """

    name: str
    rule: str
    start: float
    end: float
    needs: tuple[str, ...] = ()
    measured: float | None = None
    memory: float | None = None

    @property
    def seconds(self) -> float:
        return self.end - self.start


def read_jobs(root: Path, scale: str, runs: Collection[str]) -> list[Job]:
    """The jobs that made results/<scale>/ of the project at `root`, by start.

    runs: names of training runs and base models; the jobs of others, from experiments of another
    time, are left out. UserError where Snakemake has kept no record of any.
    """
    results = f"results/{scale}/"
    found: dict[str, dict] = {}
    producer: dict[str, str] = {}
    for output, record in _records(root / ".snakemake" / "metadata"):
        if not output.startswith(results) or not record.get("starttime") or not record["log"]:
            continue
        folder, _, inside = output.removeprefix(results).partition("/")
        if folder == "runs" and inside.split("/")[0] not in runs:
            continue
        name = record["log"][0].removeprefix(f"{results}logs/").removesuffix(".log")
        producer[output] = name
        job = found.setdefault(name, {**record, "endtime": 0.0})
        # A record's end is its file's time, and a job may write one of its files early.
        job["starttime"] = min(job["starttime"], record["starttime"])
        job["endtime"] = max(job["endtime"], record["endtime"], job["starttime"])
    if not found:
        raise UserError(
            f"{root / results}: Snakemake has no record of a job that made anything there. "
            f"Hint: run the workflow first, here with `make reproduce SCALE={scale}`."
        )
    jobs = [
        Job(
            name=name,
            rule=job["rule"],
            start=job["starttime"],
            end=job["endtime"],
            needs=tuple(sorted({producer[file] for file in job["input"] if file in producer})),
            **_measured(root / results / "benchmarks" / f"{name}.tsv"),
        )
        for name, job in found.items()
    ]
    return sorted(jobs, key=lambda job: (job.start, job.name))


def _records(folder: Path) -> Iterator[tuple[str, dict]]:
    """(output, record) of every output; the name of a long one is split into folders."""
    for file in folder.rglob("*") if folder.is_dir() else []:
        if file.is_file():
            key = "".join(part.removeprefix("@") for part in file.relative_to(folder).parts)
            yield urlsafe_b64decode(key).decode(), json.loads(file.read_text(encoding="utf-8"))


def _measured(benchmark: Path) -> dict:
    if not benchmark.exists():
        return {}
    header, *rows = (line.split("\t") for line in benchmark.read_text().splitlines())
    values = dict(zip(header, rows[-1], strict=True))
    # Snakemake writes a dash or NA for what it had no time to look at.
    memory = values["max_rss"]
    is_number = memory.replace(".", "", 1).isdigit()
    return {"measured": float(values["s"]), "memory": float(memory) if is_number else None}


def without_idle_times(jobs: list[Job]) -> tuple[list[Job], float]:
    """The jobs (by start) from time 0 on, without the times between calls; and their seconds."""
    busy_until, cut, moved = jobs[0].start, jobs[0].start, []
    for job in jobs:
        if job.start - busy_until > IDLE_SECONDS:
            cut += job.start - busy_until
        busy_until = max(busy_until, job.end)
        moved.append(replace(job, start=job.start - cut, end=job.end - cut))
    return moved, cut - jobs[0].start


def longest_chain(jobs: list[Job]) -> list[Job]:
    """The critical path: of all chains of jobs that need each other the one that takes longest."""
    by_name = {job.name: job for job in jobs}
    seconds: dict[str, float] = {}  # of the longest chain that ends with this job
    before: dict[str, Job | None] = {}  # the job before it in that chain
    for name in TopologicalSorter({job.name: job.needs for job in jobs}).static_order():
        needed = (by_name[need] for need in by_name[name].needs)
        before[name] = last = max(needed, key=lambda need: seconds[need.name], default=None)
        seconds[name] = by_name[name].seconds + (seconds[last.name] if last else 0.0)
    path = [by_name[max(seconds, key=seconds.__getitem__)]]
    while (previous := before[path[-1].name]) is not None:
        path.append(previous)
    return path[::-1]


def seconds_at_once(jobs: list[Job]) -> list[float]:
    """Seconds during which exactly 0, 1, 2, ... jobs ran, from the first start to the last end."""
    events = sorted(chain.from_iterable(((job.start, 1), (job.end, -1)) for job in jobs))
    seconds, running = [0.0], 0
    for (time, change), (later, _) in pairwise(events):
        running += change
        seconds += [0.0] * (running + 1 - len(seconds))
        seconds[running] += later - time
    while not seconds[-1]:
        seconds.pop()
    return seconds


def lanes(jobs: list[Job]) -> list[int]:
    """For each of some jobs (by start) the first lane that is free when it starts."""
    ends: list[float] = []
    chosen = []
    for job in jobs:
        lane = next((i for i, end in enumerate(ends) if end <= job.start), len(ends))
        ends[lane:] = [job.end, *ends[lane + 1 :]]
        chosen.append(lane)
    return chosen


def by_rule(jobs: list[Job]) -> dict[str, list[Job]]:
    """Rule -> its jobs, in the order of the jobs."""
    rules: dict[str, list[Job]] = {}
    for job in jobs:
        rules.setdefault(job.rule, []).append(job)
    return rules
