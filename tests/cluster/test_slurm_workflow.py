"""`snakemake --profile slurm all` with the smoke scale on a private Slurm: real jobs, real verl."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import slurm_cluster
from support.project import copy_tracked

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import planned_runs
from lens_impl.files import read_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(slurm_cluster.missing()), reason=f"no Slurm here: {slurm_cluster.missing()}"
    ),
]

COMMAND = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--config", "scale=smoke"]
# A cluster of one machine shows files and ends of jobs at once.
COMMAND += ["--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "2"]
COMMAND += ["--set-resources", "train:gpu=1", "sample_completions:gpu=1"]


def test_the_whole_workflow_as_slurm_jobs(tmp_path):
    copy_tracked(tmp_path)
    with slurm_cluster.cluster() as cluster:
        path = f"{cluster.path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        options = {"cwd": tmp_path, "env": os.environ | {"PATH": path, "PYTHONPATH": str(tmp_path)}}
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run([*COMMAND, "--", "all"], **options)
        assert done.returncode == 0, done.stdout[-6000:]
        again = subprocess.run([*COMMAND, "-n", "--", "all"], **options)
    assert "Nothing to be done" in again.stdout, again.stdout[-3000:]
    results = tmp_path / "results" / "smoke"
    for run in planned_runs(load("smoke")):
        where = read_json(results / "runs" / run.name / "manifest.json")["where"]
        assert where["slurm_job"] and where["cuda_visible_devices"] in ("0", "1")
    assert (results / "summary.md").is_file() and len(list(results.glob("notebooks/*.html"))) == 5
    # Every rule but the local ones went through sbatch, which is what the submissions say.
    submitted = done.stdout.count("has been submitted with SLURM jobid")
    assert submitted > 40, done.stdout[-3000:]
