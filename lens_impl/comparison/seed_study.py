"""Many seeds of some methods: paired differences to GRPO, and how many seeds the effect needs.

Runs differ by seed; alpha is the weight of all-wrong groups in LENS.
"""

import numpy as np
import pandas as pd

from lens_impl.comparison.evaluations import Evaluations
from lens_impl.comparison.gains import gains, some_problems, subsets, with_holm
from lens_impl.comparison.paper import lens_gains
from lens_impl.evaluation.power import power, seeds_needed, variance_components

SEED_COUNTS = (2, 3, 5, 10, 20, 50, 100)  # of the power curve
COLUMNS = ["mix", "model", "method", "level", "k", "seeds", "estimate", "low", "high"]
COLUMNS += ["p_value", "p_holm", "sd_seeds", "sd_problems", "paper_effect", "seeds_needed"]
COLUMNS += [f"power_{count}" for count in SEED_COUNTS]


def seeds_rows(evaluations: Evaluations, ks: list[int]) -> pd.DataFrame:
    """The gain over GRPO of each mix, model, method, level (all, 4-5) and k.

    | column | |
    |---|---|
    | estimate, low, high | fractions: mean over seeds and problems, 95 % interval |
    | p_value, p_holm | Holm over all rows of a mix and model |
    | sd_seeds, sd_problems | of the difference, between seeds and between problems; fractions |
    | paper_effect | the paper's mean gain of LENS on that mix and k (all levels), a fraction |
    | seeds_needed | seeds per method with power .8 for that effect; -1: no number is enough |
    | power_N | power for that effect with N seeds per method |
    """
    rows = []
    for gain in gains(evaluations, ks):
        ours = gain.method
        for level, mask in subsets(ours.problems).items():
            row: dict[str, object] = {"mix": ours.mix, "model": ours.model, "method": ours.method}
            row |= {"level": level, "k": ours.k, "seeds": " ".join(ours.seeds)} | vars(
                gain.difference(mask)
            )
            first, second = gain.values
            effect = _paper_effect(ours.mix, ours.k)
            if gain.paired and len(first) > 1 and effect is not None:
                row |= _power(some_problems(mask, first - second), effect)
            rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return with_holm(table, table["k"].notna(), ["mix", "model"])


def _power(differences: np.ndarray, effect: float) -> dict:
    problems = differences.shape[1]
    parts = variance_components(differences)
    row = {"sd_seeds": parts.seed**0.5, "sd_problems": parts.problem**0.5}
    row |= {"paper_effect": effect, "seeds_needed": seeds_needed(effect, parts, problems) or -1}
    return row | {f"power_{count}": power(effect, count, parts, problems) for count in SEED_COUNTS}


def _paper_effect(mix: str, k: int) -> float | None:
    """The paper's gain of LENS over GRPO, a fraction, mean over its models; None if it has none."""
    rows = lens_gains(mix)
    rows = rows[rows["k"] == k]
    return None if rows.empty else float(rows["gain"].mean() / 100)
