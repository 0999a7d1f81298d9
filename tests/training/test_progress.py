"""How far a run is: from its files alone, and as its supervisor prints it."""

from lens_impl.files import append_jsonl, write_json, write_jsonl
from lens_impl.training.checkpoints import locked
from lens_impl.training.progress import Watch, progress

LINE = {"reward": 0.25, "groups_all_wrong": 0.5, "seconds": {"step": 2.0}}


def test_progress_from_files_alone(tmp_path):
    folder, manifest = tmp_path / "checkpoints", tmp_path / "run" / "manifest.json"
    assert progress(folder, manifest, "abc").state == "waiting"
    write_jsonl(folder / "metrics.jsonl", [{"step": step} for step in range(1, 6)])
    at = progress(folder, manifest, "abc")
    assert (at.state, at.step) == ("stopped", 5) and 0 <= at.age < 60
    with locked(folder):
        at = progress(folder, manifest, "abc")
        assert at.state == "running" and at.where.startswith("process ")
    assert progress(folder, manifest, "abc").where.startswith("last process ")
    write_json(manifest, {"config_hash": "abc"})
    assert progress(folder, manifest, "abc").state == "finished"
    # Other settings than those of the manifest: another run, which is not finished.
    assert progress(folder, manifest, "def").state == "stopped"


def test_progress_shows_step_reward_speed_and_time_left(tmp_path, capsys, monkeypatch):
    clock = iter([0.0, 20.0, 60.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    watch = Watch("run", tmp_path, 100, lambda: None)
    watch.look()
    append_jsonl(tmp_path / "metrics.jsonl", {"step": 1, **LINE})
    watch.look()
    for step in range(2, 22):
        append_jsonl(tmp_path / "metrics.jsonl", {"step": step, **LINE})
    watch.look()
    watch.look()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "run  step 1/100  reward 0.250  all-wrong groups 50%  2.0 s/step  3:18 left"
    assert second == "run  step 21/100  reward 0.250  all-wrong groups 50%  2.0 s/step  2:38 left"


def test_lines_of_an_earlier_attempt_are_not_shown_and_late_ones_are_mirrored(
    tmp_path, capsys, monkeypatch
):
    clock = iter([0.0, 10.0, 16.0, 25.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    mirrored = []
    append_jsonl(tmp_path / "metrics.jsonl", {"step": 1, **LINE})
    watch = Watch("run", tmp_path, 100, lambda: mirrored.append(1))
    watch.look()
    append_jsonl(tmp_path / "metrics.jsonl", {"step": 2, **LINE})
    watch.look()  # after 10 s: too early for a print
    assert capsys.readouterr().out == ""
    watch.look()  # after 16 s: the line that was seen before
    assert "step 2/100" in capsys.readouterr().out
    append_jsonl(tmp_path / "metrics.jsonl", {"step": 3, **LINE})
    watch.look()  # after 25 s
    assert mirrored == [1]
