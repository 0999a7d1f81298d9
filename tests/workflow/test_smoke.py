"""The whole workflow for real at the smoke scale: every rule, verl, the report, a second run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.project import copy_tracked

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import planned_runs
from lens_impl.files import read_jsonl

pytestmark = pytest.mark.slow

RUNS = planned_runs(load("smoke"))
NAMES = {run.name for run in RUNS}


def snakemake(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [*command, "--config", "scale=smoke", *arguments],
        cwd=project,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the tracked files after one run of the workflow."""
    folder = tmp_path_factory.mktemp("clone")
    copy_tracked(folder)
    result = snakemake(folder)
    assert result.returncode == 0, result.stdout[-6000:]
    return folder


def test_every_training_left_its_files(project):
    for name in NAMES:
        folder = project / "results" / "smoke" / "runs" / name
        manifest = json.loads((folder / "manifest.json").read_text())
        lines = read_jsonl(folder / "metrics.jsonl")
        assert [line["step"] for line in lines] == list(range(1, manifest["steps"] + 1))
        assert (project / manifest["model_dir"] / "model.safetensors").is_file()
        passes = pd.read_csv(folder / "pass_at_k_math.csv", dtype={"level": str})
        assert set(passes["level"]) >= {"all", "4-5"}
        assert passes["estimate"].between(0, 1).all()
        # Monotone in k for every level: an estimate that is not unbiased Pass@k would show here.
        assert passes.groupby("level")["estimate"].apply(lambda e: e.is_monotonic_increasing).all()


def test_tables_and_figures_are_there_and_say_what_they_are(project):
    results = project / "results" / "smoke"
    for table in ("table1", "table2", "table3"):
        assert "toy" in (results / "tables" / f"{table}.md").read_text()
        assert (results / "tables" / f"{table}.csv").stat().st_size > 0
    figures = {path.stem for path in (results / "figures").glob("*.pdf")}
    assert {"figure2_negative_ratio", "figure5_math_dapo", "reliability", "rescued"} <= figures
    assert len(list(results.glob("notebooks/*.html"))) == 5
    assert figures == {path.stem for path in (results / "figures").glob("*.png")}
    summary = (results / "summary.md").read_text()
    assert all(name in summary for name in NAMES)
    assert max(map(len, summary.splitlines())) <= 100


def test_an_evaluation_set_beyond_the_papers_is_shown_everywhere(project):
    """AIME 2024's columns: no levels, and n and k of its own."""
    results = project / "results" / "smoke"
    own = load("smoke")["evaluate"]["sets"]["aime24"]
    for name in NAMES:
        samples = pd.read_parquet(results / "runs" / name / "samples_aime24.parquet")
        assert samples.groupby("problem_id").size().eq(own["n"]).all()
        passes = pd.read_csv(results / "runs" / name / "pass_at_k_aime24.csv")
        assert list(passes["level"]) == ["all"] * len(own["k"]) and list(passes["k"]) == own["k"]
    rows = pd.read_csv(results / "tables" / "pass_at_k_aime24.csv")
    assert set(rows["k"]) == set(own["k"]) and set(rows["mix"]) == {"math-dapo", "math-numina"}
    assert "Pass@k on aime24" in (results / "tables" / "pass_at_k_aime24.md").read_text()
    assert "## Pass@k on aime24" in (results / "summary.md").read_text()
    assert (results / "figures" / "pass_at_k_aime24.png").stat().st_size > 10_000


def test_mlflow_has_every_training_with_its_evaluation(project):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/results/mlflow.db")
    experiment = client.get_experiment_by_name("lens-smoke")
    found = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert NAMES <= set(by_name)
    for name in NAMES:
        assert by_name[name].data.tags["mlflow.parentRunId"] == by_name["smoke: paper"].info.run_id
        metrics = by_name[name].data.metrics
        assert "aime24/pass_at_8/level_all" in metrics
        passes = pd.read_csv(project / f"results/smoke/runs/{name}/pass_at_k_math.csv")
        row = passes[(passes["level"] == "all") & (passes["k"] == 1)].iloc[0]
        logged = [metrics[f"math/pass_at_1/level_all{end}"] for end in ("", "_low", "_high")]
        assert logged == pytest.approx([row["estimate"], row["low"], row["high"]])


def test_a_second_run_has_nothing_to_do(project):
    again = snakemake(project)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout


def test_report_is_one_file(project):
    result = snakemake(project, "--report", "results/smoke/report.html")
    assert result.returncode == 0, result.stdout[-3000:]
    assert (project / "results" / "smoke" / "report.html").stat().st_size > 100_000
