"""Gains over GRPO by level and by subject, as a page."""

import pandas as pd

from lens_impl.comparison.evaluations import Evaluations
from lens_impl.report.names import TOY, TOY_SCALES, method_name, warnings
from lens_impl.text import grid, p_value, wrap


def effects_markdown(rows: pd.DataFrame, found: Evaluations, scale: str) -> str:
    """Gains over GRPO by level and by subject, a list a mix, model and method."""
    parts = ["# Gains over GRPO by level and by subject"]
    if scale in TOY_SCALES:
        parts.append(f"**{TOY}**")
    parts += warnings(found)
    if rows.empty:
        parts.append("No method was trained beside GRPO at this scale.")
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
                    shown += [f"{100 * row.estimate:+.1f} ±{50 * (row.high - row.low):.1f}"]
                    shown += [p_value(row.p_holm)]
                lines.append(shown)
            header = [by, "problems", *(cell for k in ks for cell in (f"Pass@{k}", "p"))]
            parts.append(grid(header, lines))
    parts.append(wrap("In points, paired by problem. p is corrected within each list (Holm)."))
    return "\n\n".join(parts) + "\n"
