"""The MLflow mirror against a real sqlite store."""

import json
import logging
import socket
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.mlflow_store import EXPERIMENT, history
from support.synthetic_results import metrics_line, synthetic_results, synthetic_runs

from lens_impl.errors import UserError
from lens_impl.files import read_jsonl, write_json, write_jsonl, write_parquet, write_text
from lens_impl.tracking import mirror, mlflow_runs
from lens_impl.tracking.mirror import LiveMirror, mirror_results

TAGS = {"run": "tiny_math-dapo_lens_s1", "model": "tiny", "method": "lens", "seed": 1}


def growing(tmp_path, steps: int) -> Path:
    """The checkpoint folder of a run that has done `steps` steps."""
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


def test_flatten():
    assert mlflow_runs.flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {
        "a.b.c": 1,
        "a.d": [2],
        "e": None,
    }


def test_a_resumed_run_logs_each_step_once(client, uri, tmp_path):
    folder = growing(tmp_path, steps=4)
    run_id = LiveMirror(uri, EXPERIMENT, folder, TAGS)()
    assert (folder / "mlflow_run_id").read_text().strip() == run_id
    assert client.get_run(run_id).info.status == "FINISHED"
    # Killed after step 4, resumed from a checkpoint at step 2: the file is cut and grows again.
    write_jsonl(folder / "metrics.jsonl", read_jsonl(folder / "metrics.jsonl")[:2])
    assert LiveMirror(uri, EXPERIMENT, folder, TAGS)() == run_id
    assert client.get_run(run_id).info.status == "RUNNING"
    growing(tmp_path, steps=6)
    assert LiveMirror(uri, EXPERIMENT, folder, TAGS)() == run_id

    expected = [(step, metrics_line(step, 10, "lens")["reward"]) for step in range(1, 7)]
    assert history(client, run_id, "reward/mean") == expected
    # null at step 1 in the file: absent in MLflow, not zero
    assert [step for step, _ in history(client, run_id, "confidence/wrong")] == [2, 3, 4, 5, 6]
    assert history(client, run_id, "time/rollout") == [(step, 0.5) for step in range(1, 7)]
    # of 12 answers 4 + 1 + step % 4 are right; of the 8 on Levels 4 and 5, 1 + step % 4
    accuracy = [(0, 5 / 12), (2, 7 / 12), (4, 5 / 12), (6, 7 / 12)]
    assert history(client, run_id, "validation/accuracy") == accuracy
    hard = [(0, 1 / 8), (2, 3 / 8), (4, 1 / 8), (6, 3 / 8)]
    assert history(client, run_id, "validation/accuracy_level_4-5") == hard
    run = client.get_run(run_id)
    assert run.data.tags["method"] == "lens"
    # A parameter keeps its first value when a longer run resumes: MLflow forbids changes.
    assert run.data.params == {"advantage.alpha": "0.25", "steps": "4"}


def test_half_written_line_waits(client, uri, tmp_path):
    folder = growing(tmp_path, steps=2)
    with open(folder / "metrics.jsonl", "a") as lines:
        lines.write('{"step": 3, "rew')
    run_id = LiveMirror(uri, EXPERIMENT, folder, TAGS)()
    assert [step for step, _ in history(client, run_id, "reward/mean")] == [1, 2]


def test_more_lines_than_fit_one_batch(client, tmp_path):
    lines = [metrics_line(step, 120, "lens") for step in range(1, 121)]
    run_id = mlflow_runs.start_run(client, EXPERIMENT, tmp_path / "id", "long")
    assert mlflow_runs.mirror_metrics(client, run_id, lines) == 120
    assert mlflow_runs.mirror_metrics(client, run_id, lines) == 0
    assert [step for step, _ in history(client, run_id, "policy/entropy")] == list(range(1, 121))


def test_id_of_another_database_is_replaced(client, tmp_path):
    id_file = tmp_path / "id"
    id_file.write_text("f" * 32)
    run_id = mlflow_runs.start_run(client, EXPERIMENT, id_file, "name")
    assert run_id != "f" * 32
    assert id_file.read_text().strip() == run_id
    assert mlflow_runs.start_run(client, EXPERIMENT, tmp_path / "lost", "name", run_id) == run_id


def test_a_run_created_by_a_server_that_died_is_found_again(client, tmp_path):
    first = mlflow_runs.start_run(client, EXPERIMENT, tmp_path / "run" / "id", "name")
    (tmp_path / "run" / "id").unlink()  # the answer with the id never came
    assert mlflow_runs.start_run(client, EXPERIMENT, tmp_path / "run" / "id", "name") == first
    assert mlflow_runs.start_run(client, EXPERIMENT, tmp_path / "other" / "id", "name") != first


