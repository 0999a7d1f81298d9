"""The summary page."""

import pandas as pd
import pytest
from support.synthetic_results import COMMIT, synthetic_results, synthetic_runs, write_evaluations
from support.tables import command, text_of

from lens_impl.comparison.paper import paper_numbers
from lens_impl.files import read_json, write_json
from lens_impl.report.summary import summary_markdown

PAPER = paper_numbers()
LLAMA = "llama-3-1-8b-instruct"


def test_summary_fits_a_terminal_and_names_everything(results):
    text = summary_markdown(results, ["math"])
    # Headings and the paper's longer labels included.
    assert max(map(len, text.splitlines())) <= 100
    assert f"All 12 runs: commit {COMMIT[:12]}." in text
    assert "designed toy" in text
    assert "| 2 tiny  | only negative groups |" in text
    assert "| tiny_math-numina_lens-negative-only_s2" in text
    # The synthetic share of all-wrong groups falls from .45 to .35: means of five steps each.
    assert "44 → 36 %" in text and "44→36 %" in text
    assert "near 45" not in text  # the paper's: not next to a toy's
    assert "None of 8,320." in text  # 13 evaluations of 40 problems x 16 samples


def test_summary_gives_the_papers_share_where_it_can_be_compared(tmp_path):
    results = synthetic_results(
        tmp_path / "paper", synthetic_runs(model=LLAMA, seeds=(1,)), problems=5
    )
    for table in PAPER["tables"]:
        command(results, table)
    text = summary_markdown(results, ["math"])
    assert "near 45 → about 35 %" in text and "toy" not in text


def test_summary_flags_code_that_differs(tmp_path, runs):
    some = runs[:3]
    results = synthetic_results(tmp_path / "tiny", some, problems=5)
    for table in PAPER["tables"]:
        command(results, table)
    for run, git in zip(some, [("a" * 40, True), ("b" * 40, False), (None, None)], strict=True):
        path = results.file(run.name, "manifest.json")
        git = dict(zip(("commit", "dirty"), git, strict=True))
        write_json(path, read_json(path) | {"git": git})
    text = summary_markdown(results, ["math"])
    assert "MIXED COMMITS" in text
    assert f"- aaaaaaaaaaaa: {some[0].name}" in text and f"- unknown: {some[2].name}" in text
    assert f"UNCOMMITTED CHANGES when these were trained: {some[0].name}." in text


def test_summary_counts_what_could_not_be_judged(tmp_path):
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1,))[:1]
    results = synthetic_results(tmp_path / "tiny", runs, problems=5)
    for table in PAPER["tables"]:
        command(results, table)
    path = results.samples_file(runs[0].name)
    samples = pd.read_parquet(path)
    samples.loc[[0, 1, 2], "status"] = ["timeout", "timeout", "error"]
    samples.to_parquet(path)
    assert f"- {runs[0].name}: 2 timeout, 1 error" in summary_markdown(results, ["math"])


def test_another_evaluation_set_has_a_table_and_its_place_in_the_summary(tmp_path):
    """AIME has no levels, and its own n and k."""
    results = synthetic_results(tmp_path / "tiny", synthetic_runs(), problems=10)
    write_evaluations(results, "aime24", problems=30, n=64, ks=(1, 8, 64))
    for table in (*PAPER["tables"], "pass_at_k_aime24"):
        command(results, table)
    text = text_of(results, "pass_at_k_aime24")
    assert "# Pass@k on aime24" in text and "Levels 4-5" not in text
    assert "## tiny on math-dapo: 30 problems x 64 samples per run" in text
    rows = pd.read_csv(results.table("pass_at_k_aime24", "csv"), keep_default_na=False)
    assert set(rows["k"]) == {1, 8, 64} and set(rows["mix"]) == {"math-dapo", "math-numina"}
    # The base model has one seed: its row is the csv of its evaluation, interval included.
    base = rows[(rows["method"] == "base") & (rows["mix"] == "math-dapo")]
    own = results.on("aime24").pass_at_k("tiny_base")
    own = own[own["level"] == "all"]
    for column in ("estimate", "low", "high"):
        assert base[column].tolist() == pytest.approx(own[column].tolist(), abs=1e-12)
    summary = summary_markdown(results, ["math", "aime24"])
    assert "## Pass@k on aime24" in summary and "P@64" in summary
    assert "None of 27,040." in summary  # 12 runs and a base model, 160 and 1,920 samples each
