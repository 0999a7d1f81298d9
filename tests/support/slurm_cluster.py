"""A private Slurm cluster on this machine: own configuration, ports, munge key and folder.

Nodes are `slurmd` processes; their GPUs are character devices, enough for Slurm to hand them out
and set CUDA_VISIBLE_DEVICES. `python tests/support/slurm_cluster.py COMMAND...` runs a command in
a cluster. Nothing is left behind.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scancel", "scontrol")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacctmgr", "sshare")

CONFIGURATION = """
ClusterName=lens
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=5
MinJobAge=3000
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=60
OverTimeLimit=0
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
"""


def missing() -> list[str]:
    """What a cluster needs and this machine lacks."""
    lacks = [] if os.geteuid() == 0 else ["root"]
    return lacks + [program for program in PROGRAMS if not _find(program)]


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Cluster:
    """A running cluster; `path` holds Slurm's commands for it, to be put first on PATH."""

    def __init__(self, folder: Path, nodes: int, gpus: int):
        self.folder, self.names = folder, [f"n{i + 1}" for i in range(nodes)]
        self.path = folder / "bin"
        self.daemons: dict[str, subprocess.Popen] = {}
        folder.chmod(0o755)
        for name in ("bin", "state", "key", *(f"spool-{name}" for name in self.names)):
            (folder / name).mkdir()
        (folder / "key").chmod(0o700)
        (folder / "key" / "munge.key").write_bytes(os.urandom(1024))
        (folder / "key" / "munge.key").chmod(0o400)
        text = CONFIGURATION.format(host=socket.gethostname(), port=_free_port(), folder=folder)
        gres = []
        for name in self.names:
            devices = [folder / f"{name}-nvidia{i}" for i in range(gpus)]
            for device in devices:
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            gres += [f"NodeName={name} Name=gpu Type=fake File={device}" for device in devices]
            text += (
                f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 "
                f"Port={_free_port()} CPUs=8 RealMemory=20000 State=UNKNOWN"
                + (f" Gres=gpu:fake:{gpus}\n" if gpus else "\n")
            )
        for line in ("main Default=YES PriorityTier=1 GraceTime=10", "urgent PriorityTier=2"):
            text += f"PartitionName={line} Nodes={','.join(self.names)} MaxTime=600\n"
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(text)
        (folder / "gres.conf").write_text("\n".join(gres) + "\n")
        # Wrappers, since the jobs of Snakemake lose SLURM_CONF on their way.
        for client in CLIENTS:
            wrapper = self.path / client
            real = _find(client)
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {real} "$@"\n')
            wrapper.chmod(0o755)

    def start(self) -> None:
        munge = ["--foreground", f"--socket={self.folder}/munge.socket"]
        munge += [f"--key-file={self.folder}/key/munge.key", f"--log-file={self.folder}/munged.log"]
        munge += [f"--{kind}-file={self.folder}/munged.{kind}" for kind in ("pid", "seed")]
        self._daemon("munged", "munged", *munge)
        _wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._daemon("slurmctld", "slurmctld", "-D", "-f", str(self.configuration))
        for name in self.names:
            self.start_node(name)
        _wait(lambda: self._states() == {"idle"}, "idle nodes", 60)

    def start_node(self, name: str) -> None:
        self._daemon(name, "slurmd", "-D", "-f", str(self.configuration), "-N", name)

    def kill_node(self, name: str) -> None:
        """Kill a node's daemon, and leave its jobs."""
        self.daemons[name].kill()
        self.daemons.pop(name).wait()

    def _daemon(self, name: str, program: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.out", "a") as out:
            self.daemons[name] = subprocess.Popen(
                [_find(program), *arguments], stdout=out, stderr=out, start_new_session=True
            )

    def _states(self) -> set[str]:
        done = subprocess.run(
            [self.path / "sinfo", "-h", "-o", "%t"], capture_output=True, text=True
        )
        return set(done.stdout.split())

    def jobs(self) -> list[tuple[str, str, str]]:
        """(id, state, rule) of all jobs that have not ended."""
        command = [self.path / "squeue", "-h", "-o", "%i|%T|%k"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]

    def end_jobs(self) -> None:
        subprocess.run([self.path / "scancel", "--user=root"], check=True)
        _wait(lambda: not self.jobs(), "the end of all jobs", 60)

    def stop(self) -> None:
        for name in reversed(list(self.daemons)):
            self.daemons[name].terminate()
            self.daemons[name].wait(30)

    def logs(self) -> str:
        files = [*self.folder.glob("*.log"), *self.folder.glob("*.out")]
        return "\n".join(f"{file.name}: {file.read_text()[-2000:]}" for file in files)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(condition, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


@contextmanager
def cluster(nodes: int = 1, gpus: int = 2) -> Iterator[Cluster]:
    # Not in a test's folder: munge wants every folder above its socket to be open to all.
    folder = Path(tempfile.mkdtemp(prefix="lens-slurm-", dir="/tmp"))
    made = Cluster(folder, nodes, gpus)
    # SIGTERM, for instance of a time limit, ends the cluster as Ctrl-C does: no daemon is left.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            made.start()
        except RuntimeError as error:
            raise RuntimeError(f"{error}; {made.logs()}") from None
        yield made
        made.end_jobs()
    finally:
        made.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    with cluster() as running:
        path = f"{running.path}:{os.environ['PATH']}"
        status = subprocess.run(sys.argv[1:], env={**os.environ, "PATH": path}).returncode
    sys.exit(status)
