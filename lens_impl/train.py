"""Train one run with verl, resumable at any moment: `python -m lens_impl.train`.

This process supervises a verl process: it holds the lock on the checkpoint folder, decides where
to resume, shows progress, mirrors to MLflow, and turns what the training left in the checkpoint
folder into the run's files. Everything a killed training needs is in the checkpoint folder:

    LOCK            held (flock) by this process and by verl's, so that two never write at once
    request.json    what verl's process was started with
    attempts/       verl's output, one file an attempt
    metrics.jsonl   one line a step; validation/ and rollouts/ hold one file a step
    resume.json     the step to resume from, replaced atomically after each checkpoint
    finished.json   the number of steps of the training whose results are in the run's folder
"""

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd

from lens_impl.errors import UserError, run_cli
from lens_impl.experiments import checkpoint_hash
from lens_impl.files import fingerprint, read_jsonl, write_json, write_jsonl, write_parquet
from lens_impl.tracking import git_state, try_mirror, versions
from lens_impl.verl_plugin.overrides import Paths, verl_overrides

POLL_SECONDS = 0.5
PROGRESS_SECONDS = 15.0
MIRROR_SECONDS = 20.0


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the folder's lock; the file descriptor is inherited by the training process."""
    with open(folder / "LOCK", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder} is in use by another training of the same run. "
                "Hint: wait until it ends, or stop it, then repeat the command."
            ) from None
        yield lock.fileno()


def resume_step(folder: Path, steps: int, inputs: dict) -> int | None:
    """The step to resume from (None: start afresh), with the folder brought to that state.

    A finished training that is asked for again starts over, unless more steps are asked for; so
    does one whose data or model have changed.
    """
    finished, resume = folder / "finished.json", folder / "resume.json"
    done = json.loads(finished.read_text())["steps"] if finished.exists() else None
    same_inputs = not (folder / "inputs.json").exists() or (
        json.loads((folder / "inputs.json").read_text()) == inputs
    )
    step = json.loads(resume.read_text())["step"] if resume.exists() else None
    if step is None or not same_inputs or step > steps or (done is not None and done >= steps):
        step = None
        for name in ("resume.json", "finished.json", "metrics.jsonl", "mlflow_run_id"):
            (folder / name).unlink(missing_ok=True)
        for old in [*folder.glob("global_step_*"), folder / "validation", folder / "rollouts"]:
            shutil.rmtree(old, ignore_errors=True)
    else:
        finished.unlink(missing_ok=True)
        lines = read_jsonl(folder / "metrics.jsonl")
        write_jsonl(folder / "metrics.jsonl", [line for line in lines if line["step"] <= step])
        for file in [*folder.glob("validation/*"), *folder.glob("rollouts/*")]:
            if int(file.stem.removeprefix("step_")) > step:
                file.unlink()
    write_json(folder / "inputs.json", inputs)
    return step


def environment(settings: dict, ray_folder: str) -> dict[str, str]:
    """Environment of verl's process and of all that Ray starts for it."""
    values = {
        "VERL_USE_EXTERNAL_MODULES": "lens_impl.verl_plugin.register",
        "VERL_USE_EXTERNAL_PLUGINS": "none",
        "TRANSFER_QUEUE_ENABLE": "1",
        "RAY_TMPDIR": ray_folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        # Ray's default of 15 starves a training on a machine that does anything else.
        "RAY_worker_niceness": "0",
        "HYDRA_FULL_ERROR": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "PYTHONHASHSEED": "0",
    }
    if settings["device"] == "cpu":
        values |= {
            "VERL_PLATFORM": "cpu",
            "OMP_NUM_THREADS": str(settings["threads"]),
            "HF_HUB_OFFLINE": "1",
            # Ray would start as many idle workers as it has CPUs; none of them would be used.
            "RAY_enable_worker_prestart": "0",
            "RAY_prestart_worker_first_driver": "0",
        }
    return {**os.environ, **values}


