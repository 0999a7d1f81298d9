"""Gains over GRPO by level and by subject, as a page."""

import pandas as pd

from lens_impl.comparison.evaluations import Evaluations, read_evaluations
from lens_impl.comparison.gains import effect_rows
from lens_impl.comparison.paper import paper_numbers
from lens_impl.report.names import TOY, method_name, percent, warnings
from lens_impl.report.page import Page
from lens_impl.results import Results
from lens_impl.text import grid, p_value, wrap


def effects(results: Results) -> Page:
    """Each method's gain over GRPO at the smallest and the largest k, by level and by subject."""
    ks = paper_numbers()["k"]
    found = read_evaluations(results, ks)
    rows = effect_rows(found, [ks[0], ks[-1]])
    return Page(rows, effects_markdown(rows, found, results), faults=found.faults)


def effects_markdown(rows: pd.DataFrame, found: Evaluations, results: Results) -> str:
    """Gains over GRPO by level and by subject, one list per mix, model and method."""
    parts = ["# Gains over GRPO by level and by subject"]
    if results.toy:
        parts.append(f"**{TOY}**")
    parts += warnings(found)
    if rows.empty:
        parts.append("No method was trained next to GRPO at this scale.")
    for (mix, model, method), part in rows.groupby(["mix", "model", "method"], sort=False):
        seeds = part["seeds"].iloc[0]
        parts.append(
            f"## {method_name(method)} on {mix}, {model}, seeds {', '.join(seeds.split())}"
        )
        ks = list(dict.fromkeys(part["k"]))
        for by, labels in part.groupby("by", sort=False):
            lines = []
            for label, cells in labels.groupby("label", sort=False):
                shown = [str(label), str(cells["problems"].iloc[0])]
                for row in cells.itertuples():
                    shown += [percent(row, "+")]
                    shown += [p_value(row.p_holm)]
                lines.append(shown)
            header = [by, "problems", *(cell for k in ks for cell in (f"Pass@{k}", "p"))]
            parts.append(grid(header, lines))
    parts.append(wrap("In points, paired by problem. p is corrected within each list (Holm)."))
    return "\n\n".join(parts) + "\n"
