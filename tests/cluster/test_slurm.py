"""Failures of a cluster, on a private Slurm of this machine: every run ends as if undisturbed.

Slurm, Snakemake, its Slurm plugin and the supervisor of a run are real. A quick stand-in
(fake_training.py) replaces verl, and a `python` that only writes files replaces the jobs before it.
`make slurm-test` installs what is missing, if it can, and runs these tests.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import slurm_cluster
from support.project import copy_project

from lens_impl.files import ROOT, read_jsonl

FAKE_TRAINING = ROOT / "tests" / "support" / "fake_training.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(slurm_cluster.missing()), reason=f"no Slurm here: {slurm_cluster.missing()}"
    ),
]

RUN = "tiny_math-dapo_lens_s1"
STEPS = 12
SLURM = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2"]
SLURM += ["--latency-wait", "5", "--config", "scale=smoke", "--configfile", "steps.yaml"]


@pytest.fixture(scope="module")
def cluster():
    with slurm_cluster.cluster() as running:
        yield running


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A project with everything that a run needs."""
    project = copy_project(tmp_path_factory.mktemp("prepared") / "project")
    (project.folder / "steps.yaml").write_text(f"train: {{steps: {STEPS}, checkpoint_every: 5}}\n")
    python = project.folder / "bin" / "python"
    fake = f'[ "$2" = lens_impl.training.supervisor ] && exec {sys.executable} {FAKE_TRAINING} '
    python.write_text(python.read_text().replace("\nmake() {", f'\n{fake}"${{@:3}}"\nmake() {{', 1))
    before = "results/smoke/{data/math-dapo.parquet,data/eval_math.parquet,models/tiny}"
    targets = subprocess.check_output(["bash", "-c", f"echo {before}"], text=True).split()
    status, output = project.snakemake(
        *("--config", "scale=smoke", "--configfile", "steps.yaml", "--"),
        *(*targets, "results/smoke/mlflow.init.json"),
    )
    assert status == 0, output
    return project.folder


class Job:
    """A Snakemake on the login node whose one run trains on the cluster."""

    def __init__(
        self,
        prepared: Path,
        folder: Path,
        cluster,
        seconds: float,
        minutes: int = 10,
        **variables: str,
    ):
        shutil.copytree(prepared, folder, symlinks=True, dirs_exist_ok=True)
        self.folder, self.cluster, self.minutes = folder, cluster, minutes
        path = f"{folder / 'bin'}:{cluster.path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = os.environ | {
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "FAKE_SECONDS": str(seconds),
            **variables,
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "snakemake", *SLURM, "--set-resources", "train:gpu=1"]
        command += [
            f"train:runtime={self.minutes}",
            "--",
            f"results/smoke/runs/{RUN}/manifest.json",
        ]
        self.log = self.folder / f"snakemake.{time.monotonic_ns()}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def checkpoints(self) -> Path:
        return next(self.folder.glob(f"results/smoke/runs/{RUN}/checkpoints/*"))

    def until_step(self, step: int) -> None:
        deadline = time.monotonic() + 90
        while not list(self.folder.glob(f"results/smoke/runs/{RUN}/checkpoints/*/metrics.jsonl")):
            self._go_on(deadline)
        while len((self.checkpoints / "metrics.jsonl").read_text().splitlines()) < step:
            self._go_on(deadline)

    def _go_on(self, deadline: float) -> None:
        assert self.process.poll() is None, self.log.read_text()
        assert time.monotonic() < deadline, self.log.read_text()
        time.sleep(0.05)

    def train_job(self) -> str:
        """The Slurm job of the run."""
        jobs = [job for job, state, rule in self.cluster.jobs() if "train" in rule]
        assert len(jobs) == 1, self.cluster.jobs()
        return jobs[0]

    def slurm(self, *command: str) -> None:
        subprocess.run([self.cluster.path / command[0], *command[1:]], check=True)

    def result(self, seconds: float = 400) -> dict[str, str]:
        """The files of the run that an interruption must not change."""
        assert self.process.wait(seconds) == 0, self.log.read_text()
        run_dir = self.folder / "results" / "smoke" / "runs" / RUN
        manifest = json.loads((run_dir / "manifest.json").read_text())
        model = self.folder / manifest["model_dir"] / "config.json"
        config = (run_dir / "config.json").read_text().replace(str(self.folder), "")
        curves = (run_dir / "curves.parquet").read_bytes().hex()
        metrics = (run_dir / "metrics.jsonl").read_text()
        return {"config": config, "metrics": metrics, "model": model.read_text(), "curves": curves}

    @property
    def attempts(self) -> int:
        return len(list((self.checkpoints / "attempts").iterdir()))