def train(
    settings: dict, schedule: dict, paths: Paths, lock: int, step: int | None, watch: "Watch"
) -> None:
    """Run verl's process to its end, and show `watch` what it writes."""
    folder = paths.checkpoints
    write_json(
        folder / "request.json",
        {
            "overrides": verl_overrides(settings, schedule, paths, step),
            "ray_cpus": 8 if settings["device"] == "cpu" else None,
            "ray_gpus": 1 if settings["device"] == "cpu" else None,
        },
    )
    attempts = folder / "attempts"
    attempts.mkdir(exist_ok=True)
    output = attempts / f"{len(list(attempts.iterdir())) + 1:03}.log"
    command = [sys.executable, "-m", "lens_impl.verl_plugin.main", str(folder / "request.json")]
    # Unix sockets allow 107 characters, so Ray's folder cannot lie beside the results.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as ray_folder:
        with open(output, "w") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(settings, ray_folder),
                pass_fds=[lock],
                start_new_session=True,
            )
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                watch.look()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    if process.returncode != 0:
        tail = output.read_text(errors="replace").splitlines()[-25:]
        print("\n".join(tail), file=sys.stderr)
        print(
            f"error: verl ended with exit status {process.returncode}; its output is in {output}. "
            "Hint: the same command resumes from the last checkpoint.",
            file=sys.stderr,
        )
        sys.exit(1)


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


def write_results(folder: Path, run_dir: Path, settings: dict, schedule: dict, about: dict) -> None:
    """The run's files from the checkpoint folder's; the manifest last."""
    steps = schedule["steps"]
    lines = read_jsonl(folder / "metrics.jsonl")
    if [line["step"] for line in lines] != list(range(1, steps + 1)):
        raise RuntimeError(
            f"{folder}/metrics.jsonl does not hold the steps 1 to {steps}, each once"
        )
    model = folder / f"global_step_{steps}" / "actor" / "huggingface"
    if not (model / "config.json").exists():
        raise RuntimeError(f"{model} is missing")
    request = json.loads((folder / "request.json").read_text())
    validations = sorted(
        folder.glob("validation/*.parquet"), key=lambda file: int(file.stem.removeprefix("step_"))
    )
    write_json(
        run_dir / "config.json",
        {"settings": settings, "schedule": schedule, "verl_overrides": request["overrides"]},
    )
    write_jsonl(run_dir / "metrics.jsonl", lines)
    write_parquet(
        run_dir / "curves.parquet", pd.concat(map(pd.read_parquet, validations), ignore_index=True)
    )
    write_json(
        run_dir / "manifest.json",
        {
            "run": run_dir.name,
            **{key: settings[key] for key in ("model", "mix", "method", "seed")},
            "model_dir": os.path.relpath(model),
            "checkpoints": os.path.relpath(folder),
            "steps": steps,
            "config_hash": checkpoint_hash(settings),
            "versions": versions(),
            **about,
        },
    )
    write_json(folder / "finished.json", {"steps": steps})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="settings of the run, JSON")
    parser.add_argument("--schedule", required=True, help="steps, validation, checkpoints, JSON")
    parser.add_argument("--train", required=True, type=Path)
    parser.add_argument("--validation", required=True, type=Path)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--run-dir", required=True, type=Path)
    parser.add_argument("--checkpoints", required=True, type=Path)
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--experiment", required=True)
    arguments = parser.parse_args()
    settings, schedule = json.loads(arguments.config), json.loads(arguments.schedule)
    # A SIGTERM takes the way of an error, so that verl's process is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    folder = arguments.checkpoints.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    paths = Paths(
        arguments.train.resolve(),
        arguments.validation.resolve(),
        arguments.model.resolve(),
        folder,
    )
    started = datetime.now(UTC)
    with locked(folder) as lock:
        inputs = fingerprint(paths.train, paths.validation, paths.model)
        step = resume_step(folder, schedule["steps"], inputs)
        run = arguments.run_dir.name
        start = "from the start" if step is None else f"resumes after step {step}"
        print(f"{run}  {start}", flush=True)
        write_json(folder / "config.json", {"settings": settings, "schedule": schedule})
        git = git_state(Path(__file__).parent)
        tags = {key: settings[key] for key in ("model", "mix", "method", "seed")}
        tags |= {"run": run, "git_commit": git["commit"], "git_dirty": git["dirty"]}
        mirror = partial(
            try_mirror,
            arguments.tracking_uri,
            arguments.experiment,
            folder,
            folder / "mlflow_run_id",
            {**tags, "kind": "training"},
        )
        if step != schedule["steps"]:
            watch = Watch(run, folder, schedule["steps"], mirror)
            train(settings, schedule, paths, lock, step, watch)
        finished = datetime.now(UTC)
        about = {
            "started": started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
            "seconds": round((finished - started).total_seconds(), 1),
            "git": git,
            "mlflow_run_id": mirror(),
        }
        write_results(folder, arguments.run_dir, settings, schedule, about)


if __name__ == "__main__":
    run_cli(main)
