"""Manifest helpers, and the MLflow mirror against a real sqlite store and a real server."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
from support.synthetic_results import make_results, make_runs, metrics_line

from lens_impl.errors import UserError
from lens_impl.files import read_jsonl, write_json, write_jsonl, write_parquet, write_text
from lens_impl.provenance import PACKAGES, git_state, versions
from lens_impl.tracking import mirror as tracking
from lens_impl.tracking import mlflow_runs

EXPERIMENT = "lens-test"
TAGS = {"run": "tiny_math-dapo_lens_s1", "model": "tiny", "method": "lens", "seed": 1}


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> Path:
    """An sqlite file with MLflow's tables: the migration takes seconds, a copy takes none."""
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow_runs.init(f"sqlite:///{database}", "unused")
    return database


@pytest.fixture
def uri(migrated, tmp_path) -> str:
    (tmp_path / "mlflow.db").write_bytes(migrated.read_bytes())
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def fresh_patience(monkeypatch):
    monkeypatch.setattr(tracking, "_quiet_until", 0.0)
    # try_mirror shortens MLflow's patience for the whole process: undo it after each test.
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")


def client(uri):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def history(uri, run_id, name) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client(uri).get_metric_history(run_id, name)]


def training(tmp_path, steps: int) -> Path:
    """The checkpoint folder of a training that has done `steps` steps."""
    folder = tmp_path / "checkpoints"
    settings = {"advantage": {"alpha": 0.25}}
    write_json(folder / "config.json", {"settings": settings, "schedule": {"steps": steps}})
    lines = [metrics_line(step, 10, "lens") for step in range(1, steps + 1)]
    write_jsonl(folder / "metrics.jsonl", lines)
    for step in range(0, steps + 1, 2):
        rows = [{"step": step, "problem_id": f"p{i}", "level": 4 + i, "n": 4} for i in (-1, 0, 1)]
        frame = pd.DataFrame(rows).assign(correct=[4, 1, step % 4])
        write_parquet(folder / "validation" / f"step_{step}.parquet", frame)
    return folder


def test_git_state_outside_a_repository(tmp_path):
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_git_state_sees_changes_to_tracked_files(tmp_path):
    def git(*arguments):
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *names, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "one")
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (tmp_path / "other").write_text("untracked")
    assert git_state(tmp_path) == clean
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == clean | {"dirty": True}


def test_versions_name_missing_packages():
    found = versions()
    assert found["python"].startswith("3.")
    assert found["mlflow"] is not None
    assert set(found) == {"python", *PACKAGES}


def test_flatten():
    assert mlflow_runs.flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {
        "a.b.c": 1,
        "a.d": [2],
        "e": None,
    }


def test_resumed_training_logs_each_step_once(uri, tmp_path):
    folder = training(tmp_path, steps=4)
    run_id = tracking.try_mirror(uri, EXPERIMENT, folder, folder / "mlflow_run_id", TAGS)
    assert (folder / "mlflow_run_id").read_text().strip() == run_id
    assert client(uri).get_run(run_id).info.status == "FINISHED"
    # Killed after step 4, resumed from a checkpoint at step 2: the file is cut and grows again.
    write_jsonl(folder / "metrics.jsonl", read_jsonl(folder / "metrics.jsonl")[:2])
    assert tracking.try_mirror(uri, EXPERIMENT, folder, folder / "mlflow_run_id", TAGS) == run_id
    assert client(uri).get_run(run_id).info.status == "RUNNING"
    training(tmp_path, steps=6)
    assert tracking.try_mirror(uri, EXPERIMENT, folder, folder / "mlflow_run_id", TAGS) == run_id

    expected = [(step, metrics_line(step, 10, "lens")["reward"]) for step in range(1, 7)]
    assert history(uri, run_id, "reward/mean") == expected
    # null at step 1 in the file: absent in MLflow, not zero
    assert [step for step, _ in history(uri, run_id, "confidence/wrong")] == [2, 3, 4, 5, 6]
    assert history(uri, run_id, "time/rollout") == [(step, 0.5) for step in range(1, 7)]
    # of 12 answers 4 + 1 + step % 4 are right; of the 8 on Levels 4 and 5, 1 + step % 4
    accuracy = [(0, 5 / 12), (2, 7 / 12), (4, 5 / 12), (6, 7 / 12)]
    assert history(uri, run_id, "validation/accuracy") == accuracy
    hard = [(0, 1 / 8), (2, 3 / 8), (4, 1 / 8), (6, 3 / 8)]
    assert history(uri, run_id, "validation/accuracy_level_4-5") == hard
    run = client(uri).get_run(run_id)
    assert run.data.tags["method"] == "lens"
    # A parameter keeps its first value when a longer training resumes: MLflow forbids changes.
    assert run.data.params == {"advantage.alpha": "0.25", "steps": "4"}


