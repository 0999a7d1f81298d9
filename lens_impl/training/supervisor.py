"""Train one run with verl, resumable at any moment: `python -m lens_impl.training.supervisor`.

This process supervises a verl process: it holds the lock on the checkpoint folder, decides where
to resume, shows progress, mirrors to MLflow, and turns what the training left in the checkpoint
folder into the run's files. Everything a killed training needs is in the checkpoint folder
(checkpoints.py). A training that was told to stop saves and ends with exit status 85.
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
from datetime import UTC, datetime
from pathlib import Path

from lens_impl.errors import run_cli
from lens_impl.experiments.checks import MINIMUM_FREE_BYTES
from lens_impl.files import write_json
from lens_impl.identity import fingerprint
from lens_impl.provenance import git_state
from lens_impl.tracking.mirror import LiveMirror
from lens_impl.training.checkpoints import (
    discard_optimizer,
    locked,
    resume_step,
    this_process,
)
from lens_impl.training.progress import Watch
from lens_impl.training.run_files import write_results
from lens_impl.training.slurm import Deadline
from lens_impl.verl_plugin.environment import environment, secret
from lens_impl.verl_plugin.overrides import Paths, verl_overrides
from lens_impl.verl_plugin.ray_cluster import ray_cluster

VERL = ("-m", "lens_impl.verl_plugin.main")
STOPPED = 85  # exit status of a training that was told to stop and can go on
POLL_SECONDS = 0.5
ROOM_SECONDS = 30.0


class Stop:
    """A request to end the step, save and leave: SIGTERM, SIGUSR1, or the end of a Slurm job.

    A second signal ends the training at once.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: object) -> None:
        if self.process is None or self.asked:
            sys.exit(128 + number)
        self.request(f"told to stop by {signal.Signals(number).name}")

    def request(self, why: str) -> None:
        self.asked = True
        print(f"{why}: ends this step, saves, and leaves", flush=True)
        self.process.send_signal(signal.SIGUSR1)


def train(
    settings: dict,
    schedule: dict,
    paths: Paths,
    lock: int,
    step: int | None,
    watch: Watch,
    stop: Stop,
) -> None:
    """Run verl's process to its end, and show `watch` what it writes."""
    folder = paths.checkpoints
    on_cpu, nodes = settings["device"] == "cpu", settings.get("nodes", 1)
    # On the processor these are logical: verl's pools count GPUs, and its actors ask for CPUs.
    each = {"cpus": 8 if on_cpu else settings["threads"], "gpus": settings.get("gpus_per_node", 1)}
    attempts = folder / "attempts"
    attempts.mkdir(exist_ok=True)
    output = attempts / f"{len(list(attempts.glob('*.log'))) + 1:03}.log"
    command = [sys.executable, *VERL, str(folder / "request.json")]
    # Unix sockets allow 107 characters, so Ray's folder cannot lie beside the results.
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as ray_folder,
        ExitStack() as several_nodes,
    ):
        values = environment(settings, ray_folder)
        ray = {"nodes": nodes, **each, "address": "local"}
        if nodes > 1:
            values |= secret()
            cluster = ray_cluster(nodes, **each, environment=values, log=output.with_suffix(".ray"))
            ray["address"] = several_nodes.enter_context(cluster)
        overrides = verl_overrides(settings, schedule, paths, step)
        write_json(folder / "request.json", {"overrides": overrides, "ray": ray})
        with open(output, "w") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=values,
                pass_fds=[lock],
                start_new_session=True,
            )
        stop.process = process
        deadline = Deadline()
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                watch.look()
                if not stop.asked and deadline.near():
                    stop.request("the Slurm job is about to end")
        finally:
            stop.process = None
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    if stop.asked and process.returncode in (0, -signal.SIGUSR1) and not _ended(folder, schedule):
        print("stopped. Hint: the same command goes on from its checkpoint.", flush=True)
        sys.exit(STOPPED)
    if process.returncode != 0:
        tail = output.read_text(errors="replace").splitlines()[-25:]
        print("\n".join(tail), file=sys.stderr)
        print(
            f"error: verl ended with exit status {process.returncode}; its output is in {output}. "
            "Hint: the same command resumes from the last checkpoint.",
            file=sys.stderr,
        )
        sys.exit(1)


def _ended(folder: Path, schedule: dict) -> bool:
    resume = folder / "resume.json"
    return resume.exists() and json.loads(resume.read_text())["step"] == schedule["steps"]


def wait_for_room(folder: Path) -> None:
    """Wait while the disk is full: a job that failed at once would use up its retries."""
    while shutil.disk_usage(folder).free < MINIMUM_FREE_BYTES:
        print(f"waits for room on the disk of {folder}", flush=True)
        time.sleep(ROOM_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="settings of the run, JSON")
    parser.add_argument("--schedule", required=True, help="steps, validation, checkpoints, JSON")
    parser.add_argument("--gpu", type=json.loads, help="what fits into GPUs, JSON")
    parser.add_argument("--train", required=True, type=Path)
    parser.add_argument("--validation", required=True, type=Path)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--run-dir", required=True, type=Path)
    parser.add_argument("--checkpoints", required=True, type=Path)
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--experiment", required=True)
    arguments = parser.parse_args()
    settings, schedule = json.loads(arguments.config), json.loads(arguments.schedule)
    on_gpu, in_slurm = settings["device"] == "cuda", "SLURM_JOB_ID" in os.environ
    if on_gpu:
        schedule["gpu"] = arguments.gpu
    stop = Stop()

    folder = arguments.checkpoints.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    paths = Paths(
        arguments.train.resolve(),
        arguments.validation.resolve(),
        arguments.model.resolve(),
        folder,
    )
    started = datetime.now(UTC)
    if in_slurm:
        wait_for_room(folder)
    with locked(folder, wait=in_slurm) as lock:
        inputs = fingerprint(paths.train, paths.validation, paths.model)
        step = resume_step(folder, schedule, inputs)
        run = arguments.run_dir.name
        start = "from the start" if step is None else f"resumes after step {step}"
        print(f"{run}  {start}", flush=True)
        write_json(folder / "config.json", {"settings": settings, "schedule": schedule})
        git = git_state(Path(__file__).parent)
        tags = {key: settings[key] for key in ("model", "mix", "method", "seed")}
        tags |= {"run": run, "git_commit": git["commit"], "git_dirty": git["dirty"]}
        mirror: Callable[[], str | None] = LiveMirror(
            arguments.tracking_uri, arguments.experiment, folder, {**tags, "kind": "training"}
        )
        if in_slurm and arguments.tracking_uri.startswith("sqlite:"):
            # Nodes that write one sqlite file spoil it: it is left to the rule mirror_tracking.
            def mirror() -> None:
                return None

        if step != schedule["steps"]:
            watch = Watch(run, folder, schedule["steps"], mirror)
            train(settings, schedule, paths, lock, step, watch, stop)
        finished = datetime.now(UTC)
        about = {
            "started": started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
            "seconds": round((finished - started).total_seconds(), 1),
            "git": git,
            "where": this_process(),
            "mlflow_run_id": mirror(),
        }
        write_results(folder, arguments.run_dir, settings, schedule, about)
        if on_gpu and not schedule["gpu"]["keep_optimizer"]:
            discard_optimizer(folder, schedule["steps"])


if __name__ == "__main__":
    run_cli(main)
