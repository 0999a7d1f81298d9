"""When Slurm ends the job that a run is part of.

Slurm's own notice, `--signal`, does not serve: where processes are tracked by cgroups it reaches
Snakemake's process alone, and elsewhere every process of the job, Ray's among them, which end.
"""

import os
import shutil
import subprocess
import time

POLL_SECONDS = 30.0
NOTICE_SECONDS = 900.0  # a step, a validation and a checkpoint of an 8B model


def seconds_left(job: str) -> float | None:
    """Seconds until Slurm ends the job, by its time limit or by preemption; None if unknown."""
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%L"]
    done = subprocess.run(command, capture_output=True, text=True)
    return parse_time(done.stdout.strip()) if done.returncode == 0 else None


def parse_time(text: str) -> float | None:
    """Seconds in Slurm's [days-][[hours:]minutes:]seconds; None for UNLIMITED and the like."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in (days or "0", *parts)):
        return None
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return float(86400 * int(days or 0) + seconds)


class Deadline:
    """Says when a run must save and stop: LENS_SLURM_NOTICE seconds before its job ends.

    At most half of the job's time before its end, so that a short job makes progress. Outside Slurm
    the time never comes.
    """

    def __init__(self) -> None:
        self.job = os.environ.get("SLURM_JOB_ID") if shutil.which("squeue") else None
        self.asked = time.monotonic()
        self.notice = float(os.environ.get("LENS_SLURM_NOTICE", NOTICE_SECONDS))
        left = seconds_left(self.job) if self.job else None
        self.notice = min(self.notice, left / 2 if left is not None else self.notice)

    def near(self) -> bool:
        """Whether to stop now; asks Slurm at most every POLL_SECONDS."""
        if self.job is None or time.monotonic() - self.asked < POLL_SECONDS:
            return False
        self.asked = time.monotonic()
        left = seconds_left(self.job)
        return left is not None and left < self.notice
