"""One real verl run over two nodes of a private Slurm cluster, undisturbed and interrupted.

Two FSDP2 ranks that communicate by gloo, one per node, in a Ray cluster that the run starts inside
its allocation and stops at its end.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from support import slurm_cluster
from support.pipeline import CONFIG, trajectory

from lens_impl.experiments.runs import Run
from lens_impl.experiments.settings import training_settings
from lens_impl.files import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(slurm_cluster.missing()), reason=f"no Slurm here: {slurm_cluster.missing()}"
    ),
]

STEPS = 4
SCHEDULE = {"validate_every": 2, "validation": {"n": 2, "problems": 4}, "dump_every": 0}
SCHEDULE |= {"steps": STEPS, "checkpoint_every": 10}


@pytest.fixture(scope="module")
def cluster():
    with slurm_cluster.cluster(nodes=2, gpus=0) as running:
        yield running


def submit(cluster, inputs: Path, run_dir: Path) -> str:
    """Submit a run as Snakemake does for several nodes; the number of its job."""
    run = Run("tiny", "math-dapo", "lens", 1)
    ranks = {"nodes": 2, "gpus_per_node": 1}
    settings = training_settings(CONFIG | {"train": CONFIG["train"] | ranks}, run)
    assert settings.items() >= ranks.items()
    values = {
        "--config": json.dumps(settings),
        "--schedule": json.dumps(SCHEDULE),
        "--train": inputs / "mix.parquet",
        "--validation": inputs / "eval.parquet",
        "--model": inputs / "model",
        "--run-dir": run_dir,
        "--checkpoints": run_dir / "checkpoints",
        "--tracking-uri": f"sqlite:///{inputs}/mlflow.db",
        "--experiment": "test",
    }
    run_dir.mkdir(exist_ok=True)
    script = run_dir / "job.sh"
    arguments = " ".join(f"{name} '{value}'" for name, value in values.items())
    script.write_text(
        f"#!/bin/bash\nexec {sys.executable} -m lens_impl.training.supervisor {arguments}\n"
    )
    command = [cluster.path / "sbatch", "--parsable", "--nodes=2", "--ntasks=2", "-c2", "-t30"]
    done = subprocess.run(
        [*command, f"--output={run_dir}/job-%j.log", script],
        env=os.environ | {"PATH": f"{cluster.path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def until(condition, run_dir: Path, seconds: float = 420) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        logs = [*run_dir.glob("job-*.log"), *run_dir.glob("checkpoints/attempts/*")]
        text = "\n".join(f"{log}: {log.read_text()[-3000:]}" for log in logs)
        assert time.monotonic() < deadline, text
        time.sleep(0.3)


def lines(run_dir: Path) -> int:
    metrics = run_dir / "checkpoints" / "metrics.jsonl"
    return metrics.read_text().count("\n") if metrics.exists() else 0


def ray_processes(folder_of: Path) -> list[str]:
    """Ray's processes that a run has left behind."""
    return [
        process.info["name"]
        for process in psutil.process_iter(["name", "environ"])
        if (process.info["environ"] or {}).get("LENS_TEST_RUN") == str(folder_of)
    ]


@pytest.fixture(scope="module")
def undisturbed(cluster, inputs, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("undisturbed") / "run"
    os.environ["LENS_TEST_RUN"] = str(run_dir)
    submit(cluster, inputs, run_dir)
    until(lambda: (run_dir / "manifest.json").exists(), run_dir)
    until(lambda: not cluster.jobs(), run_dir, 60)
    assert not ray_processes(run_dir)
    return run_dir


def test_both_nodes_train(undisturbed):
    (ray_log,) = undisturbed.glob("checkpoints/attempts/*.ray")
    assert len(trajectory(undisturbed)) == STEPS
    model = undisturbed / "checkpoints" / f"global_step_{STEPS}" / "actor"
    ranks = {path.name for path in model.glob("model_world_size_2_rank_*.pt")}
    assert ranks == {"model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"}
    assert all(line["log_prob_difference"] < 1e-4 for line in trajectory(undisturbed))


def test_stopped_and_resumed(cluster, inputs, undisturbed, tmp_path):
    run_dir = tmp_path / "run"
    os.environ["LENS_TEST_RUN"] = str(run_dir)
    job = submit(cluster, inputs, run_dir)
    until(lambda: lines(run_dir) >= 1, run_dir)
    holder = json.loads((run_dir / "checkpoints" / "LOCK").read_text())
    assert holder["slurm_job"] == job
    # What the end of the walltime does, without the wait for it.
    os.kill(holder["pid"], 15)
    until(lambda: not cluster.jobs(), run_dir)
    assert "asked to stop by SIGTERM" in (run_dir / f"job-{job}.log").read_text()
    assert 1 <= lines(run_dir) < STEPS and (run_dir / "checkpoints" / "resume.json").exists()
    assert not ray_processes(run_dir)

    submit(cluster, inputs, run_dir)
    until(lambda: (run_dir / "manifest.json").exists(), run_dir)
    assert trajectory(run_dir) == trajectory(undisturbed)
    pd.testing.assert_frame_equal(
        pd.read_parquet(run_dir / "curves.parquet"), pd.read_parquet(undisturbed / "curves.parquet")
    )
