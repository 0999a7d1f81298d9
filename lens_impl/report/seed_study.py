"""Differences to GRPO over many seeds, as a page."""

import pandas as pd

from lens_impl.comparison.evaluations import Evaluations, read_evaluations
from lens_impl.comparison.paper import paper_numbers
from lens_impl.comparison.seed_study import SEED_COUNTS, seeds_rows
from lens_impl.provenance import origin
from lens_impl.report.names import method_name, warnings
from lens_impl.report.page import Page
from lens_impl.results import Results
from lens_impl.text import grid, p_value, wrap


def seeds(results: Results) -> Page:
    """Each method's gain over GRPO over all seeds, at the smallest and the largest k."""
    ks = paper_numbers()["k"]
    found = read_evaluations(results, ks)
    rows = seeds_rows(found, [ks[0], ks[-1]])
    return Page(rows, seeds_markdown(rows, found, results), faults=found.faults)


def seeds_markdown(rows: pd.DataFrame, found: Evaluations, results: Results) -> str:
    """The rows with the commits that trained the runs."""
    parts = ["# Differences to GRPO over many seeds"]
    if results.toy:
        parts.append("**Designed toy: says nothing about the paper's models.**")
    parts += [wrap(_provenance(results)), *warnings(found)]
    for (mix, model), part in rows.groupby(["mix", "model"], sort=False):
        parts += [f"## {model} on {mix}", _differences(part), *_power_parts(part)]
    parts.append(
        wrap(
            "In points, method minus GRPO, paired by problem and by seed (same prompts in the same "
            "order). The interval is over problems and seeds (Student's t over seeds); p is "
            "corrected for all rows of its list (Holm). SD: of the difference between seeds, and "
            "between problems."
        )
    )
    return "\n\n".join(parts) + "\n"


def _provenance(results: Results) -> str:
    names = [run.name for run in results.runs]
    found = [name for name in names if results.file(name, "manifest.json").is_file()]
    return f"Of {len(names)} runs: {origin(map(results.manifest, found))}."


def _differences(part: pd.DataFrame) -> str:
    cells = []
    for row in part.itertuples():
        interval = f"[{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
        spread = "" if pd.isna(row.sd_seeds) else f"{100 * row.sd_seeds:.1f}"
        problems = "" if pd.isna(row.sd_problems) else f"{100 * row.sd_problems:.1f}"
        name = [method_name(row.method), f"Pass@{row.k}", row.level, str(len(row.seeds.split()))]
        gain = [f"{100 * row.estimate:+.1f}", interval, p_value(row.p_holm), spread, problems]
        cells.append(name + gain)
    header = ["method", "", "levels", "seeds", "gain", "95 %", "p", "SD seeds", "SD problems"]
    return grid(header, cells)


def _power_parts(part: pd.DataFrame) -> list[str]:
    part = part[part["seeds_needed"].notna()]
    if part.empty:
        return []
    cells = []
    for row in part.to_dict("records"):
        needed = "none is enough" if row["seeds_needed"] < 0 else f"{row['seeds_needed']:.0f}"
        cells.append(
            [f"{method_name(row['method'])}, Pass@{row['k']}, {row['level']}"]
            + [f"{100 * row['paper_effect']:+.1f}", needed]
            + [f"{row[f'power_{count}']:.2f}" for count in SEED_COUNTS]
        )
    header = ["chance to see", "the paper's gain", "seeds for .80", *map(str, SEED_COUNTS)]
    return [
        "Power: the chance that so many seeds per method show it (p < .05).",
        grid(header, cells),
    ]
