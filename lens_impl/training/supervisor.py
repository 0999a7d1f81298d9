"""Train one run with verl, resumable at any moment: `python -m lens_impl.training.supervisor`.

This process supervises a verl process: it locks the checkpoint folder, decides where to resume,
shows progress, mirrors to MLflow, and turns what verl left in the checkpoint folder into the run's
files. Everything that a killed run needs is in the checkpoint folder (checkpoints.py).

Exit status: 0 finished, 85 stopped on request after saving, 1 verl failed, 2 wrong input.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lens_impl.errors import run_cli
from lens_impl.experiments.checks import MINIMUM_FREE_BYTES
from lens_impl.files import read_json, write_json
from lens_impl.identity import fingerprint
from lens_impl.provenance import git_state
from lens_impl.tracking.mirror import LiveMirror
from lens_impl.training.checkpoints import (
    Afresh,
    After,
    Decision,
    Done,
    decide,
    discard_optimizer,
    locked,
    look,
    roll_back,
    this_process,
)
from lens_impl.training.progress import Watch
from lens_impl.training.run_files import write_results
from lens_impl.training.slurm import Deadline
from lens_impl.verl_plugin.environment import environment, secret
from lens_impl.verl_plugin.overrides import Paths, verl_overrides
from lens_impl.verl_plugin.ray_cluster import ray_cluster

VERL = ("-m", "lens_impl.verl_plugin.main")
FAILED, STOPPED = 1, 85  # exit statuses; a stopped run can resume
POLL_SECONDS = 0.5
ROOM_SECONDS = 30.0


@dataclass(frozen=True)
class Training:
    """One training run: what is asked for and where its files are.

    settings decide the trajectory; schedule: how long, how often validated and saved
    (experiments/settings.py), and on a GPU `gpu`, its memory settings.
    """

    settings: dict
    schedule: dict
    paths: Paths
    run_dir: Path

    @property
    def folder(self) -> Path:
        """The checkpoint folder."""
        return self.paths.checkpoints

    @property
    def steps(self) -> int:
        """How many steps are asked for."""
        return self.schedule["steps"]


@dataclass(frozen=True)
class Outcome:
    """How verl's process ended. exit_status: its own; stopped: on request, and can resume."""

    exit_status: int
    stopped: bool
    output: Path


class Stop:
    """A request to end the step, save and stop: SIGTERM, SIGUSR1, or the end of a Slurm job.

    A second signal ends this process and verl's at once.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: object) -> None:
        if self.process is None or self.asked:
            sys.exit(128 + number)
        self.request(self.process, f"asked to stop by {signal.Signals(number).name}")

    def request(self, process: subprocess.Popen, why: str) -> None:
        """Ask verl's process to save after this step and end."""
        self.asked = True
        print(f"{why}: ends this step, saves, and leaves", flush=True)
        process.send_signal(signal.SIGUSR1)


def resume(training: Training) -> Decision:
    """Where the run starts, with its folder brought to that state."""
    paths = training.paths
    inputs = fingerprint(paths.train, paths.validation, paths.model)
    decision = decide(look(training.folder), training.schedule, inputs)
    roll_back(training.folder, decision)
    write_json(training.folder / "inputs.json", inputs)
    config = {"settings": training.settings, "schedule": training.schedule}
    write_json(training.folder / "config.json", config)
    return decision


def last_step(decision: Decision, steps: int) -> int | None:
    """The last step that is trained already, or None; `steps` are asked for."""
    match decision:
        case Done():
            return steps
        case After(step):
            return step
        case Afresh():
            return None


def supervise(
    training: Training, resume_step: int | None, lock: int, watch: Watch, stop: Stop
) -> Outcome:
    """Run verl's process to its end, and show `watch` what it writes.

    resume_step: the step to resume after, or None; lock: file descriptor for verl's process.
    """
    settings, folder = training.settings, training.folder
    attempts = folder / "attempts"
    attempts.mkdir(exist_ok=True)
    output = attempts / f"{len(list(attempts.glob('*.log'))) + 1:03}.log"
    nodes = settings.get("nodes", 1)
    # On a CPU these are logical: verl's pools count GPUs, and its actors ask for CPUs.
    cpus = 8 if settings["device"] == "cpu" else settings["threads"]
    each = {"cpus": cpus, "gpus": settings.get("gpus_per_node", 1)}
    # Unix sockets allow 107 characters, so Ray's folder cannot be next to the results.
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as ray_folder,
        ExitStack() as several_nodes,
    ):
        variables = environment(settings, ray_folder)
        address = "local"
        if nodes > 1:
            variables |= secret()
            ray_log = output.with_suffix(".ray")
            address = several_nodes.enter_context(
                ray_cluster(nodes, **each, environment=variables, log=ray_log)
            )
        overrides = verl_overrides(settings, training.schedule, training.paths, resume_step)
        request = {"overrides": overrides, "ray": {"nodes": nodes, **each, "address": address}}
        write_json(folder / "request.json", request)
        with open(output, "w") as log:
            process = subprocess.Popen(
                [sys.executable, *VERL, str(folder / "request.json")],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=variables,
                pass_fds=[lock],
                start_new_session=True,
            )
        _wait(process, watch, stop)
    stopped = stop.asked and process.returncode in (0, -signal.SIGUSR1) and not _ended(training)
    return Outcome(process.returncode, stopped, output)