def test_half_written_line_waits(uri, tmp_path):
    folder = training(tmp_path, steps=2)
    with open(folder / "metrics.jsonl", "a") as lines:
        lines.write('{"step": 3, "rew')
    run_id = tracking.try_mirror(uri, EXPERIMENT, folder, folder / "mlflow_run_id", TAGS)
    assert [step for step, _ in history(uri, run_id, "reward/mean")] == [1, 2]


def test_more_lines_than_fit_one_batch(uri, tmp_path):
    lines = [metrics_line(step, 120, "lens") for step in range(1, 121)]
    run_id = mlflow_runs.start_run(uri, EXPERIMENT, tmp_path / "id", "long")
    assert mlflow_runs.mirror_metrics(uri, run_id, lines) == 120
    assert mlflow_runs.mirror_metrics(uri, run_id, lines) == 0
    assert [step for step, _ in history(uri, run_id, "policy/entropy")] == list(range(1, 121))


def test_id_of_another_database_is_replaced(uri, tmp_path):
    id_file = tmp_path / "id"
    id_file.write_text("f" * 32)
    run_id = mlflow_runs.start_run(uri, EXPERIMENT, id_file, "name")
    assert run_id != "f" * 32
    assert id_file.read_text().strip() == run_id
    assert mlflow_runs.start_run(uri, EXPERIMENT, tmp_path / "lost", "name", run_id) == run_id


def test_dead_server_does_not_stop_a_training(tmp_path, caplog):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    folder = training(tmp_path, steps=2)
    arguments = (f"http://127.0.0.1:{port}", EXPERIMENT, folder, folder / "mlflow_run_id", TAGS)
    with caplog.at_level(logging.WARNING, logger="lens_impl.tracking.mirror"):
        assert tracking.try_mirror(*arguments) is None
        assert tracking.try_mirror(*arguments) is None
    warnings = [r for r in caplog.records if r.name == "lens_impl.tracking.mirror"]
    assert len(warnings) == 1
    assert "training goes on" in warnings[0].getMessage()
    assert not (folder / "mlflow_run_id").exists()


def test_programming_errors_are_not_swallowed(uri, tmp_path):
    folder = training(tmp_path, steps=1)
    write_jsonl(folder / "metrics.jsonl", [{"step": 1}])
    with pytest.raises(KeyError, match="seconds"):
        tracking.try_mirror(uri, EXPERIMENT, folder, folder / "mlflow_run_id", TAGS)


