"""The MLflow mirror against a real tracking server, and with many writers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.mlflow_store import EXPERIMENT, check_mirrored_once
from support.synthetic_results import synthetic_results, synthetic_runs

from lens_impl.files import ROOT
from lens_impl.results import Results
from lens_impl.tracking import mlflow_runs
from lens_impl.tracking.mirror import mirror_results

pytestmark = pytest.mark.slow


class Server:
    """A real tracking server on a port of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self.folder / "mlartifacts")]
        log = self.folder / "server.log"
        with open(log, "a") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True
            )
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=1)
                return
            except OSError:
                assert self.process.poll() is None, log.read_text()
                time.sleep(0.5)
        raise AssertionError(log.read_text())

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@pytest.fixture
def server(migrated, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(migrated.read_bytes())
    running = Server(tmp_path)
    yield running
    running.kill()


def start_run(uri: str, results: Results, name: str) -> subprocess.Popen:
    """A process that is a run to the mirror: its metrics grow. Prints its steps."""
    folder = Path(results.manifest(name)["checkpoints"])
    shutil.copy(results.file(name, "config.json"), folder)
    arguments = (uri, folder, results.file(name, "metrics.jsonl"), name)
    command = [sys.executable, "-m", "support.growing_run", *map(str, arguments)]
    environment = usual_patience() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def usual_patience() -> dict[str, str]:
    return {name: v for name, v in os.environ.items() if not name.startswith("MLFLOW_HTTP")}


def test_a_server_killed_while_a_run_trains(server, tmp_path):
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1,))[:1]
    results = synthetic_results(tmp_path / "tiny", runs, problems=5, steps=60)
    run = start_run(server.uri, results, runs[0].name)
    steps = iter(run.stdout)
    while int(next(steps)) < 10:
        pass
    server.kill()
    assert int(next(steps)) >= 10  # continues without it
    while int(next(steps)) < 25:
        pass
    server.start()
    assert [int(step) for step in steps][-1] == 60 and run.wait(60) == 0

    command = [sys.executable, "-m", "lens_impl.tracking.mirror", "mirror"]
    command += [
        "--results",
        str(results.path),
        "--runs",
        runs[0].name,
        "--tracking-uri",
        server.uri,
    ]
    command += ["--experiment", EXPERIMENT, "--out", str(tmp_path / "marker.json")]
    client = MlflowClient(server.uri)
    for _ in range(2):  # a second time changes nothing
        subprocess.run(command, check=True, env=usual_patience())
        run_id = json.loads((tmp_path / "marker.json").read_text())[runs[0].name]
        lines = results.metrics(runs[0].name)
        check_mirrored_once(client, run_id, lines)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["kind"] for run in found) == ["base", "paper", "training"]


def test_eight_parallel_runs_lose_nothing(client, uri, tmp_path):
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1, 2, 3, 4))
    results = synthetic_results(tmp_path / "tiny", runs, problems=5, steps=20)
    mlflow_runs.init(client, EXPERIMENT)
    running = [start_run(uri, results, run.name) for run in runs]
    assert [run.wait(300) for run in running] == [0] * 8
    ids = mirror_results(uri, EXPERIMENT, results)
    assert len(set(ids.values())) == 10
    for run in runs:
        lines = results.metrics(run.name)
        check_mirrored_once(client, ids[run.name], lines)
