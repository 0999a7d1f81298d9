"""Which code and packages made a result."""

import subprocess

from lens_impl.provenance import PACKAGES, git_state, origin, versions


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


def manifest(run: str, commit: str | None = "a" * 40, dirty: bool = False, day: int = 1) -> dict:
    git = {"commit": commit, "dirty": dirty}
    return {"run": run, "git": git, "finished": f"2026-01-{day:02}T10:00:00+00:00"}


def test_origin_of_runs_of_one_commit():
    made_by = origin([manifest("x", day=3), manifest("y"), manifest("z")])
    assert made_by.commit == "a" * 40 and made_by.commits == ["a" * 12]
    assert str(made_by) == "3 runs, commit aaaaaaaaaaaa, finished 2026-01-01 to 2026-01-03"
    assert str(origin([manifest("x")])) == "1 run, commit aaaaaaaaaaaa, finished 2026-01-01"


def test_origin_of_runs_of_several_commits():
    made_by = origin([manifest("x"), manifest("y", "b" * 40, dirty=True), manifest("z")])
    assert made_by.runs_by_commit == {"a" * 40: ["x", "z"], "b" * 40: ["y"]}
    assert made_by.commit is None and made_by.dirty == ["y"]
    assert str(made_by) == (
        "3 runs, commits aaaaaaaaaaaa and bbbbbbbbbbbb, 1 with uncommitted changes, "
        "finished 2026-01-01"
    )


def test_origin_of_code_that_no_commit_names():
    assert origin([manifest("x", dirty=True)]).commit is None
    outside = origin([manifest("x", commit=None)])
    assert outside.commit is None and outside.commits == ["unknown"]
    assert str(origin([])) == "0 runs"