def test_mirror_logs_everything_once(uri, tmp_path):
    runs = make_runs(mixes=("math-dapo",), seeds=(1,))
    results = make_results(tmp_path / "results" / "tiny", runs, problems=10, steps=10)
    write_text(results / "tables" / "table1.md", "a table")
    first = tracking.mirror_results(uri, EXPERIMENT, results, runs)
    assert tracking.mirror_results(uri, EXPERIMENT, results, runs) == first
    assert set(first) == {"paper", "tiny_base", *(run["run"] for run in runs)}

    mlflow = client(uri)
    experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    assert experiment.artifact_location == (tmp_path / "mlartifacts").as_uri()
    everything = mlflow.search_runs([experiment.experiment_id])
    kinds = sorted(run.data.tags["kind"] for run in everything)
    assert kinds == ["base", "paper", "training", "training"]
    assert {run.info.status for run in everything} == {"FINISHED"}
    children = {run.info.run_name for run in everything if "mlflow.parentRunId" in run.data.tags}
    assert children == {"tiny_base", *(run["run"] for run in runs)}
    parents = {run.data.tags.get("mlflow.parentRunId") for run in everything}
    assert parents == {first["paper"], None}

    lens = first["tiny_math-dapo_lens_s1"]
    assert [step for step, _ in history(uri, lens, "reward/mean")] == list(range(1, 11))
    assert [step for step, _ in history(uri, lens, "validation/accuracy")] == [0, 10]
    assert mlflow.get_run(lens).data.tags["git_dirty"] == "False"
    names = {artifact.path for artifact in mlflow.list_artifacts(lens)}
    assert names == {"config.json", "manifest.json", "pass_at_k_math.csv"}
    run = mlflow.get_run(lens)
    # The run took the time that its manifest says, not that of being mirrored.
    assert run.info.end_time - run.info.start_time == 60_000
    assert "seed 1" in run.data.tags["mlflow.note.content"]
    assert len(run.data.params) < 50
    assert [a.path for a in mlflow.list_artifacts(first["paper"], "tables")] == ["tables/table1.md"]
    for name in ("tiny_base", "tiny_math-dapo_lens_s1"):
        assert len(history(uri, first[name], "math/pass_at_16/level_4-5")) == 1


def test_a_run_created_by_a_server_that_died_is_found_again(uri, tmp_path):
    first = mlflow_runs.start_run(uri, EXPERIMENT, tmp_path / "run" / "id", "name")
    (tmp_path / "run" / "id").unlink()  # the answer with the id never came
    assert mlflow_runs.start_run(uri, EXPERIMENT, tmp_path / "run" / "id", "name") == first
    assert mlflow_runs.start_run(uri, EXPERIMENT, tmp_path / "other" / "id", "name") != first


def test_mirror_leaves_a_training_that_has_not_ended(uri, tmp_path, capsys):
    runs = make_runs(mixes=("math-dapo",), seeds=(1,))
    results = make_results(tmp_path / "tiny", runs, problems=5, steps=10)
    (results / "runs" / runs[0]["run"] / "manifest.json").unlink()
    ids = tracking.mirror_results(uri, EXPERIMENT, results, runs)
    assert set(ids) == {"paper", "tiny_base", runs[1]["run"]}
    assert runs[0]["run"] in capsys.readouterr().out


def run_verb(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["tracking", *map(str, arguments)])
    tracking.main()


DEAD_SERVER = ("--tracking-uri", "http://127.0.0.1:9", "--experiment", EXPERIMENT)


def test_a_server_that_is_down_stops_no_training(tmp_path, monkeypatch, caplog):
    out = tmp_path / "marker.json"
    run_verb(monkeypatch, "init", *DEAD_SERVER, "--out", out)
    assert json.loads(out.read_text()) == {"experiment_id": None}
    assert "127.0.0.1:9" in caplog.text


def test_mirror_command_says_that_the_server_is_down(tmp_path, monkeypatch):
    out = tmp_path / "marker.json"
    results = ("--results", tmp_path, "--runs", "[]")
    with pytest.raises(UserError, match="127.0.0.1:9"):
        run_verb(monkeypatch, "mirror", *results, *DEAD_SERVER, "--out", out)
    assert not out.exists()


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


