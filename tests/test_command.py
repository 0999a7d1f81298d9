"""The command `lens`, as processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from lens_impl import __version__
from lens_impl.files import ROOT

HEAVY = {"torch", "pandas", "verl", "transformers", "ray"}


def lens(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    """One call of the command."""
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "lens_impl", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def imported(done: subprocess.CompletedProcess) -> set[str]:
    """Top-level modules that a call imported."""
    lines = [line.split("|")[-1] for line in done.stderr.splitlines() if "import time:" in line]
    return {line.strip().split(".")[0] for line in lines}


@pytest.mark.parametrize("verb", ["list", "plan"])
def test_runs_and_costs_import_neither_torch_nor_pandas(verb):
    done = lens(verb, "--scale", "paper")
    assert done.returncode == 0, done.stderr
    assert "llama-3-1-8b-instruct" in done.stdout
    assert "jsonschema" in imported(done) and not imported(done) & HEAVY


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_names_every_command(arguments):
    done = lens(*arguments)
    assert done.returncode == 0
    for verb in ("list", "plan", "timeline", "manifest", "compare", "theory"):
        assert f"\n    {verb} " in done.stdout
    assert "lens plan --scale paper" in done.stdout
    assert not imported(done) & (HEAVY | {"yaml", "jsonschema"})


def test_version_is_that_of_the_package():
    assert lens("--version").stdout == f"lens {__version__}\n"


def test_manifest_is_a_path_for_scripts():
    run = "tiny_math-dapo_lens_s1"
    assert lens("manifest", "--run", run).stdout == f"results/tiny/runs/{run}/manifest.json\n"


def test_compare_ends_with_status_1_where_results_differ(tmp_path):
    for folder, estimate in (("a", 0.5), ("b", 0.5), ("c", 0.25)):
        file = tmp_path / folder / "tables" / "effects.csv"
        file.parent.mkdir(parents=True)
        file.write_text(f"method,gain\nlens,{estimate}\n")
    assert lens("compare", str(tmp_path / "a"), str(tmp_path / "b")).returncode == 0
    done = lens("compare", str(tmp_path / "a"), str(tmp_path / "c"))
    assert done.returncode == 1 and "effects.csv" in done.stdout


def test_theory_is_the_table_of_statements():
    done = lens("theory")
    assert done.returncode == 0 and "Theorem 1" in done.stdout and "NO" not in done.stdout


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("plan", "--scale", "tinny"), "error: scale is 'tinny', but must be one of"),
        (("manifest", "--run", "tiny_math-dapo_len_s1"), "did you mean 'tiny_math-dapo_lens_s1'"),
    ],
)
def test_wrong_input_is_a_sentence(arguments, sentence):
    done = lens(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_is_not_the_project_is_a_sentence(tmp_path):
    done = lens("list", folder=tmp_path)
    assert done.returncode == 2
    assert "is not the project's folder" in done.stderr and "Traceback" not in done.stderr
