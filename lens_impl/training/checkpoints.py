"""The checkpoint folder of a run: one writer at a time, where to resume, what is kept.

LOCK              locked (flock) by the supervisor and by verl's process; says who locked it
request.json      what verl's process was started with
verl_config.json  the configuration that verl's workers were given, all values resolved
inputs.json       sizes and times of the data and model files that the run was started with
attempts/         verl's output, one file per attempt
metrics.jsonl     one line per step; validation/ and rollouts/ contain one file per step
resume.json       the step to resume from, replaced atomically after each checkpoint
finished.json     schedule and manifest of the finished run
"""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from lens_impl.errors import UserError
from lens_impl.files import read_growing_jsonl, read_json, write_jsonl

WAIT_SECONDS = 5.0


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[int]:
    """Hold the folder's lock; verl's process inherits the file descriptor that is yielded.

    wait: wait until another holder ends instead of raising a UserError. A cluster can start a job
    again while its first process, which it has lost track of, is still running.
    """
    with open(folder / "LOCK", "a+") as lock:
        announced = False
        while not _take(lock):
            if not wait:
                raise UserError(
                    f"{folder} is in use by another training of the same run{_by(folder)}. "
                    "Hint: wait until it ends, or stop it, then repeat the command."
                )
            if not announced:
                print(f"waits for another training of the same run{_by(folder)}", flush=True)
                announced = True
            time.sleep(WAIT_SECONDS)
        lock.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        lock.write(json.dumps({**this_process(), "since": since}))
        lock.flush()
        yield lock.fileno()


def _take(lock: IO[str]) -> bool:
    # More than once, since `lens list` looks at a lock by holding it for a moment.
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False


def this_process() -> dict:
    """Where this process runs."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def _by(folder: Path) -> str:
    holder = last_holder(folder)
    return f" ({where(holder)})" if holder else ""


def last_holder(folder: Path) -> dict | None:
    """Who holds or last held the lock (see this_process); None if nobody ever did."""
    text = (folder / "LOCK").read_text() if (folder / "LOCK").exists() else ""
    return json.loads(text) if text.endswith("}") else None


def where(holder: dict) -> str:
    """A holder in words: its Slurm job, or its process, and its host."""
    job = f"Slurm job {holder['slurm_job']}" if holder["slurm_job"] else f"process {holder['pid']}"
    return f"{job} on {holder['host']}"


@dataclass(frozen=True)
class Found:
    """What a checkpoint folder says.

    schedule: of the finished run, None before it is finished. checkpoint: the step that resume.json
    names. inputs: of inputs.json. None where there is no such file.
    """

    schedule: dict | None
    checkpoint: int | None
    inputs: dict | None


@dataclass(frozen=True)
class Done:
    """Nothing to train: a finished run that is asked for again only needs to be written up."""


@dataclass(frozen=True)
class After:
    """Resume after this step; only write up if it is the last one."""

    step: int


@dataclass(frozen=True)
class Afresh:
    """Start from the base model."""


Decision = Done | After | Afresh


def look(folder: Path) -> Found:
    """The facts on which a run is resumed; reads only."""
    finished = finished_training(folder)
    resume, inputs = folder / "resume.json", folder / "inputs.json"
    return Found(
        schedule=finished["schedule"] if finished else None,
        checkpoint=read_json(resume)["step"] if resume.exists() else None,
        inputs=read_json(inputs) if inputs.exists() else None,
    )


def decide(found: Found, schedule: dict, inputs: dict) -> Decision:
    """How a run starts, from what its folder says and what is asked for.

    A finished run may be asked for again, because a workflow that was killed does not know that its
    job ended well. It continues if more steps are asked for. It starts over if data or model have
    changed, or if other validations or dumps are asked for.
    """
    if found.inputs not in (None, inputs):
        return Afresh()
    if found.schedule is not None and _trajectory(found.schedule) == _trajectory(schedule):
        return Done()
    step, steps = found.checkpoint, schedule["steps"]
    if step is None or step > steps or (found.schedule is not None and step == steps):
        return Afresh()
    return After(step)


def _trajectory(schedule: dict) -> dict:
    """The part of a schedule that the run's files depend on."""
    return {key: value for key, value in schedule.items() if key != "gpu"}


def roll_back(folder: Path, decision: Decision) -> None:
    """Delete what the folder has beyond the state in which the run starts."""
    match decision:
        case Afresh():
            for name in ("resume.json", "finished.json", "metrics.jsonl", "mlflow_run_id"):
                (folder / name).unlink(missing_ok=True)
            for old in [*folder.glob("global_step_*"), folder / "validation", folder / "rollouts"]:
                shutil.rmtree(old, ignore_errors=True)
        case After(step):
            (folder / "finished.json").unlink(missing_ok=True)
            lines = read_growing_jsonl(folder / "metrics.jsonl")
            write_jsonl(folder / "metrics.jsonl", [line for line in lines if line["step"] <= step])
            for old in folder.glob("global_step_*"):
                if old.name != f"global_step_{step}":
                    shutil.rmtree(old)
            for file in [*folder.glob("validation/*"), *folder.glob("rollouts/*")]:
                if int(file.stem.removeprefix("step_")) > step:
                    file.unlink()


def finished_training(folder: Path) -> dict | None:
    """Schedule and manifest of the finished run; None before it is finished."""
    finished = folder / "finished.json"
    content = read_json(finished) if finished.exists() else {}
    return content if "manifest" in content else None


def discard_optimizer(folder: Path, step: int) -> None:
    """Keep the trained model alone; the run cannot be extended any more."""
    (folder / "resume.json").unlink(missing_ok=True)
    for file in (folder / f"global_step_{step}" / "actor").glob("*.pt"):
        file.unlink()
