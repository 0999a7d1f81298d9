"""Many seeds of some methods: paired differences to GRPO, and how many seeds the effect needs.

The seeds are what varies between trainings; alpha is the weight of all-wrong groups in LENS.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lens_impl.comparison import BASELINE, Evaluations, levels_of, passes_of, seed_by_seed
from lens_impl.display import TOY_SCALES, grid, method_name, p_value, wrap
from lens_impl.files import read_json
from lens_impl.statistics import holm, paired_difference, power, seeds_needed, variance_components
from lens_impl.verdicts import paper_gains

SEED_COUNTS = (2, 3, 5, 10, 20, 50, 100)  # of the power curve
COLUMNS = ["mix", "model", "method", "level", "k", "seeds", "estimate", "low", "high"]
COLUMNS += ["p_value", "p_holm", "sd_seeds", "sd_problems", "paper_effect", "seeds_needed"]
COLUMNS += [f"power_{count}" for count in SEED_COUNTS]


def seeds_rows(found: Evaluations, runs: list[dict], paper: dict) -> pd.DataFrame:
    """One row a mix, model, method, level (all, 4-5) and k (smallest, largest): its gain over GRPO.

    estimate, low, high, sd_seeds, sd_problems: fractions; sd_*: of the difference, between seeds
    and between problems. paper_effect: the paper's mean gain of LENS on that mix and k (all levels;
    it gives no others), a fraction. seeds_needed: seeds a method that would show an effect of that
    size four times in five, -1 where no number does on this test set; power_N: with N seeds.
    """
    rows = []
    for mix, model, members in _families(runs):
        effects = _paper_effects(paper, mix)
        levels = levels_of(found, members, model)
        for k in (paper["k"][0], paper["k"][-1]):
            passes = passes_of(found, members, model, k)
            for method, values in passes.items():
                if method in ("base", BASELINE) or BASELINE not in passes:
                    continue
                for level, mask in levels.items():
                    row = {"mix": mix, "model": model, "method": method, "level": level, "k": k}
                    row["seeds"] = " ".join(values.columns)
                    first, second, same = seed_by_seed(values[mask], passes[BASELINE][mask])
                    row |= vars(paired_difference(first, second, paired_seeds=same))
                    if same and len(first) > 1:
                        row |= _power(first - second, effects[k])
                    rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    for _, family in table.groupby(["mix", "model"]):
        table.loc[family.index, "p_holm"] = holm(family["p_value"])
    return table


def _power(differences: np.ndarray, effect: float) -> dict:
    problems = differences.shape[1]
    parts = variance_components(differences)
    row = {"sd_seeds": parts.seed**0.5, "sd_problems": parts.problem**0.5}
    row |= {"paper_effect": effect, "seeds_needed": seeds_needed(effect, parts, problems) or -1}
    return row | {f"power_{count}": power(effect, count, parts, problems) for count in SEED_COUNTS}


def _paper_effects(paper: dict, mix: str) -> dict[int, float]:
    """k -> the paper's gain of LENS over GRPO on a mix, a fraction, mean over its models."""
    tables = [name for name, entry in paper["tables"].items() if entry["mix"] == mix]
    gains = pd.concat([paper_gains(paper, table) for table in tables])
    gains = gains[gains["method"] == "lens"].drop_duplicates(["model", "k"])
    return (gains.groupby("k")["gain"].mean() / 100).to_dict()


def _families(runs: list[dict]) -> Iterator[tuple[str, str, list[dict]]]:
    for mix, model in dict.fromkeys((run["mix"], run["model"]) for run in runs):
        yield mix, model, [r for r in runs if (r["mix"], r["model"]) == (mix, model)]


def seeds_markdown(
    rows: pd.DataFrame, found: Evaluations, results: Path, runs: list[dict], scale: str
) -> str:
    """What seeds_rows found, with the commit of the trainings, whatever it says."""
    parts = ["# Differences to GRPO over many seeds"]
    if scale in TOY_SCALES:
        parts.append("**Designed toy: says nothing about the paper's models.**")
    parts.append(wrap(_provenance(results, runs)))
    lines = [f"- **{fault}**" for fault in found.faults] + [f"- {note}" for note in found.notes]
    parts += ["\n".join(lines)] if lines else []
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


def _provenance(results: Path, runs: list[dict]) -> str:
    paths = [results / "runs" / run["run"] / "manifest.json" for run in runs]
    manifests = [read_json(path) for path in paths if path.is_file()]
    commits = sorted({(m["git"]["commit"] or "unknown")[:12] for m in manifests})
    days = sorted(m["finished"][:10] for m in manifests)
    dirty = " with uncommitted changes" if any(m["git"]["dirty"] for m in manifests) else ""
    when = f", {days[0]} to {days[-1]}" if days else ""
    return f"{len(manifests)} of {len(runs)} trainings, commit {', '.join(commits)}{dirty}{when}."


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
    return ["Power: the chance that so many seeds a method show it (p < .05).", grid(header, cells)]
