"""The example page: what it copies, what it says, what it refuses."""

import re
from pathlib import Path

import pytest
from support.synthetic_results import COMMIT, synthetic_results

from lens_impl.errors import UserError
from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import planned_runs
from lens_impl.files import read_json, write_json, write_text
from lens_impl.report.example import TABLES, write_example

FIGURES = ["figure4_weight", "figure5_math_dapo"]


@pytest.fixture
def results(tmp_path) -> Path:
    """Finished runs of the smoke scale, with pages as the workflow writes them."""
    runs = planned_runs(load("smoke"))
    results = synthetic_results(tmp_path / "smoke", runs, problems=5, steps=10).path
    write_text(results / "summary.md", "the summary")
    for table in TABLES:
        write_text(results / "tables" / table, f"this is {table}")
    for figure in FIGURES:
        write_text(results / "figures" / f"{figure}.png", figure)
        write_text(results / "figures" / f"{figure}.pdf", figure)
    return results


def edit_manifest(results: Path, place: int, **changes: object) -> None:
    path = sorted(results.glob("runs/*/manifest.json"))[place]
    write_json(path, read_json(path) | changes)


def test_the_pages_are_copied_and_all_links_lead_to_a_file(results, tmp_path):
    out = tmp_path / "example"
    write_example(results, out)
    copied = {path.name for path in out.iterdir()}
    assert copied == {"README.md", "summary.md", *TABLES, *(f"{figure}.png" for figure in FIGURES)}
    for name in copied - {"README.md"}:
        (source,) = results.rglob(name)
        assert (out / name).read_bytes() == source.read_bytes()
    links = re.findall(r"\]\(([^)]+)\)", (out / "README.md").read_text())
    assert sorted(links) == sorted(copied - {"README.md"})


def test_the_page_says_which_code_made_it_when_and_how_long(results, tmp_path):
    edit_manifest(results, 0, started="2025-12-31T23:00:00+00:00", seconds=3600.0)
    edit_manifest(results, -1, finished="2026-01-02T00:00:00+00:00")
    write_example(results, tmp_path)
    rows = re.findall(r"^\| (\S.*?) +\| (\S.*?) +\|$", (tmp_path / "README.md").read_text(), re.M)
    about = dict(rows)
    assert about["commit"] == COMMIT
    # four runs: one of an hour, three of a minute
    assert about["runs"] == "4, 2025-12-31T23:00:00+00:00 to 2026-01-02T00:00:00+00:00"
    assert about["minutes of all runs"] == "63"
    assert about["versions"] == "torch 2.13.0"
    assert "designed toy" in (tmp_path / "README.md").read_text()


def test_a_run_of_other_experiments_is_left_out(results, tmp_path):
    others = results / "runs" / "tiny_math-dapo_grpo_s9" / "manifest.json"
    write_json(others, {"run": "other", "git": {"commit": "f" * 40, "dirty": True}})
    write_example(results, tmp_path)
    assert COMMIT in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("git", "words"),
    [
        ({"commit": "b" * 40, "dirty": False}, "4 runs, commits .* and .*, finished"),
        ({"commit": COMMIT, "dirty": True}, "1 with uncommitted changes"),
        ({"commit": None, "dirty": None}, "unknown"),
    ],
    ids=["another commit", "uncommitted changes", "no repository"],
)
def test_an_example_is_of_one_commit(results, tmp_path, git, words):
    edit_manifest(results, 1, git=git)
    with pytest.raises(UserError, match=f"must come from one commit.*{words}"):
        write_example(results, tmp_path / "example")
    assert not (tmp_path / "example").exists()


@pytest.mark.parametrize("missing", ["summary.md", "runs/*lens_s1/manifest.json"])
def test_results_that_are_not_finished(results, tmp_path, missing):
    (path,) = results.glob(missing)
    path.unlink()
    with pytest.raises(UserError, match="has no finished run"):
        write_example(results, tmp_path / "example")