@pytest.fixture
def job(prepared, tmp_path, cluster):
    """Starts a job, and ends it whatever happens."""
    made: list[Job] = []

    def make(seconds: float = 0.5, **options) -> Job:
        made.append(Job(prepared, tmp_path / "project", cluster, seconds, **options))
        return made[0]

    yield make
    for one in made:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
    for number, _, _ in cluster.jobs():
        subprocess.run([cluster.path / "scancel", number])


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory, cluster):
    one = Job(prepared, tmp_path_factory.mktemp("undisturbed") / "project", cluster, 0.1)
    result = one.result()
    assert one.attempts == 1
    steps = [line["step"] for line in read_jsonl(one.checkpoints / "metrics.jsonl")]
    assert steps == list(range(1, STEPS + 1))
    manifest = json.loads(
        (one.folder / "results" / "smoke" / "runs" / RUN / "manifest.json").read_text()
    )
    # Slurm has assigned a GPU, and the run has seen it.
    assert manifest["where"]["cuda_visible_devices"] in ("0", "1")
    assert manifest["where"]["slurm_job"]
    return result


def test_a_run_that_fails_is_submitted_again(job, undisturbed):
    one = job(seconds=0.2, FAKE_FAULT="exit")
    assert one.result() == undisturbed
    assert one.attempts == 2


def test_a_run_whose_job_is_about_to_end_saves_first(job, undisturbed):
    """48 s of steps in jobs of a minute, of which half is the notice."""
    one = job(seconds=4, minutes=1)
    assert one.result() == undisturbed
    assert one.attempts >= 2
    # Slurm's files of the jobs that failed, and the log of the last.
    files = one.folder.glob("results/s*/**/*.log")
    logs = "".join(file.read_text() for file in files)
    assert "the Slurm job is about to end: ends this step, saves, and leaves" in logs
    # The step in which it was asked to stop; not a multiple of checkpoint_every.
    steps = {int(step) for step in re.findall(r"resumes after step (\d+)", logs)}
    assert any(step % 5 for step in steps)


def test_walltime_that_ends_within_a_step(job, undisturbed):
    """The stand-in does not listen at first, as in a step longer than the notice: TIMEOUT."""
    one = job(seconds=6, minutes=1, FAKE_FAULT="deaf")
    assert one.result() == undisturbed
    assert one.attempts >= 2
    assert "status is: 'TIMEOUT'" in one.log.read_text()


def test_preemption(job, undisturbed, cluster):
    """A job of higher priority takes the node; Slurm sends SIGTERM to every process."""
    one = job()
    one.until_step(5)
    one.slurm("sbatch", "--partition=urgent", "-c8", "-o/dev/null", "--wrap", "sleep 5")
    assert one.result() == undisturbed
    assert one.attempts == 2


def test_scancel(job, undisturbed):
    one = job()
    one.until_step(6)
    one.slurm("scancel", one.train_job())
    assert one.result() == undisturbed
    assert one.attempts == 2


def test_slurmd_killed_and_restarted(job, undisturbed, cluster):
    one = job()
    one.until_step(3)
    cluster.kill_node("n1")
    one.until_step(5)
    cluster.start_node("n1")
    assert one.result() == undisturbed


def test_snakemake_killed_while_its_job_continues(job, undisturbed):
    """The second job waits for the first, which the new Snakemake does not know."""
    one = job(seconds=5)
    one.until_step(1)
    os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait()
    unlock = [sys.executable, "-m", "snakemake", *SLURM, "--unlock"]
    subprocess.run(unlock, cwd=one.folder, env=one.environment, check=True)
    one.start()
    assert one.result() == undisturbed
    assert one.attempts == 1
    log = (one.folder / f"results/smoke/logs/train/{RUN}.log").read_text()
    assert "waits for another training of the same run (Slurm job" in log


def test_results_folder_that_is_full_for_a_while(job, undisturbed, tmp_path):
    runs = tmp_path / "project" / "results" / "smoke" / "runs"
    runs.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", runs], check=True)
    try:
        one = job()
        one.until_step(5)
        filler = runs / "filler"
        with pytest.raises(OSError), open(filler, "wb") as full:
            while True:
                full.write(bytes(2**16))
                full.flush()
        time.sleep(12)
        assert one.process.poll() is None, one.log.read_text()
        filler.unlink()
        assert one.result() == undisturbed
        assert one.attempts >= 2
    finally:
        subprocess.run(["umount", "-l", runs], check=True)