# Stands for a training: appends the lines of a finished one and mirrors after each, as train.py.
TRAINING = """
import json, sys, time
from pathlib import Path
from lens_impl.tracking import mirror as tracking
uri, folder, source, run = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
tracking.RETRY_AFTER_SECONDS = 0.5
for line in source.read_text().splitlines(keepends=True):
    with open(folder / "metrics.jsonl", "a") as lines:
        lines.write(line)
    tracking.try_mirror(uri, "lens-test", folder, folder / "mlflow_run_id", {"run": run})
    print(json.loads(line)["step"], flush=True)
    time.sleep(0.2)
"""


def start_training(uri: str, results: Path, run: dict) -> subprocess.Popen:
    run_dir = results / "runs" / run["run"]
    folder = Path(json.loads((run_dir / "manifest.json").read_text())["checkpoints"])
    (folder / "config.json").write_text((run_dir / "config.json").read_text())
    command = [sys.executable, "-c", TRAINING, uri, folder, run_dir / "metrics.jsonl", run["run"]]
    return subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, text=True, env=usual_patience()
    )


def usual_patience() -> dict[str, str]:
    return {name: v for name, v in os.environ.items() if not name.startswith("MLFLOW_HTTP")}


def mirrored_once(uri: str, run_id: str, lines: list[dict]) -> None:
    """Every number of metrics.jsonl is in MLflow once, and no other."""
    for key, name in mlflow_runs.METRIC_NAMES.items():
        found = [(line["step"], line.get(key)) for line in lines]
        expected = [(step, value) for step, value in found if value is not None]
        assert sorted(history(uri, run_id, name)) == expected, name
    for part in lines[0]["seconds"]:
        expected = [(line["step"], line["seconds"][part]) for line in lines]
        assert sorted(history(uri, run_id, f"time/{part}")) == expected, part


@pytest.mark.slow
def test_server_killed_in_mid_training(server, tmp_path):
    runs = make_runs(mixes=("math-dapo",), seeds=(1,))[:1]
    results = make_results(tmp_path / "tiny", runs, problems=5, steps=60)
    training = start_training(server.uri, results, runs[0])
    steps = iter(training.stdout)
    while int(next(steps)) < 10:
        pass
    server.kill()
    assert int(next(steps)) >= 10  # goes on without it
    while int(next(steps)) < 25:
        pass
    server.start()
    assert [int(step) for step in steps][-1] == 60 and training.wait(60) == 0

    command = [
        sys.executable,
        "-m",
        "lens_impl.tracking.mirror",
        "mirror",
        "--results",
        str(results),
    ]
    command += ["--runs", json.dumps(runs), "--tracking-uri", server.uri]
    command += ["--experiment", EXPERIMENT, "--out", str(tmp_path / "marker.json")]
    for _ in range(2):  # a second time changes nothing
        subprocess.run(command, check=True, env=usual_patience())
        run_id = json.loads((tmp_path / "marker.json").read_text())[runs[0]["run"]]
        lines = read_jsonl(results / "runs" / runs[0]["run"] / "metrics.jsonl")
        mirrored_once(server.uri, run_id, lines)
    experiment = client(server.uri).get_experiment_by_name(EXPERIMENT)
    found = client(server.uri).search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["kind"] for run in found) == ["base", "paper", "training"]


@pytest.mark.slow
def test_eight_parallel_trainings_lose_nothing(uri, tmp_path):
    runs = make_runs(mixes=("math-dapo",), seeds=(1, 2, 3, 4))
    results = make_results(tmp_path / "tiny", runs, problems=5, steps=20)
    mlflow_runs.init(uri, EXPERIMENT)
    trainings = [start_training(uri, results, run) for run in runs]
    assert [training.wait(300) for training in trainings] == [0] * 8
    ids = tracking.mirror_results(uri, EXPERIMENT, results, runs)
    assert len(set(ids.values())) == 10
    for run in runs:
        lines = read_jsonl(results / "runs" / run["run"] / "metrics.jsonl")
        mirrored_once(uri, ids[run["run"]], lines)
