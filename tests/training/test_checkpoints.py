"""A checkpoint folder: how a run starts, what an interrupted one leaves, one writer at a time."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support import holds_lock

from lens_impl.errors import UserError
from lens_impl.files import read_json, read_jsonl, write_json, write_jsonl, write_parquet
from lens_impl.training.checkpoints import (
    Afresh,
    After,
    Done,
    Found,
    decide,
    discard_optimizer,
    locked,
    look,
    roll_back,
)

INPUTS, OTHER = {"train.parquet": [10, 1]}, {"train.parquet": [11, 2]}


def schedule(steps: int, **changes: object) -> dict:
    return {"steps": steps, "validate_every": 2} | changes


@pytest.mark.parametrize(
    ("found", "asked", "decision"),
    [
        # Never started, or killed before the first checkpoint.
        (Found(None, None, None), schedule(4), Afresh()),
        (Found(None, None, INPUTS), schedule(4), Afresh()),
        # Interrupted after step 4.
        (Found(None, 4, INPUTS), schedule(10), After(4)),
        (Found(None, 4, INPUTS), schedule(4), After(4)),
        (Found(None, 4, INPUTS), schedule(2), Afresh()),
        (Found(None, 4, None), schedule(10), After(4)),
        (Found(None, 4, OTHER), schedule(10), Afresh()),
        # Finished after step 4.
        (Found(schedule(4), 4, INPUTS), schedule(4), Done()),
        (Found(schedule(4), 4, INPUTS), schedule(4, gpu={"tokens_per_gpu": 1}), Done()),
        (Found(schedule(4), 4, None), schedule(4), Done()),
        (Found(schedule(4), 4, INPUTS), schedule(4, validate_every=1), Afresh()),
        (Found(schedule(4), 4, INPUTS), schedule(8), After(4)),
        (Found(schedule(4), 4, INPUTS), schedule(2), Afresh()),
        (Found(schedule(4), 4, OTHER), schedule(4), Afresh()),
        # Finished after step 4, and its optimizer discarded.
        (Found(schedule(4), None, INPUTS), schedule(4), Done()),
        (Found(schedule(4), None, INPUTS), schedule(8), Afresh()),
    ],
)
def test_how_a_run_starts(found, asked, decision):
    assert decide(found, asked, INPUTS) == decision


@pytest.fixture
def killed(tmp_path):
    """A run killed in step 6, with a checkpoint after step 4 and another half written."""
    write_jsonl(tmp_path / "metrics.jsonl", [{"step": step} for step in range(1, 6)])
    with open(tmp_path / "metrics.jsonl", "a") as lines:
        lines.write('{"step": 6, "rew')
    write_json(tmp_path / "resume.json", {"step": 4})
    write_json(tmp_path / "inputs.json", INPUTS)
    (tmp_path / "mlflow_run_id").write_text("of the killed run")
    for step in (0, 2, 4, 5):
        for name in ("validation", "rollouts"):
            write_parquet(tmp_path / name / f"step_{step}.parquet", pd.DataFrame({"n": [1]}))
    (tmp_path / "global_step_4").mkdir()
    (tmp_path / "global_step_6").mkdir()
    return tmp_path


def finish(folder: Path, steps: int) -> None:
    finished = {"schedule": schedule(steps), "manifest": {"steps": steps}}
    write_json(folder / "finished.json", finished)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_a_folder_says(killed, tmp_path):
    before = files(killed)
    assert look(killed) == Found(None, 4, INPUTS)
    finish(killed, 4)
    assert look(killed) == Found(schedule(4), 4, INPUTS)
    assert files(killed) == before | {"finished.json"}
    assert look(tmp_path / "absent") == Found(None, None, None)


def test_a_run_that_resumes_loses_what_came_after_its_checkpoint(killed):
    finish(killed, 4)
    roll_back(killed, After(4))
    names = ("validation", "rollouts")
    assert [line["step"] for line in read_jsonl(killed / "metrics.jsonl")] == [1, 2, 3, 4]
    assert files(killed) == {
        *("metrics.jsonl", "resume.json", "inputs.json", "mlflow_run_id", "global_step_4"),
        *names,
        *(f"{name}/step_{step}.parquet" for name in names for step in (0, 2, 4)),
    }


def test_a_run_that_starts_afresh_loses_everything(killed):
    finish(killed, 4)
    roll_back(killed, Afresh())
    assert files(killed) == {"inputs.json"}


def test_a_finished_run_keeps_everything(killed):
    finish(killed, 4)
    before = files(killed)
    roll_back(killed, Done())
    assert files(killed) == before


def test_a_run_without_its_optimizer_keeps_its_model_and_is_not_extended(killed):
    actor = killed / "global_step_4" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    for name in ("model_world_size_1_rank_0.pt", "optim_world_size_1_rank_0.pt"):
        (actor / name).touch()
    finish(killed, 4)
    discard_optimizer(killed, 4)
    assert [path.name for path in actor.iterdir()] == ["huggingface"]
    assert decide(look(killed), schedule(4), INPUTS) == Done()
    assert decide(look(killed), schedule(8), INPUTS) == Afresh()


def hold(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, holds_lock.__file__, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_process_on_a_cluster_waits_for_the_first(tmp_path):
    with locked(tmp_path):
        second = hold(tmp_path, "wait")
        assert "waits for another training of the same run" in second.stdout.readline()
        assert second.poll() is None
    assert second.communicate()[0] == "has it\n"
    assert second.returncode == 0


def test_the_second_of_two_processes_stops_with_one_sentence(tmp_path):
    with locked(tmp_path):
        with pytest.raises(UserError, match="in use by another training"):
            with locked(tmp_path):
                pass
        second = hold(tmp_path)
        _, errors = second.communicate()
        assert second.returncode == 2
        assert "in use by another training" in errors and "Traceback" not in errors
    with locked(tmp_path):
        assert read_json(tmp_path / "LOCK")["slurm_job"] is None


def test_the_lock_outlives_the_supervisor_while_verl_runs(tmp_path):
    with locked(tmp_path) as lock:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock])
    with pytest.raises(UserError), locked(tmp_path):
        pass
    child.communicate(b"\n")
    with locked(tmp_path):
        pass
