"""Progress of a run: while it is running, and from its files alone."""

import fcntl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lens_impl.files import read_growing_jsonl, read_json
from lens_impl.training.checkpoints import last_holder, where

PROGRESS_SECONDS = 15.0
MIRROR_SECONDS = 20.0


class Watch:
    """Follows a run's metrics.jsonl: prints a progress line and mirrors the metrics to MLflow.

    At most one line every PROGRESS_SECONDS and one call of `mirror` every MIRROR_SECONDS. Only
    lines that are written after the Watch is made count.
    """

    def __init__(self, run: str, folder: Path, steps: int, mirror: Callable[[], object]) -> None:
        self.run, self.steps, self.mirror = run, steps, mirror
        self.metrics = folder / "metrics.jsonl"
        self.size = self._size()
        self.lines = read_growing_jsonl(self.metrics)
        self.printed_lines = len(self.lines)
        self.first: tuple[float, int] | None = None  # when the first line was seen, and its step
        self.printed = self.mirrored = time.monotonic()

    def look(self) -> None:
        """Show the newest line, if there is a new one and the last print is long enough ago."""
        if self._size() != self.size:
            self.size = self._size()
            self.lines = read_growing_jsonl(self.metrics)
        if len(self.lines) <= self.printed_lines:
            return
        now, line = time.monotonic(), self.lines[-1]
        self.first = self.first or (now, line["step"])
        if now - self.printed > PROGRESS_SECONDS or line["step"] == self.steps:
            self.printed_lines = len(self.lines)
            self.printed = now
            self._print(line, self._seconds_per_step(now, line, *self.first))
        if now - self.mirrored > MIRROR_SECONDS:
            self.mirrored = now
            self.mirror()

    def _size(self) -> int:
        return self.metrics.stat().st_size if self.metrics.exists() else 0

    @staticmethod
    def _seconds_per_step(now: float, line: dict, started: float, first_step: int) -> float:
        steps = line["step"] - first_step
        return (now - started) / steps if steps else line["seconds"]["step"]

    def _print(self, line: dict, seconds: float) -> None:
        left = (self.steps - line["step"]) * seconds
        print(
            f"{self.run}  step {line['step']}/{self.steps}  reward {line['reward']:.3f}  "
            f"all-wrong groups {line['groups_all_wrong']:.0%}  {seconds:.1f} s/step  "
            f"{int(left // 60)}:{int(left % 60):02} left",
            flush=True,
        )


@dataclass(frozen=True)
class Progress:
    """state: waiting, running, stopped or finished; step: the last one in metrics.jsonl.

    age: seconds since that step, None before the first; where: who runs or ran it, or its folder.
    """

    state: str
    step: int
    age: float | None
    where: str


def progress(folder: Path, manifest: Path, config_hash: str) -> Progress:
    """How far a run is.

    folder: its checkpoints; manifest: its manifest.json, which counts if it has this config_hash.
    """
    lines = read_growing_jsonl(folder / "metrics.jsonl")
    step = lines[-1]["step"] if lines else 0
    age = time.time() - (folder / "metrics.jsonl").stat().st_mtime if lines else None
    holder = last_holder(folder)
    if _is_locked(folder):
        return Progress("running", step, age, where(holder) if holder else str(folder))
    if manifest.exists() and read_json(manifest)["config_hash"] == config_hash:
        return Progress("finished", step, age, str(manifest.parent))
    if not step and not (folder / "resume.json").exists():
        return Progress("waiting", 0, None, "")
    return Progress("stopped", step, age, f"last {where(holder)}" if holder else str(folder))


def _is_locked(folder: Path) -> bool:
    if not (folder / "LOCK").exists():
        return False
    with open(folder / "LOCK") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
