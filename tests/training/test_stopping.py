"""A run that is asked to stop, with a quick stand-in for verl's process (fake_training.py)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import fake_training

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import planned_runs
from lens_impl.experiments.settings import training_schedule, training_settings
from lens_impl.files import ROOT, read_jsonl

pytestmark = pytest.mark.slow

STEPS = 6


class Training:
    """The command of one run, in a folder of its own."""

    def __init__(self, folder: Path):
        config = load("smoke", ROOT)
        schedule = training_schedule(config) | {"steps": STEPS, "checkpoint_every": 4}
        settings = training_settings(config, planned_runs(config)[0])
        self.run_dir, self.checkpoints = folder / "run", folder / "checkpoints"
        for name in ("train", "validation", "model"):
            (folder / name).touch()
        values = {
            "--config": json.dumps(settings),
            "--schedule": json.dumps(schedule),
            **{f"--{name}": folder / name for name in ("train", "validation", "model")},
            "--run-dir": self.run_dir,
            "--checkpoints": self.checkpoints,
            # A port that nobody listens on: MLflow being down stops no run.
            "--tracking-uri": "http://127.0.0.1:9",
            "--experiment": "test",
        }
        self.command = [sys.executable, fake_training.__file__]
        self.command += [str(part) for pair in values.items() for part in pair]

    def start(self, seconds: float) -> subprocess.Popen:
        environment = os.environ | {"FAKE_SECONDS": str(seconds), "PYTHONPATH": str(ROOT)}
        environment.pop("SLURM_JOB_ID", None)
        return subprocess.Popen(
            self.command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )

    def until_step(self, step: int) -> None:
        deadline = time.monotonic() + 120
        metrics = self.checkpoints / "metrics.jsonl"
        while not metrics.exists() or metrics.read_text().count("\n") < step:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def result(self) -> tuple[list, str]:
        manifest = json.loads((self.run_dir / "manifest.json").read_text())
        model = (ROOT / manifest["model_dir"] / "config.json").read_text()
        return read_jsonl(self.run_dir / "metrics.jsonl"), model


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    training = Training(tmp_path_factory.mktemp("undisturbed"))
    assert training.start(0).wait(240) == 0
    return training


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_asked_to_stop_it_saves_and_says_that_it_can_resume(tmp_path, undisturbed, number):
    training = Training(tmp_path)
    process = training.start(1.5)
    training.until_step(2)
    process.send_signal(number)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 85
    assert f"asked to stop by {number.name}: ends this step, saves, and leaves" in output
    # The signal came in the third step; a checkpoint would be due after the fourth.
    step = json.loads((training.checkpoints / "resume.json").read_text())["step"]
    assert step == 3 and not training.run_dir.exists()
    assert training.start(0).wait(240) == 0
    assert training.result() == undisturbed.result()


def test_a_second_signal_ends_it_at_once(tmp_path, undisturbed):
    training = Training(tmp_path)
    process = training.start(30)
    deadline = time.monotonic() + 120
    while not list(training.checkpoints.glob("attempts/*.log")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(4)
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert training.start(0).wait(240) == 0
    assert training.result() == undisturbed.result()


def test_a_finished_run_is_written_up_again_as_it_was(undisturbed):
    manifest = undisturbed.run_dir / "manifest.json"
    before = manifest.read_text()
    manifest.unlink()
    process = undisturbed.start(60)
    assert f"resumes after step {STEPS}" in process.communicate(timeout=120)[0]
    assert process.returncode == 0 and manifest.read_text() == before
