"""Tables 1 to 3 of the paper: ours next to the paper's numbers.

Everything shown is computed from the runs' files and comparison/paper_numbers.yaml. The paper gives
single numbers; ours are means over training seeds with a 95 % interval over test problems and seeds
(evaluation/intervals.py), and gains are paired by problem, and by seed where both have the same.
"""

from functools import partial

import numpy as np
import pandas as pd

from lens_impl.comparison.evaluations import Evaluations, read_evaluations
from lens_impl.comparison.gains import pass_at_k_rows
from lens_impl.comparison.paper import BASELINE, paper_numbers, paper_rows
from lens_impl.comparison.verdicts import collapse_not_run, verdict_rows
from lens_impl.evaluation.levels import ALL
from lens_impl.report.names import TOY, method_name, percent, warnings
from lens_impl.report.page import Page
from lens_impl.results import Results
from lens_impl.text import grid, latex, p_value, wrap

READING = (
    "±: half of the 95 % interval over problems and, with several seeds, over seeds. With two it "
    "is wide, as two runs say little about a third; with one it leaves out the spread between "
    "runs. p: two-sided, corrected for all gains of the list (Holm). The verdict is on the "
    "interval."
)


def paper_table(results: Results, table: str) -> Page:
    """One of the paper's tables from the runs that it compares."""
    found = read_evaluations(results, paper_numbers()["k"])
    rows = pass_at_k_rows(found, paper_numbers()["k"])
    verdicts = verdict_rows(rows, table)
    return Page(
        rows,
        table_markdown(rows, verdicts, found, table, results),
        table_latex(rows, verdicts, table, results),
        found.faults,
    )


table1 = partial(paper_table, table="table1")
table2 = partial(paper_table, table="table2")
table3 = partial(paper_table, table="table3")


def table_markdown(
    ours: pd.DataFrame, verdicts: pd.DataFrame, found: Evaluations, table: str, results: Results
) -> str:
    """A table of the paper in markdown: ours, gains over GRPO with their verdict, the paper's.

    The paper's numbers stand in ours only where the model is the paper's.
    """
    paper = paper_numbers()
    entry, theirs = paper["tables"][table], paper_rows(table)
    parts = [f"# Table {table.removeprefix('table')}: {entry['title']}"]
    if results.toy:
        parts.append(f"**{TOY}**")
    parts += warnings(found)
    ours = ours[ours["level"] == ALL]
    if ours.empty:
        parts.append(f"No run of this table is among the experiments of scale {results.scale}.")
    for model, rows in ours.groupby("model", sort=False):
        same_model = theirs[theirs["model"] == paper["models"].get(model)]
        parts += [f"## Ours: {model}", _about(rows), _passes(rows, same_model)]
        parts.append(_verdicts(verdicts[verdicts["model"] == model]))
    if not ours.empty:
        parts.append(wrap(READING))
    others = ", other models: not comparable with ours" if results.toy else ""
    parts.append(f"## The paper's numbers ({entry['location']}){others}")
    for model, rows in theirs.groupby("model", sort=False):
        parts.append(_published(model, rows))
    average = "one run" if entry["runs"] == 1 else f"mean of {entry['runs']} runs"
    parts.append(f"Each row: {average}; the paper gives no intervals.")
    marks = sorted({mark for row in entry["rows"] for mark in row.get("footnotes", [])})
    parts += [wrap(f"[{mark}] {paper['footnotes'][mark]}") for mark in marks]
    return "\n\n".join(parts) + "\n"


