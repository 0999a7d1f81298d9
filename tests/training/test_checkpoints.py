"""The supervisor's decisions, without verl: where to resume, one writer, what it prints."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from lens_impl.errors import UserError
from lens_impl.files import read_jsonl, write_json, write_jsonl, write_parquet
from lens_impl.training.checkpoints import discard_optimizer, locked, resume_step
from lens_impl.training.progress import progress
from lens_impl.training.supervisor import Watch

INPUTS = {"train.parquet": [10, 1]}


def steps(number: int, **changes) -> dict:
    return {"steps": number, "validate_every": 2} | changes


def finished(folder, number: int) -> None:
    write_json(folder / "finished.json", {"schedule": steps(number), "manifest": {"steps": number}})


@pytest.fixture
def killed(tmp_path):
    """A training killed in step 6, with a checkpoint after step 4 and one half deleted."""
    write_jsonl(tmp_path / "metrics.jsonl", [{"step": step} for step in range(1, 6)])
    write_json(tmp_path / "resume.json", {"step": 4})
    write_json(tmp_path / "inputs.json", INPUTS)
    (tmp_path / "mlflow_run_id").write_text("of the killed training")
    for step in (0, 2, 4, 5):
        write_parquet(tmp_path / "validation" / f"step_{step}.parquet", pd.DataFrame({"n": [1]}))
    (tmp_path / "global_step_4").mkdir()
    return tmp_path


def steps_of(folder):
    return [line["step"] for line in read_jsonl(folder / "metrics.jsonl")]


def test_a_killed_training_resumes_after_its_checkpoint(killed):
    assert resume_step(killed, steps(10), INPUTS) == 4
    assert steps_of(killed) == [1, 2, 3, 4]
    assert not (killed / "validation" / "step_5.parquet").exists()
    assert (killed / "mlflow_run_id").exists()
    assert (killed / "validation" / "step_4.parquet").exists()


def test_a_training_killed_after_its_last_checkpoint_has_only_to_be_written_up(killed):
    assert resume_step(killed, steps(4), INPUTS) == 4


def assert_fresh(folder):
    left = {path.name for path in folder.iterdir()}
    assert left == {"inputs.json"}


def test_a_finished_training_asked_for_again_has_only_to_be_written_up(killed):
    finished(killed, 4)
    assert resume_step(killed, steps(4, gpu={"tokens_per_gpu": 1}), INPUTS) == 4
    assert (killed / "finished.json").exists()


def test_a_finished_training_starts_over_where_it_is_to_be_validated_otherwise(killed):
    finished(killed, 4)
    assert resume_step(killed, steps(4, validate_every=1), INPUTS) is None
    assert_fresh(killed)


def test_a_finished_training_is_lengthened(killed):
    finished(killed, 4)
    assert resume_step(killed, steps(8), INPUTS) == 4
    assert not (killed / "finished.json").exists()


def test_other_data_start_over(killed):
    assert resume_step(killed, steps(10), {"train.parquet": [11, 2]}) is None
    assert_fresh(killed)
    assert json.loads((killed / "inputs.json").read_text()) == {"train.parquet": [11, 2]}


def test_nothing_saved_yet_starts_over(killed):
    (killed / "resume.json").unlink()
    assert resume_step(killed, steps(10), INPUTS) is None
    assert_fresh(killed)


def test_a_half_written_line_and_a_half_written_checkpoint_are_dropped(killed):
    with open(killed / "metrics.jsonl", "a") as lines:
        lines.write('{"step": 6, "rew')
    (killed / "global_step_6").mkdir()
    assert resume_step(killed, steps(10), INPUTS) == 4
    assert steps_of(killed) == [1, 2, 3, 4]
    assert [path.name for path in killed.glob("global_step_*")] == ["global_step_4"]


def test_a_training_without_its_optimizer_keeps_its_model_and_is_not_lengthened(killed):
    actor = killed / "global_step_4" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    for name in ("model_world_size_1_rank_0.pt", "optim_world_size_1_rank_0.pt"):
        (actor / name).touch()
    finished(killed, 4)
    discard_optimizer(killed, 4)
    assert [path.name for path in actor.iterdir()] == ["huggingface"]
    assert resume_step(killed, steps(8), INPUTS) is None


def test_progress_from_files_alone(killed, tmp_path):
    manifest = tmp_path / "run" / "manifest.json"
    empty = tmp_path / "empty"
    assert progress(empty, manifest, "abc").state == "waiting"
    at = progress(killed, manifest, "abc")
    assert (at.state, at.step) == ("stopped", 5) and 0 <= at.age < 60
    with locked(killed):
        at = progress(killed, manifest, "abc")
        assert at.state == "running" and at.where.startswith("process ")
    assert progress(killed, manifest, "abc").where.startswith("last process ")
    write_json(manifest, {"config_hash": "abc"})
    assert progress(killed, manifest, "abc").state == "finished"
    # Other settings than those of the manifest: another training, not yet made.
    assert progress(killed, manifest, "def").state == "stopped"


def test_a_second_training_on_a_cluster_waits_for_the_first(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lens_impl.training.checkpoints.WAIT_SECONDS", 0.01)
    with locked(tmp_path):
        code = "import pathlib, sys; from lens_impl import checkpoints\n"
        code += "checkpoints.WAIT_SECONDS = 0.01\n"
        code += "with checkpoints.locked(pathlib.Path(sys.argv[1]), wait=True): print('has it')"
        second = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert "waits for another training" in second.stdout.readline()
        assert second.poll() is None
    assert second.communicate()[0] == "has it\n"


def test_the_second_of_two_trainings_stops_with_a_sentence(tmp_path):
    with locked(tmp_path):
        with pytest.raises(UserError, match="in use by another training"):
            with locked(tmp_path):
                pass
        code = "import pathlib, sys; from lens_impl.training.checkpoints import locked; "
        code += "locked(pathlib.Path(sys.argv[1])).__enter__()"
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
        )
        assert other.returncode != 0 and "in use by another training" in other.stderr
    with locked(tmp_path):
        pass


def test_the_lock_outlives_the_supervisor_while_its_training_runs(tmp_path):
    with locked(tmp_path) as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock]
        )
    with pytest.raises(UserError), locked(tmp_path):
        pass
    child.communicate(b"\n")
    with locked(tmp_path):
        pass


def test_progress_shows_step_reward_speed_and_time_left(tmp_path, capsys, monkeypatch):
    clock = iter([0.0, 20.0, 60.0, 62.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    watch = Watch("run", tmp_path, 100, lambda: None)
    line = {"reward": 0.25, "groups_all_wrong": 0.5, "seconds": {"step": 2.0}}
    write_jsonl(tmp_path / "metrics.jsonl", [{"step": 1, **line}])
    watch.look()
    write_jsonl(tmp_path / "metrics.jsonl", [{"step": s, **line} for s in range(1, 22)])
    watch.look()
    watch.look()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "run  step 1/100  reward 0.250  all-wrong groups 50%  2.0 s/step  3:18 left"
    assert second == "run  step 21/100  reward 0.250  all-wrong groups 50%  2.0 s/step  2:38 left"