@pytest.fixture
def dead_uri() -> str:
    """Of a port on which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("retry_after_s", [600.0, 0.0])
def test_a_dead_server_does_not_stop_a_run_and_is_reported_once(
    dead_uri, tmp_path, caplog, retry_after_s
):
    folder = growing(tmp_path, steps=2)
    live = LiveMirror(dead_uri, EXPERIMENT, folder, TAGS, retry_after_s)
    with caplog.at_level(logging.WARNING, logger=mirror.__name__):
        assert live() is None
        assert live() is None
    (warning,) = [record for record in caplog.records if record.name == mirror.__name__]
    assert "the run continues without it" in warning.getMessage()
    assert not (folder / "mlflow_run_id").exists()


def test_a_server_that_answers_again_is_given_what_it_missed(dead_uri, client, uri, tmp_path):
    folder = growing(tmp_path, steps=2)
    live = LiveMirror(dead_uri, EXPERIMENT, folder, TAGS, retry_after_s=0)
    assert live() is None
    live.uri = uri
    assert [step for step, _ in history(client, live(), "reward/mean")] == [1, 2]


def test_an_mlflow_that_did_not_answer_is_left_alone_for_a_while(dead_uri, uri, tmp_path):
    live = LiveMirror(dead_uri, EXPERIMENT, growing(tmp_path, steps=2), TAGS, retry_after_s=600)
    assert live() is None
    live.uri = uri
    assert live() is None


def test_programming_errors_are_not_swallowed(uri, tmp_path):
    folder = growing(tmp_path, steps=1)
    write_jsonl(folder / "metrics.jsonl", [{"step": 1}])
    with pytest.raises(KeyError, match="seconds"):
        LiveMirror(uri, EXPERIMENT, folder, TAGS)()


def test_mirror_logs_everything_once(client, uri, tmp_path):
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1,))
    results = synthetic_results(tmp_path / "results" / "tiny", runs, problems=10, steps=10)
    write_text(results.table("table1", "md"), "a table")
    first = mirror_results(uri, EXPERIMENT, results)
    assert mirror_results(uri, EXPERIMENT, results) == first
    assert set(first) == {"paper", "tiny_base", *(run.name for run in runs)}

    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment.artifact_location == (tmp_path / "mlartifacts").as_uri()
    everything = client.search_runs([experiment.experiment_id])
    kinds = sorted(run.data.tags["kind"] for run in everything)
    assert kinds == ["base", "paper", "training", "training"]
    assert {run.info.status for run in everything} == {"FINISHED"}
    children = {run.info.run_name for run in everything if "mlflow.parentRunId" in run.data.tags}
    assert children == {"tiny_base", *(run.name for run in runs)}
    parents = {run.data.tags.get("mlflow.parentRunId") for run in everything}
    assert parents == {first["paper"], None}

    lens = first["tiny_math-dapo_lens_s1"]
    assert [step for step, _ in history(client, lens, "reward/mean")] == list(range(1, 11))
    assert [step for step, _ in history(client, lens, "validation/accuracy")] == [0, 10]
    assert client.get_run(lens).data.tags["git_dirty"] == "False"
    names = {artifact.path for artifact in client.list_artifacts(lens)}
    assert names == {"config.json", "manifest.json", "pass_at_k_math.csv"}
    run = client.get_run(lens)
    # The run took the time that its manifest says, not that of being mirrored.
    assert run.info.end_time - run.info.start_time == 60_000
    assert "seed 1" in run.data.tags["mlflow.note.content"]
    assert len(run.data.params) < 50
    assert [a.path for a in client.list_artifacts(first["paper"], "tables")] == ["tables/table1.md"]
    for name in ("tiny_base", "tiny_math-dapo_lens_s1"):
        assert len(history(client, first[name], "math/pass_at_16/level_4-5")) == 1


def test_mirror_leaves_a_run_that_has_not_ended(client, uri, tmp_path, capsys):
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1,))
    results = synthetic_results(tmp_path / "tiny", runs, problems=5, steps=10)
    results.file(runs[0].name, "manifest.json").unlink()
    ids = mirror_results(uri, EXPERIMENT, results)
    assert set(ids) == {"paper", "tiny_base", runs[1].name}
    assert runs[0].name in capsys.readouterr().out


def run_verb(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["mirror", *map(str, arguments)])
    mirror.main()


DEAD_SERVER = ("--tracking-uri", "http://127.0.0.1:9", "--experiment", EXPERIMENT)


def test_a_server_that_is_down_stops_no_growing(tmp_path, monkeypatch, caplog):
    out = tmp_path / "marker.json"
    run_verb(monkeypatch, "init", *DEAD_SERVER, "--out", out)
    assert json.loads(out.read_text()) == {"experiment_id": None}
    assert "127.0.0.1:9" in caplog.text


def test_mirror_command_says_that_the_server_is_down(tmp_path, monkeypatch):
    out = tmp_path / "marker.json"
    results = ("--results", tmp_path, "--runs", "tiny_math_grpo_s1")
    with pytest.raises(UserError, match="127.0.0.1:9"):
        run_verb(monkeypatch, "mirror", *results, *DEAD_SERVER, "--out", out)
    assert not out.exists()
