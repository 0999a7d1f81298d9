"""Verdicts on the paper's differences."""

import pytest
from support.synthetic_results import synthetic_results, synthetic_runs
from support.tables import command

from lens_impl.comparison import verdicts
from lens_impl.comparison.evaluations import read_evaluations
from lens_impl.comparison.gains import pass_at_k_rows
from lens_impl.comparison.paper import paper_numbers
from lens_impl.results import Results

PAPER = paper_numbers()
LLAMA = "llama-3-1-8b-instruct"


def test_verdict_needs_an_interval_without_zero():
    def verdict(low, high, published=1.0, same=True):
        return verdicts.verdict(low, high, published, same)

    assert verdict(-1, 2) == verdict(0, 2) == verdicts.UNCLEAR
    assert verdict(0.5, 2) == verdicts.CONTAINED
    assert verdict(1.5, 2) == verdict(0.5, 2, same=False) == verdicts.SAME
    assert verdict(-2, -1) == verdicts.OPPOSITE
    assert verdict(-2, -1, published=-1.5) == verdicts.CONTAINED


@pytest.fixture(scope="module")
def runs():
    return synthetic_runs()


@pytest.fixture(scope="module")
def results(tmp_path_factory, runs) -> Results:
    made = synthetic_results(tmp_path_factory.mktemp("results") / "tiny", runs)
    for table in ("table1", "table2", "table3"):
        command(made, table)
    return made


def test_what_was_not_run_is_said(results, runs):
    rows = pass_at_k_rows(read_evaluations(results.only([]), PAPER["k"]), PAPER["k"])
    judged = verdicts.verdict_rows(rows, "table1")
    assert len(judged) == 10 and set(judged["verdict"]) == {verdicts.NOT_RUN}
    assert len(verdicts.collapse_not_run(judged)) == 2
    ours = pass_at_k_rows(read_evaluations(results.only(runs[:4]), PAPER["k"]), PAPER["k"])
    toy = verdicts.verdict_rows(ours, "table1")
    assert set(toy["model"]) == {"tiny"} and toy["paper_gain"].isna().all()
