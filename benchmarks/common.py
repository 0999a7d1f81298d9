"""What all benchmarks share: timing in alternation, memory, the exponent of growth, and results.

A benchmark writes benchmarks/results/{name}.json and .md; docs/performance.md is made from them
(benchmarks/page.py).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import log
from pathlib import Path
from statistics import median

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import planned_runs
from lens_impl.experiments.settings import training_schedule, training_settings
from lens_impl.files import write_json, write_text
from lens_impl.provenance import cpu_name, git_state, versions
from lens_impl.text import grid

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
MIB = 1024**2
_started = time.monotonic()


@dataclass(frozen=True)
class Goal:
    """One line of docs/performance.md. ratio: what the goal is about, where that is a ratio."""

    what: str
    goal: str
    met: bool
    ours: str
    peer: str = ""
    floor: str = ""
    ratio: str = ""


@dataclass(frozen=True)
class Table:
    """Numbers behind the goals."""

    title: str
    header: list[str]
    rows: list[list[str]]


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each way, called in alternation, so that other load slows all equally."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {name: median(values) for name, values in seconds.items()}


def seconds_of(way: Callable[[], object]) -> float:
    """Seconds of one call."""
    return in_turn({"": way}, rounds=1)[""]


def command(
    *words: object, folder: Path = ROOT, environment: dict | None = None
) -> tuple[float, str]:
    """(seconds, output) of one process, which must succeed."""
    started = time.perf_counter()
    done = subprocess.run(
        list(map(str, words)),
        cwd=folder,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout)
    return seconds, done.stdout


def train(results: Path, folder: Path, schedule: dict, threads: int = 1) -> Path:
    """The checkpoint folder of a verl run: the first of the tiny scale, another schedule."""
    config = load("tiny", ROOT)
    run = planned_runs(config)[0]
    checkpoints = folder / "checkpoints"
    command(
        *(sys.executable, "-m", "lens_impl.training.supervisor", "--gpu", "{}"),
        *("--config", json.dumps(training_settings(config, run) | {"threads": threads})),
        *("--schedule", json.dumps(training_schedule(config) | schedule)),
        *("--train", results / "data" / f"{run.mix}.parquet"),
        *("--validation", results / "data" / "eval_math.parquet"),
        *("--model", results / "models" / run.model, "--run-dir", folder / "run"),
        *("--checkpoints", checkpoints, "--experiment", "bench"),
        *("--tracking-uri", f"sqlite:///{folder}/mlflow.db"),
    )
    return checkpoints


def extra_memory(way: Callable[[], object]) -> float:
    """MiB by which this process grows at most during a call, its result included (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts over
    before = _status("VmRSS")
    way()
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    """KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of log cost over log size, by least squares."""
    x, y = [log(size) for size in sizes], [log(cost) for cost in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)


def write(name: str, about: str, goals: list[Goal], tables: list[Table]) -> None:
    """benchmarks/results/{name}.json and .md, and the latter on the terminal."""
    git = git_state(ROOT)
    arguments = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    result = {
        "name": name,
        "about": about,
        "command": arguments,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "seconds": round(time.monotonic() - _started, 1),
        "commit": str(git["commit"])[:12] + (" with changes" if git["dirty"] else ""),
        "machine": f"{os.cpu_count()} cores, {cpu_name()}; load {os.getloadavg()[1]:.1f}",
        "versions": {key: value for key, value in versions().items() if value},
        "goals": [asdict(goal) for goal in goals],
        "tables": [asdict(table) for table in tables],
    }
    write_json(RESULTS / f"{name}.json", result)
    write_text(RESULTS / f"{name}.md", page(result))
    print(page(result))


def page(result: dict) -> str:
    """One result as markdown."""
    used = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    parts = [
        f"# {result['name']}",
        result["about"],
        f"`{result['command']}`, {result['seconds']:.0f} s; {result['date']}; commit "
        f"{result['commit']}; {result['machine']} (mean of the last five minutes); {used}",
        goals_table(result["goals"]),
    ]
    for table in result["tables"]:
        parts += [f"## {table['title']}", grid(table["header"], table["rows"])]
    return "\n\n".join(parts) + "\n"


def goals_table(goals: list[dict]) -> str:
    header = ["what", "goal", "ours", "peer", "floor", "ratio", "met"]
    keys = header[:-1]
    rows = [[goal[key] for key in keys] + ["yes" if goal["met"] else "**no**"] for goal in goals]
    return grid(header, rows, text=(0, 1))
