"""`snakemake --profile slurm all` as a dry run in a copy of the project; needs no Slurm."""

import json
import os
import subprocess
import sys

import pytest
from support.project import copy_project

from lens_impl.files import ROOT

pytestmark = pytest.mark.slow

COUNTS = {
    "fetch_base_model": 2,
    "mix_prompts": 2,
    "prepare_evaluation": 1,
    "measure_regime": 2,
    "init_tracking": 1,
    # Llama: 2 methods x 2 seeds + 4; Qwen: 2 methods x 2 seeds + 2.
    "train": 14,
    # 14 trainings and 2 base models, in 8 shards.
    "sample_completions": 128,
    "score_completions": 16,
    "write_summary": 1,
    "mirror_tracking": 1,
    **dict.fromkeys(("table1", "table2", "table3", "all"), 1),
    **dict.fromkeys(("figure2_negative_ratio", "figure4_weight"), 1),
    **dict.fromkeys(("figure5_math_dapo", "figure6_math_numina"), 1),
}


def test_jobs_of_the_paper(tmp_path):
    project = copy_project(tmp_path / "clone")
    project.profile = "slurm"
    jobs = project.planned("all")
    assert {rule: jobs.get(rule) for rule in COUNTS} == COUNTS


def test_one_training_asks_for_its_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("LENS_SLURM_GPU_PARTITION", "h100")
    project = copy_project(tmp_path / "clone")
    project.profile = "slurm"
    status, output = project.snakemake("--dry-run", "--until", "train")
    assert status == 0, output
    (resources,) = {
        line.strip()
        for line in output.splitlines()
        if line.strip().startswith("resources:") and "gpu=8" in line
    }
    for wanted in ("runtime=1440", "slurm_partition=h100"):
        assert wanted in resources


def profile(monkeypatch, **variables) -> dict:
    for name in ("ACCOUNT", "PARTITION", "GPU_PARTITION", "GPU_MODEL", "STATUS"):
        monkeypatch.delenv(f"LENS_SLURM_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"LENS_SLURM_{name}", value)
    code = "import json, yte; text = open('slurm/config.yaml')\n"
    code += "print(json.dumps(yte.process_yaml(text, require_use_yte=True)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_profile_without_any_variable_leaves_the_choice_to_the_site(monkeypatch):
    values = profile(monkeypatch)
    assert values["slurm-status-command"] == "squeue"
    assert values["default-resources"] == {"mem_mb": 2000, "runtime": 30}
    assert "set-resources" not in values


def test_profile_takes_a_sites_values_from_the_environment(monkeypatch):
    given = {"ACCOUNT": "physics", "PARTITION": "cpu", "GPU_PARTITION": "gpu"}
    values = profile(monkeypatch, GPU_MODEL="a100", STATUS="sacct", **given)
    assert values["slurm-status-command"] == "sacct"
    assert values["default-resources"]["slurm_account"] == "physics"
    assert values["default-resources"]["slurm_partition"] == "cpu"
    for rule in ("train", "sample_completions", "measure_regime"):
        wanted = {"slurm_partition": "gpu", "gpu_model": "a100"}
        assert values["set-resources"][rule].items() >= wanted.items()
