"""What a run learns from Slurm about its job; `squeue` is a script of the test."""

import pytest

from lens_impl.training import slurm
from lens_impl.verl_plugin.environment import without_amd


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("0:07", 7),
        ("1:02:03", 3723),
        ("2-00:00:01", 172801),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_slurms_format_of_a_time(text, seconds):
    assert slurm.parse_time(text) == seconds


@pytest.fixture
def says(tmp_path, monkeypatch):
    """A job whose squeue prints the given time left."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("LENS_SLURM_NOTICE", "600")
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0)

    def tell(text: str) -> None:
        script = tmp_path / "squeue"
        script.write_text(f'#!/bin/sh\n[ "$3" = 7 ] && echo {text}\n')
        script.chmod(0o755)

    return tell


def test_a_run_stops_before_its_job_ends(says):
    says("2:00:00")
    deadline = slurm.Deadline()
    assert not deadline.near()
    says("10:01")
    assert not deadline.near()
    says("9:59")
    assert deadline.near()


def test_a_short_job_is_used_for_half_of_its_time(says):
    says("4:00")
    deadline = slurm.Deadline()
    assert not deadline.near()
    says("2:01")
    assert not deadline.near()
    says("1:59")
    assert deadline.near()


def test_gpus_are_named_for_cuda_alone():
    """Slurm names them for both vendors, which verl refuses."""
    given = {"CUDA_VISIBLE_DEVICES": "0", "ROCR_VISIBLE_DEVICES": "0", "PATH": "/bin"}
    assert without_amd(given) == {"CUDA_VISIBLE_DEVICES": "0", "PATH": "/bin"}
    amd = {"ROCR_VISIBLE_DEVICES": "0"}
    assert without_amd(amd) == amd


def test_a_job_without_end_and_a_process_without_job_continue(says, monkeypatch):
    says("UNLIMITED")
    assert not slurm.Deadline().near()
    monkeypatch.delenv("SLURM_JOB_ID")
    says("0:01")
    assert not slurm.Deadline().near()
