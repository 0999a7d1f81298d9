"""When each job of a scale ran, as text and as a Gantt chart."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lens_impl.files import write_atomically
from lens_impl.report.jobs import (
    Job,
    by_rule,
    lanes,
    longest_chain,
    read_jobs,
    seconds_at_once,
    without_idle_times,
)
from lens_impl.text import grid, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Height of a bar and width of the chart in inches; size of the text in a bar.
LANE, WIDTH, LABEL_POINTS = 0.17, 10.0, 6
ON_CHAIN, OTHER = "#D55E00", "#0072B2"


def write_timeline(root: Path, scale: str, runs: Collection[str], out: Path) -> str:
    """Write timeline.pdf and timeline.png into `out`; the report's text."""
    from lens_impl.report.figures.style import context

    jobs = read_jobs(root, scale, runs)
    with context():
        figure = gantt(jobs, scale)
        for suffix in ("pdf", "png"):
            write_atomically(out / f"timeline.{suffix}", partial(figure.savefig))
    return report(jobs, scale)


def report(jobs: list[Job], scale: str) -> str:
    """What the workflow cost and what bounds it, as text with two tables."""
    jobs, idle = without_idle_times(jobs)
    chain = longest_chain(jobs)
    parts = [
        wrap(_summary(jobs, chain, idle, scale)),
        grid(["rule", "jobs", "s together", "share", "longest s", "MiB"], _by_rule(jobs)),
        "The longest chain (waited: for a free place, after all that it needs was there):",
        grid(["job", "start", "waited s", "s"], _by_job(chain, jobs)),
    ]
    return "\n\n".join(parts)


def _summary(jobs: list[Job], chain: list[Job], idle: float, scale: str) -> str:
    at_once = seconds_at_once(jobs)
    wall, slots = sum(at_once), len(at_once) - 1
    work, longest = sum(job.seconds for job in jobs), sum(job.seconds for job in chain)
    bound = "the longest chain" if longest > work / slots else f"the {slots} jobs at once"
    return (
        f"Scale {scale}: {len(jobs)} jobs in {_clock(wall)}, at most {slots} at once, "
        f"{at_once[-1] / wall:.0%} of the time as many."
        + (f" {_clock(idle)} without any job are cut out." if idle else "")
        + f" All jobs together take {_clock(work)}, divided by {slots}: {_clock(work / slots)}; "
        f"the longest chain of jobs that need each other takes {_clock(longest)}. "
        f"What bounds the time is {bound}."
    )


def _by_rule(jobs: list[Job]) -> list[list[str]]:
    """One row per rule, the costliest first."""
    work = sum(job.seconds for job in jobs)
    rules = sorted(by_rule(jobs).items(), key=lambda rule: -sum(job.seconds for job in rule[1]))
    rows = []
    for rule, members in rules:
        seconds = [job.seconds for job in members]
        memory = [job.memory for job in members if job.memory is not None]
        rows.append(
            [rule, str(len(members)), f"{sum(seconds):.0f}", f"{sum(seconds) / work:.1%}"]
            + [f"{max(seconds):.0f}", f"{max(memory):.0f}" if memory else ""]
        )
    return rows


def _by_job(chain: list[Job], jobs: list[Job]) -> list[list[str]]:
    ends = {job.name: job.end for job in jobs}
    rows = []
    for job in chain:
        ready = max((ends[need] for need in job.needs), default=0.0)
        waited = max(0.0, job.start - ready)
        rows.append([job.name, _clock(job.start), f"{waited:.0f}", f"{job.seconds:.0f}"])
    return rows


def _clock(seconds: float) -> str:
    """5025 -> 1:23:45, 83 -> 1:23."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def gantt(jobs: list[Job], scale: str) -> Figure:
    """One row per rule, as high as its jobs at once; orange: the longest chain.

    What comes before the measured seconds of a job is drawn light: its start, and on a cluster the
    time in the queue.
    """
    from matplotlib.figure import Figure

    jobs, _ = without_idle_times(jobs)
    chain = {job.name for job in longest_chain(jobs)}
    wall = max(job.end for job in jobs)
    rows = [(rule, members, lanes(members)) for rule, members in by_rule(jobs).items()]
    height = sum(max(places) + 1.5 for _, _, places in rows)
    figure = Figure(figsize=(WIDTH, 0.9 + LANE * height), layout="constrained")
    ax = figure.subplots()
    top, ticks = 0.0, []
    for _, members, places in rows:
        for job, lane in zip(members, places, strict=True):
            _bar(ax, job, top + lane, ON_CHAIN if job.name in chain else OTHER)
            _label(ax, job, top + lane, wall)
        ticks.append(top + max(places) / 2)
        top += max(places) + 1.5
    ax.set_yticks(ticks, [rule for rule, _, _ in rows])
    ax.set_ylim(top - 0.5, -1.0)
    ax.set_xlim(0, wall / 60)
    ax.set_xlabel("minutes")
    ax.set_title(f"scale {scale}: {len(jobs)} jobs; orange: the longest chain", loc="left")
    return figure


def _bar(ax: Axes, job: Job, y: float, color: str) -> None:
    began = job.start if job.measured is None else max(job.start, job.end - job.measured)
    style = {"height": 0.9, "color": color, "edgecolor": "white", "linewidth": 0.4}
    ax.barh(y, (began - job.start) / 60, left=job.start / 60, **style, alpha=0.3)
    ax.barh(y, (job.end - began) / 60, left=began / 60, **style)


def _label(ax: Axes, job: Job, y: float, wall: float) -> None:
    """The job's own part of its name, where its bar has room."""
    text = job.name.rpartition("/")[2]
    inches = len(text) * 0.52 * LABEL_POINTS / 72
    if inches < job.seconds / wall * 0.75 * WIDTH and text != job.rule:
        middle = (job.start + job.end) / 120
        ax.text(middle, y, text, ha="center", va="center", color="white", fontsize=LABEL_POINTS)
