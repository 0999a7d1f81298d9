"""A training that goes on, as its supervisor shows it."""

import fcntl
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lens_impl.files import metrics_lines
from lens_impl.training.checkpoints import last_holder, where

PROGRESS_SECONDS = 15.0
MIRROR_SECONDS = 20.0


class Watch:
    """Follows metrics.jsonl: prints a progress line a while and mirrors to MLflow."""

    def __init__(self, run: str, folder: Path, steps: int, mirror: Callable[[], str | None]):
        self.run, self.steps, self.mirror = run, steps, mirror
        self.metrics = folder / "metrics.jsonl"
        self.offset = self.metrics.stat().st_size if self.metrics.exists() else 0
        self.first: tuple[float, int] | None = None
        self.printed = self.mirrored = time.monotonic()

    def look(self) -> None:
        """Show the newest line, if there is one and the last was shown long enough ago."""
        if not self.metrics.exists():
            return
        with open(self.metrics) as lines:
            lines.seek(self.offset)
            new = [json.loads(line) for line in lines.readlines() if line.endswith("\n")]
        if not new:
            return
        now, line = time.monotonic(), new[-1]
        self.first = self.first or (now, line["step"])
        if now - self.printed > PROGRESS_SECONDS or line["step"] == self.steps:
            self.offset = self.metrics.stat().st_size
            self.printed = now
            self._print(now, line)
        if now - self.mirrored > MIRROR_SECONDS:
            self.mirrored = now
            self.mirror()

    def _print(self, now: float, line: dict) -> None:
        started, first_step = self.first
        seconds = line["seconds"]["step"]
        if line["step"] > first_step:
            seconds = (now - started) / (line["step"] - first_step)
        left = (self.steps - line["step"]) * seconds
        print(
            f"{self.run}  step {line['step']}/{self.steps}  reward {line['reward']:.3f}  "
            f"all-wrong groups {line['groups_all_wrong']:.0%}  {seconds:.1f} s/step  "
            f"{int(left // 60)}:{int(left % 60):02} left",
            flush=True,
        )


@dataclass(frozen=True)
class Progress:
    """state: waiting, running, stopped or finished; age: seconds since the last step's line."""

    state: str
    step: int
    age: float | None
    where: str


def progress(folder: Path, manifest: Path, config_hash: str) -> Progress:
    """How far a training is, from its files alone."""
    lines = metrics_lines(folder)
    step = lines[-1]["step"] if lines else 0
    age = time.time() - (folder / "metrics.jsonl").stat().st_mtime if lines else None
    holder = last_holder(folder)
    if _is_locked(folder):
        return Progress("running", step, age, where(holder) if holder else str(folder))
    if manifest.exists() and json.loads(manifest.read_text())["config_hash"] == config_hash:
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
