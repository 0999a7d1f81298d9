"""`snakemake --profile slurm all` as a dry run in a copy of the project; needs no Slurm."""

import sys

import psutil
import pytest
import yte
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
    # 14 runs and 2 base models, in 8 shards each.
    "sample_completions": 128,
    "score_completions": 16,
    "write_summary": 1,
    "mirror_tracking": 1,
    "paper_table": 3,
    "all": 1,
}


def test_jobs_of_the_paper(tmp_path):
    project = copy_project(tmp_path / "clone", "--profile", "slurm")
    jobs = project.planned("all")
    assert {rule: jobs.get(rule) for rule in COUNTS} == COUNTS


def test_one_run_asks_for_its_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("LENS_SLURM_GPU_PARTITION", "h100")
    project = copy_project(tmp_path / "clone", "--profile", "slurm")
    status, output = project.snakemake("--dry-run", "--until", "train")
    assert status == 0, output
    (resources,) = {
        line.strip()
        for line in output.splitlines()
        if line.strip().startswith("resources:") and "gpu=8" in line
    }
    for wanted in ("runtime=1440", "mem_mb=900000", "slurm_partition=h100"):
        assert wanted in resources


@pytest.fixture
def profile(monkeypatch):
    """name, *options -> the keys of a profile, as `snakemake` with these options reads it."""

    def read(name: str, *options: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["snakemake", *options])
        with open(ROOT / "profiles" / name / "config.yaml", encoding="utf-8") as file:
            return yte.process_yaml(file, require_use_yte=True)

    return read


@pytest.fixture
def no_site(monkeypatch):
    for name in ("ACCOUNT", "PARTITION", "GPU_PARTITION", "GPU_MODEL", "STATUS"):
        monkeypatch.delenv(f"LENS_SLURM_{name}", raising=False)


MACHINE = {"cores", "resources"}


@pytest.mark.parametrize(
    "options", [("--profile", "slurm"), ("--profile=slurm", "all"), ("-n", "--executor", "slurm")]
)
def test_the_limits_of_this_machine_are_none_of_a_cluster(profile, options):
    assert profile("default").keys() - profile("default", *options).keys() == MACHINE


def test_the_two_profiles_set_no_key_twice(profile, no_site):
    """The default profile is laid over `slurm` and would win."""
    both = profile("default", "--profile", "slurm")
    assert both and not both.keys() & profile("slurm").keys()


def test_on_one_machine_all_cores_and_most_memory_are_used(profile):
    found = profile("default", "--config", "scale=smoke")
    assert found["cores"] == "all"
    assert found["resources"]["gpu"] == 1
    share = 1e6 * found["resources"]["mem_mb"] / psutil.virtual_memory().total
    assert 0.75 < share < 0.85


def test_profile_without_any_variable_leaves_the_choice_to_the_site(profile, no_site):
    values = profile("slurm")
    assert values["slurm-status-command"] == "squeue"
    assert values["default-resources"] == {"mem_mb": 2000, "runtime": 30}
    assert "set-resources" not in values


def test_profile_takes_a_sites_values_from_the_environment(profile, monkeypatch):
    given = {"ACCOUNT": "physics", "PARTITION": "cpu", "GPU_PARTITION": "gpu"}
    given |= {"GPU_MODEL": "a100", "STATUS": "sacct"}
    for name, value in given.items():
        monkeypatch.setenv(f"LENS_SLURM_{name}", value)
    values = profile("slurm")
    assert values["slurm-status-command"] == "sacct"
    assert values["default-resources"]["slurm_account"] == "physics"
    assert values["default-resources"]["slurm_partition"] == "cpu"
    for rule in ("train", "sample_completions", "measure_regime"):
        wanted = {"slurm_partition": "gpu", "gpu_model": "a100"}
        assert values["set-resources"][rule].items() >= wanted.items()