def _wait(process: subprocess.Popen, watch: Watch, stop: Stop) -> None:
    """Until verl's process has ended, which it does at the latest when this process does."""
    stop.process = process
    deadline = Deadline()
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            watch.look()
            if not stop.asked and deadline.near():
                stop.request(process, "the Slurm job is about to end")
    finally:
        stop.process = None
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _ended(training: Training) -> bool:
    marker = training.folder / "resume.json"
    return marker.exists() and read_json(marker)["step"] == training.steps


def write_up(training: Training, started: datetime, git: dict, mlflow_run_id: str | None) -> None:
    """The run's files from the checkpoint folder's; on a GPU the optimizer may be discarded."""
    finished = datetime.now(UTC)
    about = {
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds(), 1),
        "git": git,
        "where": this_process(),
        "mlflow_run_id": mlflow_run_id,
    }
    write_results(training.folder, training.run_dir, training.settings, training.schedule, about)
    if training.settings["device"] == "cuda" and not training.schedule["gpu"]["keep_optimizer"]:
        discard_optimizer(training.folder, training.steps)


def wait_for_room(folder: Path) -> None:
    """Wait while the disk is full: a job that failed at once would use up its retries."""
    while shutil.disk_usage(folder).free < MINIMUM_FREE_BYTES:
        print(f"waits for room on the disk of {folder}", flush=True)
        time.sleep(ROOM_SECONDS)


def _mirror(training: Training, uri: str, experiment: str, git: dict) -> Callable[[], str | None]:
    """Mirrors the run to MLflow as far as it is, and returns the id of its MLflow run."""
    tags = {key: training.settings[key] for key in ("model", "mix", "method", "seed")}
    tags |= {"run": training.run_dir.name, "kind": "training"}
    tags |= {"git_commit": git["commit"], "git_dirty": git["dirty"]}
    return LiveMirror(uri, experiment, training.folder, tags)


def _no_mirror() -> None:
    return None


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, type=json.loads, help="settings, JSON")
    parser.add_argument(
        "--schedule", required=True, type=json.loads, help="steps, validation, checkpoints, JSON"
    )
    parser.add_argument("--gpu", type=json.loads, help="memory settings per GPU, JSON")
    parser.add_argument("--train", required=True, type=Path, help="parquet of prompts")
    parser.add_argument("--validation", required=True, type=Path, help="parquet of problems")
    parser.add_argument("--model", required=True, type=Path, help="Hugging Face folder")
    parser.add_argument("--run-dir", required=True, type=Path, help="for the run's files")
    parser.add_argument("--checkpoints", required=True, type=Path, help="folder to resume from")
    parser.add_argument("--tracking-uri", required=True, help="of MLflow")
    parser.add_argument("--experiment", required=True, help="of MLflow")
    return parser.parse_args()


def main() -> None:
    arguments = _parse()
    started = datetime.now(UTC)
    stop = Stop()
    schedule = arguments.schedule
    if arguments.config["device"] == "cuda":
        schedule = {**schedule, "gpu": arguments.gpu}
    paths = Paths(
        arguments.train.resolve(),
        arguments.validation.resolve(),
        arguments.model.resolve(),
        arguments.checkpoints.resolve(),
    )
    training = Training(arguments.config, schedule, paths, arguments.run_dir)
    training.folder.mkdir(parents=True, exist_ok=True)
    in_slurm = "SLURM_JOB_ID" in os.environ
    if in_slurm:
        wait_for_room(training.folder)
    with locked(training.folder, wait=in_slurm) as lock:
        resume_step = last_step(resume(training), training.steps)
        start = "from the start" if resume_step is None else f"resumes after step {resume_step}"
        print(f"{training.run_dir.name}  {start}", flush=True)
        git = git_state(Path(__file__).parent)
        # Nodes that write one sqlite file corrupt it: it is left to the rule mirror_tracking.
        leave_mlflow = in_slurm and arguments.tracking_uri.startswith("sqlite:")
        mirror: Callable[[], str | None] = (
            _no_mirror
            if leave_mlflow
            else _mirror(training, arguments.tracking_uri, arguments.experiment, git)
        )
        if resume_step != training.steps:
            watch = Watch(training.run_dir.name, training.folder, training.steps, mirror)
            outcome = supervise(training, resume_step, lock, watch, stop)
            if outcome.stopped:
                print("stopped. Hint: the same command resumes from its checkpoint.", flush=True)
                sys.exit(STOPPED)
            if outcome.exit_status != 0:
                _report_failure(outcome)
                sys.exit(FAILED)
        write_up(training, started, git, mirror())


def _report_failure(outcome: Outcome) -> None:
    tail = outcome.output.read_text(errors="replace").splitlines()[-25:]
    print("\n".join(tail), file=sys.stderr)
    print(
        f"error: verl ended with exit status {outcome.exit_status}; its output is in "
        f"{outcome.output}. Hint: the same command resumes from the last checkpoint.",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run_cli(main)