def table_latex(ours: pd.DataFrame, verdicts: pd.DataFrame, table: str, results: Results) -> str:
    """The same as a tabular of booktabs: ours, and the paper's where it gives the row."""
    paper = paper_numbers()
    entry, theirs = paper["tables"][table], paper_rows(table)
    toy = f" {TOY}" if results.toy else ""
    lines = [f"% {entry['title']}. Scale {results.scale}.{toy}", "% \\usepackage{booktabs}"]
    ours = ours[(ours["level"] == ALL) & (ours["versus"] == "")]
    rows = []
    for (model, method), row in ours.groupby(["model", "method"], sort=False):
        rows.append([model, method_name(method), "ours", *map(percent, row.itertuples())])
    for (model, method, marks), row in theirs.groupby(["model", "method", "marks"], sort=False):
        rows.append(
            [model, method_name(method), f"paper{marks}", *map("{:.2f}".format, row["estimate"])]
        )
    ks = [f"Pass@{k}" for k in dict.fromkeys(theirs["k"])]
    width = 3 + len(ks)
    lines.append(
        latex(
            ["model", "method", "", *ks],
            [row + [""] * (width - len(row)) for row in rows],
            text=(0, 1, 2),
        )
    )
    judged = [
        [row.model, row.paper_model, method_name(row.method), str(row.k), _gain(row), row.verdict]
        for row in collapse_not_run(verdicts).itertuples()
    ]
    lines.append("% Gains over GRPO in points, and the verdict.")
    header = ["model", "compared with", "method", "k", "gain over GRPO", "verdict"]
    lines.append(latex(header, judged, text=(0, 1, 2, 5)))
    marks = sorted({mark for row in entry["rows"] for mark in row.get("footnotes", [])})
    lines += [f"% [{mark}] {' '.join(paper['footnotes'][mark].split())}" for mark in marks]
    return "\n".join(lines) + "\n"


def _published(model: str, rows: pd.DataFrame) -> str:
    """The paper's rows of one model, and their gains over GRPO."""
    passes = rows.pivot(index="method", columns="k", values="estimate")
    cells = [
        [method_name(method) + marks, *(f"{value:.2f}" for value in row["estimate"])]
        for (method, marks), row in rows.groupby(["method", "marks"], sort=False)
    ]
    for method in dict.fromkeys(rows["method"]):
        if method != BASELINE:
            gain = passes.loc[method] - passes.loc[BASELINE]
            label = f"gain of {method_name(method)}"
            cells.append([label, *(f"{value:+.2f}" for value in gain)])
    return grid([model, *map("Pass@{}".format, passes.columns)], cells)


def _about(rows: pd.DataFrame) -> str:
    passes = rows[(rows["versus"] == "") & (rows["method"] != "base")]
    seeds = passes.groupby("seeds", sort=False)["method"].unique()
    trained = "; ".join(
        f"{', '.join(map(method_name, methods))}: seeds {', '.join(seed.split())}"
        for seed, methods in seeds.items()
    )
    problems, n = rows["problems"].iloc[0], rows["n"].iloc[0]
    return wrap(
        f"Pass@k in %, {problems} problems x {n} samples a run, mean over seeds. {trained}."
    )


def _passes(rows: pd.DataFrame, same_model: pd.DataFrame) -> str:
    """One line a method; under it the paper's, where the model is the paper's."""
    passes = rows[rows["versus"] == ""]
    ks = list(dict.fromkeys(passes["k"]))
    lines = []
    for method, row in passes.groupby("method", sort=False):
        cells = {r.k: percent(r) for r in row.itertuples()}
        lines.append([method_name(method), *(cells.get(k, "") for k in ks)])
        for marks, paper in same_model[same_model["method"] == method].groupby("marks"):
            known = paper.set_index("k")["estimate"]
            lines.append([f"paper{marks}", *(f"{known[k]:.2f}" if k in known else "" for k in ks)])
    return grid(["ours", *map("Pass@{}".format, ks)], lines)


def _gain(row) -> str:
    if np.isnan(row.gain):
        return ""
    return f"{row.gain:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"


def _verdicts(rows: pd.DataFrame) -> str:
    """A line a method and k; the paper's gain and the difference where the model is the paper's."""
    same_model = rows["paper_gain"].notna().any()
    lines = []
    for row in collapse_not_run(rows).itertuples():
        p = "" if pd.isna(row.p_holm) else p_value(row.p_holm)
        line = [method_name(row.method), str(row.k), _gain(row), p]
        if same_model:
            difference = "" if pd.isna(row.difference) else f"{row.difference:+.1f}"
            line += ["" if row.k == "all" else f"{row.paper_gain:+.2f}", difference]
        lines.append([*line, row.verdict])
    paper = ["paper", "ours - paper"] if same_model else []
    header = ["gain over GRPO", "k", "points [95 % interval]", "p", *paper, "verdict"]
    return grid(header, lines, text=(0, len(header) - 1))
