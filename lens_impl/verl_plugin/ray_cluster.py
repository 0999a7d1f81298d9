"""A Ray cluster over the nodes of one Slurm job, for a run on several nodes.

The run's supervisor, on the job's first node, starts one task per node with srun: the first becomes
Ray's head, the others join it. When the supervisor ends, however it does, so do the tasks: it ends
them, or Slurm does with the job.

    python -m lens_impl.verl_plugin.ray_cluster --address HOST:PORT --cpus 8 --gpus 1
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lens_impl.errors import UserError
from lens_impl.verl_plugin.environment import without_amd

JOIN_SECONDS = 180.0


@contextmanager
def ray_cluster(
    nodes: int, cpus: int, gpus: int, environment: dict[str, str], log: Path
) -> Iterator[str]:
    """The address of a Ray cluster with `cpus` and `gpus` per node; UserError outside Slurm.

    environment: of Ray's processes on all nodes, with `secret()`. log: file for their output.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if not job or not shutil.which("srun"):
        raise UserError(
            f"train.nodes is {nodes}, but this is no Slurm job. "
            "Hint: start the workflow with `--profile slurm`, or set train.nodes to 1."
        )
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    address = f"{socket.gethostbyname(socket.gethostname())}:{port}"
    # srun would read the variables of the supervisor's own job step as options.
    inherited = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("SLURM_", "SRUN_", "SBATCH_"))
    }
    command = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}"]
    command += ["--ntasks-per-node=1", f"--cpus-per-task={_cpus_of_task()}", "--cpu-bind=none"]
    command += ["--mem=0", "--kill-on-bad-exit=1"]
    command += [sys.executable, "-m", "lens_impl.verl_plugin.ray_cluster"]
    command += ["--address", address, "--cpus", str(cpus), "--gpus", str(gpus)]
    with open(log, "w") as out:
        tasks = subprocess.Popen(
            command,
            env={**inherited, "SLURM_JOB_ID": job},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield address
    finally:
        tasks.terminate()
        try:
            tasks.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(tasks.pid, signal.SIGKILL)


def _cpus_of_task() -> int:
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or 1)


def ray_command(address: str, cpus: int, gpus: int, head: bool) -> list[str]:
    """`ray start` for one node, in the foreground: the head, or one that joins it."""
    host, port = address.split(":")
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    ray += [f"--num-cpus={cpus}", f"--num-gpus={gpus}", "--disable-usage-stats"]
    if head:
        here = [f"--node-ip-address={host}", f"--port={port}", "--include-dashboard=false"]
        return [*ray, "--head", *here, f"--temp-dir={os.environ['RAY_TMPDIR']}"]
    return [*ray, f"--address={address}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", required=True, help="of the head, HOST:PORT")
    parser.add_argument("--cpus", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int)
    arguments = parser.parse_args()
    head = os.environ["SLURM_PROCID"] == "0"
    command = ray_command(arguments.address, arguments.cpus, arguments.gpus, head)
    host, port = arguments.address.split(":")
    deadline = time.monotonic() + JOIN_SECONDS
    while not head and not _answers(host, int(port)):
        if time.monotonic() > deadline:
            sys.exit(f"no Ray at {arguments.address} within {JOIN_SECONDS:.0f} s")
        time.sleep(0.5)
    # Slurm ends tasks by SIGTERM; the task deletes Ray's folder on this node before it ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ray = subprocess.Popen(command, env=without_amd(dict(os.environ)))
    try:
        sys.exit(ray.wait())
    finally:
        ray.terminate()
        ray.wait()
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
