"""The checkpoint folder of a training: one writer, where to resume, what is kept, how far it is.

LOCK            held (flock) by the supervisor and by verl's process; says who holds it
request.json    what verl's process was started with
verl_config.json  the configuration that verl's workers were given, all values resolved
inputs.json     sizes and times of the data and model files that it was started with
attempts/       verl's output, one file an attempt
metrics.jsonl   one line a step; validation/ and rollouts/ hold one file a step
resume.json     the step to resume from, replaced atomically after each checkpoint
finished.json   the number of steps of the training whose results are in the run's folder
"""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lens_impl.errors import UserError
from lens_impl.files import metrics_lines, write_json, write_jsonl

WAIT_SECONDS = 5.0


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[int]:
    """Hold the folder's lock; the file descriptor is inherited by the training process.

    wait: wait for a holder to end instead of raising a UserError. A cluster can start a job whose
    forerunner it has lost sight of and which is still at work.
    """
    with open(folder / "LOCK", "a+") as lock:
        told = False
        while not _take(lock):
            if not wait:
                raise UserError(
                    f"{folder} is in use by another training of the same run{_by(folder)}. "
                    "Hint: wait until it ends, or stop it, then repeat the command."
                )
            if not told:
                print(f"waits for another training of the same run{_by(folder)}", flush=True)
                told = True
            time.sleep(WAIT_SECONDS)
        lock.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        lock.write(json.dumps({**this_process(), "since": since}))
        lock.flush()
        yield lock.fileno()


def _take(lock) -> bool:
    # More than once, since `experiments list` looks at a lock by holding it for a moment.
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False


def this_process() -> dict:
    """Where this training runs."""
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
    """Who holds or last held the lock."""
    text = (folder / "LOCK").read_text() if (folder / "LOCK").exists() else ""
    return json.loads(text) if text.endswith("}") else None


def where(holder: dict) -> str:
    job = f"Slurm job {holder['slurm_job']}" if holder["slurm_job"] else f"process {holder['pid']}"
    return f"{job} on {holder['host']}"


def resume_step(folder: Path, schedule: dict, inputs: dict) -> int | None:
    """The step to resume from (None: start afresh), with the folder brought to that state.

    A finished training that is asked for again has nothing left to do: a workflow that was killed
    does not know that its job has ended well. It goes on where more steps are asked for, and starts
    over where data, model, or what is validated and dumped have changed.
    """
    finished, resume = folder / "finished.json", folder / "resume.json"
    steps, done = schedule["steps"], finished_training(folder)
    same_inputs = not (folder / "inputs.json").exists() or (
        json.loads((folder / "inputs.json").read_text()) == inputs
    )
    if done and same_inputs and _what(done["schedule"]) == _what(schedule):
        return steps
    step = json.loads(resume.read_text())["step"] if resume.exists() else None
    if step is None or not same_inputs or step > steps or (done and step == steps):
        step = None
        for name in ("resume.json", "finished.json", "metrics.jsonl", "mlflow_run_id"):
            (folder / name).unlink(missing_ok=True)
        for old in [*folder.glob("global_step_*"), folder / "validation", folder / "rollouts"]:
            shutil.rmtree(old, ignore_errors=True)
    else:
        finished.unlink(missing_ok=True)
        lines = metrics_lines(folder)
        write_jsonl(folder / "metrics.jsonl", [line for line in lines if line["step"] <= step])
        for old in folder.glob("global_step_*"):
            if old.name != f"global_step_{step}":
                shutil.rmtree(old)
        for file in [*folder.glob("validation/*"), *folder.glob("rollouts/*")]:
            if int(file.stem.removeprefix("step_")) > step:
                file.unlink()
    write_json(folder / "inputs.json", inputs)
    return step


def _what(schedule: dict) -> dict:
    return {key: value for key, value in schedule.items() if key != "gpu"}


def finished_training(folder: Path) -> dict | None:
    """Schedule and manifest of the training whose results are in the run's folder."""
    finished = folder / "finished.json"
    found = json.loads(finished.read_text()) if finished.exists() else {}
    return found if "manifest" in found else None


def discard_optimizer(folder: Path, step: int) -> None:
    """Keep the trained model alone; the training cannot be lengthened any more."""
    (folder / "resume.json").unlink(missing_ok=True)
    for file in (folder / f"global_step_{step}" / "actor").glob("*.pt"):
        file.unlink()
