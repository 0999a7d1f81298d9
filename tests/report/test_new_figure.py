"""CONTRIBUTING.md, "Add a figure": a function and an entry of the registry."""

import shutil

import pytest
from support.project import changed, copy_tracked, files, python
from support.synthetic_results import synthetic_results, synthetic_runs

from lens_impl.files import ROOT

ENTRY = """FIGURES = {
    "response_length": Shown(
        "figures.lengths:response_length",
        "Length of responses",
        "Mean length of a response against step.",
        reads=("metrics.jsonl",),
    ),
"""


@pytest.mark.slow
def test_a_figure_is_a_function_and_an_entry(tmp_path):
    project = tmp_path / "project"
    copy_tracked(project)
    before = files(project)
    new = ROOT / "tests" / "support" / "new_figure" / "lengths.py"
    shutil.copy(new, project / "lens_impl" / "report" / "figures")
    registry = project / "lens_impl" / "report" / "registry.py"
    registry.write_text(registry.read_text().replace("FIGURES = {\n", ENTRY, 1))
    touched = changed(before, files(project))
    assert touched == {"lens_impl/report/figures/lengths.py", "lens_impl/report/registry.py"}

    runs = synthetic_runs(seeds=(1,))
    results = synthetic_results(tmp_path / "tiny", runs, problems=5)
    options = ["--results", results.path, "--runs", *(run.name for run in runs)]
    out = ["--out-pdf", tmp_path / "f.pdf", "--out-png", tmp_path / "f.png"]
    done = python(project, "-m", "lens_impl.report.figures", "response_length", *options, *out)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")

    planned = python(project, "-m", "snakemake", "--dry-run", "--config", "scale=tiny")
    assert planned.returncode == 0, planned.stdout
    assert "output: results/tiny/figures/response_length.pdf" in planned.stdout + planned.stderr
