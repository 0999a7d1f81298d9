"""Many seeds of some methods: paired differences to GRPO, and how many seeds the effect needs.

The seeds are what varies between trainings; alpha is the weight of all-wrong groups in LENS.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lens_impl.comparison.evaluations import Evaluations
from lens_impl.comparison.gains import BASELINE, levels_of, passes_of, seed_by_seed
from lens_impl.comparison.paper import paper_gains
from lens_impl.evaluation.intervals import holm, paired_difference
from lens_impl.evaluation.power import power, seeds_needed, variance_components

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
