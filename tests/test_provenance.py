"""Which code and packages made a result."""

import subprocess

from lens_impl.provenance import PACKAGES, git_state, versions


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
