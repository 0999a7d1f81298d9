"""LaTeX tables: their form, and every number of ours and of the paper's in its place."""

import re

import pandas as pd
import pytest
from support.synthetic_results import synthetic_results, synthetic_runs

from lens_impl.comparison.paper import paper_numbers
from lens_impl.report.names import METHOD_NAMES
from lens_impl.report.paper_tables import paper_table
from lens_impl.report.registry import table as registered
from lens_impl.text import latex

KS = paper_numbers()["k"]
TABLES = list(paper_numbers()["tables"])


def tabulars(text: str) -> list[list[list[str]]]:
    """The cells of each tabular of a LaTeX text, its header first."""
    found = []
    for body in re.findall(r"\\begin\{tabular\}\{[lr]+\}\n(.*?)\\end\{tabular\}", text, re.S):
        rows = [line for line in body.splitlines() if not line.startswith("\\")]
        assert all(row.endswith(r"\\") for row in rows), rows
        found.append([[cell.strip() for cell in row[:-2].split(" & ")] for row in rows])
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "tiny"
    return synthetic_results(folder, synthetic_runs(), problems=10)


@pytest.fixture(scope="module", params=TABLES)
def page(request, results):
    """(name, Page) of each of the paper's tables."""
    return request.param, registered(request.param)(results)


def test_latex_by_hand():
    text = latex(["name", "%"], [["a_b & c", "1.0 ±0.5"], ["#{x}", "$2"]], text=(0,))
    assert tabulars(text.replace(r"\&", "AND")) == [
        [["name", r"\%"], [r"a\_b AND c", r"1.0 $\pm$0.5"], [r"\#\{x\}", r"\$2"]]
    ]
    assert text.startswith("\\begin{tabular}{lr}\n\\toprule")
    assert text.endswith("\\bottomrule\n\\end{tabular}")


def test_all_but_tabulars_is_comment_and_columns_agree(page):
    _, shown = page
    outside = re.sub(r"\\begin\{tabular\}.*?\\end\{tabular\}\n", "", shown.latex, flags=re.S)
    assert all(line.startswith("% ") for line in outside.splitlines())
    columns = [len(spec) for spec in re.findall(r"\\begin\{tabular\}\{([lr]+)\}", shown.latex)]
    passes, gains = tabulars(shown.latex)
    assert columns == [3 + len(KS), 6]
    assert {len(row) for row in passes} == {3 + len(KS)} and {len(row) for row in gains} == {6}
    assert passes[0][3:] == [f"Pass@{k}" for k in KS]


def test_every_number_of_the_paper_is_in_its_place(page):
    name, shown = page
    entry = paper_numbers()["tables"][name]
    theirs = [row for row in tabulars(shown.latex)[0][1:] if row[2].startswith("paper")]
    expected = []
    for row in entry["rows"]:
        marks = ", ".join(row.get("footnotes", []))
        place = f"paper [{marks}]" if marks else "paper"
        numbers = [f"{value:.2f}" for value in row["pass_at_k"]]
        expected.append([row["model"], METHOD_NAMES[row["method"]], place, *numbers])
    assert sorted(theirs) == sorted(expected)


def test_every_estimate_of_ours_is_in_its_place(page):
    _, shown = page
    rows = shown.rows
    passes = rows[(rows["level"] == "all") & (rows["versus"] == "")]
    assert len(passes) >= 3 * len(KS)
    cells = {tuple(row[:3]): row[3:] for row in tabulars(shown.latex)[0][1:]}
    for row in passes.itertuples():
        half = 50 * (row.high - row.low)
        cell = cells[row.model, METHOD_NAMES[row.method], "ours"][KS.index(row.k)]
        assert cell == rf"{100 * row.estimate:.1f} $\pm${half:.1f}"


def test_every_gain_of_ours_has_its_interval_and_verdict(page):
    _, shown = page
    rows = shown.rows
    gains = rows[(rows["level"] == "all") & (rows["versus"] == "grpo")]
    cells = {(row[2], row[3]): row for row in tabulars(shown.latex)[1][1:]}
    methods = [method for method in dict.fromkeys(gains["method"]) if method != "base"]
    assert {name for name, _ in cells} == {METHOD_NAMES[method] for method in methods}
    for row in gains[gains["method"] != "base"].itertuples():
        _, against, _, _, gain, verdict = cells[METHOD_NAMES[row.method], str(row.k)]
        points = [100 * value for value in (row.estimate, row.low, row.high)]
        assert gain == "{:+.1f} [{:+.1f}, {:+.1f}]".format(*points)
        assert against == "direction only"  # a toy is not one of the paper's models
        assert bool(verdict)
        assert ("not distinguishable" in verdict) == (row.low <= 0 <= row.high)


def test_footnotes_of_the_marks(page):
    name, shown = page
    marks = {
        mark for row in paper_numbers()["tables"][name]["rows"] for mark in row.get("footnotes", [])
    }
    found = dict(re.findall(r"^% \[(\w)\] (.+)$", shown.latex, re.M))
    assert found.keys() == marks
    for mark, text in found.items():
        assert text == " ".join(paper_numbers()["footnotes"][mark].split())


def test_a_table_without_any_run_of_ours_has_the_papers_rows(tmp_path):
    results = synthetic_results(tmp_path / "tiny", synthetic_runs(mixes=("math-dapo",)), problems=5)
    shown = paper_table(results.only([]), "table1")
    assert isinstance(shown.rows, pd.DataFrame)
    passes, _ = tabulars(shown.latex)
    assert {row[2].split()[0] for row in passes[1:]} == {"paper"}
