"""When each job of a scale ran, what the workflow waited for, and a Gantt chart of it.

Start, end and inputs of a job are in Snakemake's own records (.snakemake/metadata: a JSON file for
each output, named by the base64 of its path), seconds and memory in results/<scale>/benchmarks/,
under the name that the job's log has. On a cluster a job starts when it is submitted: what comes
before its measured seconds is drawn light.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from lens_impl.errors import UserError
from lens_impl.files import write_atomically
from lens_impl.text import grid, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IDLE_SECONDS = 60.0  # a longer time without any job is one between two calls of the workflow
# Height of a bar and width of the chart in inches; the text in a bar.
LANE, WIDTH, LABEL_POINTS = 0.17, 10.0, 6


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

    runs: names of trainings and base models; jobs of others, from experiments of another time, are
    left out.
    UserError where Snakemake has kept no record of any.
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
    """The jobs (by start) from time 0 on, times without any cut out; and the seconds cut out."""
    busy_until, cut, moved = jobs[0].start, jobs[0].start, []
    for job in jobs:
        if job.start - busy_until > IDLE_SECONDS:
            cut += job.start - busy_until
        busy_until = max(busy_until, job.end)
        moved.append(Job(**{**vars(job), "start": job.start - cut, "end": job.end - cut}))
    return moved, cut - jobs[0].start


def longest_chain(jobs: list[Job]) -> list[Job]:
    """The critical path: of all chains of jobs that need each other the one that takes longest."""
    by_name = {job.name: job for job in jobs}
    total: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for name in TopologicalSorter({job.name: job.needs for job in jobs}).static_order():
        needs = by_name[name].needs
        before[name] = max(needs, key=total.__getitem__, default=None)
        total[name] = by_name[name].seconds + (total[before[name]] if needs else 0.0)
    path, name = [], max(total, key=total.__getitem__)
    while name is not None:
        path.append(by_name[name])
        name = before[name]
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


def report(jobs: list[Job], scale: str) -> str:
    """What the workflow cost and what bounds it, as text with two tables."""
    jobs, idle = without_idle_times(jobs)
    path, at_once = longest_chain(jobs), seconds_at_once(jobs)
    wall, slots = sum(at_once), len(at_once) - 1
    work, longest = sum(job.seconds for job in jobs), sum(job.seconds for job in path)
    bound = "the longest chain" if longest > work / slots else f"the {slots} jobs at once"
    head = (
        f"Scale {scale}: {len(jobs)} jobs in {_clock(wall)}, at most {slots} at once, "
        f"{at_once[-1] / wall:.0%} of the time as many."
        + (f" {_clock(idle)} without any job are cut out." if idle else "")
        + f" All jobs together take {_clock(work)}, divided by {slots}: {_clock(work / slots)}; "
        f"the longest chain of jobs that need each other takes {_clock(longest)}. "
        f"What bounds the time is {bound}."
    )
    ends = {job.name: job.end for job in jobs}
    steps = [
        [
            job.name,
            _clock(job.start),
            f"{max(0.0, job.start - max((ends[n] for n in job.needs), default=0.0)):.0f}",
            f"{job.seconds:.0f}",
        ]
        for job in path
    ]
    parts = [
        wrap(head),
        grid(["rule", "jobs", "s together", "share", "longest s", "MiB"], _by_rule(jobs, work)),
        "The longest chain (waited: for a free place, after all that it needs was there):",
        grid(["job", "start", "waited s", "s"], steps),
    ]
    return "\n\n".join(parts)


def _by_rule(jobs: list[Job], work: float) -> list[list[str]]:
    rows = []
    for rule in dict.fromkeys(job.rule for job in jobs):
        seconds = [job.seconds for job in jobs if job.rule == rule]
        memory = [job.memory for job in jobs if job.rule == rule and job.memory is not None]
        rows.append(
            (
                sum(seconds),
                [rule, str(len(seconds)), f"{sum(seconds):.0f}", f"{sum(seconds) / work:.1%}"]
                + [f"{max(seconds):.0f}", f"{max(memory):.0f}" if memory else ""],
            )
        )
    return [row for _, row in sorted(rows, key=lambda row: -row[0])]


def _clock(seconds: float) -> str:
    """5025 -> 1:23:45, 83 -> 1:23."""
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
    )


def lanes(jobs: list[Job]) -> list[int]:
    """For jobs by start the first lane of each in which it meets no other."""
    ends: list[float] = []
    chosen = []
    for job in jobs:
        lane = next((i for i, end in enumerate(ends) if end <= job.start), len(ends))
        ends[lane:] = [job.end, *ends[lane + 1 :]]
        chosen.append(lane)
    return chosen


def gantt(jobs: list[Job], scale: str) -> Figure:
    """A row a rule, as high as its jobs at once; orange: the longest chain."""
    from matplotlib.figure import Figure

    jobs, _ = without_idle_times(jobs)
    on_path = {job.name for job in longest_chain(jobs)}
    wall = max(job.end for job in jobs)
    by_rule = {rule: [job for job in jobs if job.rule == rule] for rule in _rules(jobs)}
    placed = {rule: lanes(members) for rule, members in by_rule.items()}
    height = sum(max(places) + 1.5 for places in placed.values())
    figure = Figure(figsize=(WIDTH, 0.9 + LANE * height), layout="constrained")
    ax = figure.subplots()
    top, ticks = 0.0, []
    for rule, members in by_rule.items():
        ticks.append(top + max(placed[rule]) / 2)
        for job, lane in zip(members, placed[rule], strict=True):
            color = "#D55E00" if job.name in on_path else "#0072B2"
            began = job.start if job.measured is None else max(job.start, job.end - job.measured)
            row = {"height": 0.9, "color": color, "edgecolor": "white", "linewidth": 0.4}
            ax.barh(top + lane, (began - job.start) / 60, left=job.start / 60, **row, alpha=0.3)
            ax.barh(top + lane, (job.end - began) / 60, left=began / 60, **row)
            _label(ax, job, top + lane, wall)
        top += max(placed[rule]) + 1.5
    ax.set_yticks(ticks, list(by_rule))
    ax.set_ylim(top - 0.5, -1.0)
    ax.set_xlim(0, wall / 60)
    ax.set_xlabel("minutes")
    ax.set_title(f"scale {scale}: {len(jobs)} jobs; orange: the longest chain", loc="left")
    return figure


def _rules(jobs: list[Job]) -> list[str]:
    return list(dict.fromkeys(job.rule for job in jobs))


def _label(ax, job: Job, y: float, wall: float) -> None:
    """The job's own part of its name, where its bar has room."""
    text = job.name.rpartition("/")[2]
    inches = len(text) * 0.52 * LABEL_POINTS / 72
    if inches < job.seconds / wall * 0.75 * WIDTH and text != job.rule:
        middle = (job.start + job.end) / 120
        ax.text(middle, y, text, ha="center", va="center", color="white", fontsize=LABEL_POINTS)


def write_timeline(root: Path, scale: str, runs: Collection[str], out: Path) -> str:
    """Write timeline.pdf and timeline.png into `out`; the report's text."""
    from lens_impl.report.figures.style import context

    jobs = read_jobs(root, scale, runs)
    with context():
        figure = gantt(jobs, scale)
        for suffix in ("pdf", "png"):
            write_atomically(out / f"timeline.{suffix}", partial(figure.savefig))
    return report(jobs, scale)
