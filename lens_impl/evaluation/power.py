"""Variance components, power, and how many seeds an effect needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lens_impl.errors import UserError
from lens_impl.evaluation.intervals import as_table, mean_squares

MOST_SEEDS = 1000  # where seeds_needed gives up


@dataclass(frozen=True)
class Components:
    """Variances of one value: between problems, between seeds, and what neither explains."""

    problem: float
    seed: float
    residual: float


def variance_components(values: ArrayLike) -> Components:
    """Variances of the crossed model from the mean squares of a two-way table [seeds, problems].

    With MS_p, MS_s, MS_e of a table of S x P: problem (MS_p - MS_e) / S, seed (MS_s - MS_e) / P,
    residual MS_e; negative estimates count as 0. UserError with fewer than two seeds or problems.
    """
    table = as_table(values)
    seeds, problems = table.shape
    if seeds < 2 or problems < 2:
        raise UserError(
            f"statistics: variances need at least two seeds and two problems, got {seeds} seed(s) "
            f"and {problems} problem(s). Hint: add seeds to the experiments."
        )
    between_problems, between_seeds, residual = mean_squares(table)
    return Components(
        max(between_problems - residual, 0.0) / seeds,
        max(between_seeds - residual, 0.0) / problems,
        residual,
    )


def power(
    effect: float, seeds: int, components: Components, problems: int, level: float = 0.95
) -> float:
    """Chance that `seeds` runs per method show a true difference `effect` (two-sided test).

    components: of the differences by seed and problem. The variance of the mean difference is
    V = problem / P + (seed + residual / P) / S, and its t statistic is non-central with
    effect / sqrt(V) and, as Satterthwaite, V^2 / ((problem / P)^2 / (P - 1) + (rest)^2 / (S - 1))
    degrees of freedom. Without differences between problems this is the paired t test's power.
    """
    shared = components.problem / problems
    rest = (components.seed + components.residual / problems) / seeds
    total = shared + rest
    if total == 0:
        return 1.0 if effect else 1 - level
    if seeds < 2:
        raise UserError("statistics: power needs at least two seeds")
    freedom = total**2 / (shared**2 / max(problems - 1, 1) + rest**2 / (seeds - 1))
    # Here, since it takes a second and most processes that import this module need no power.
    from scipy import stats

    critical = stats.t.ppf((1 + level) / 2, freedom)
    shift = abs(effect) / np.sqrt(total)
    if shift > critical + 8:  # where power is 1, and scipy's non-central t may give nan
        return 1.0
    # From a shift of 5 on the other tail is below 1e-6, and scipy gives nan for it now and then.
    other = stats.nct.cdf(-critical, freedom, shift) if shift < 5 else 0.0
    return float(stats.nct.sf(critical, freedom, shift) + other)


def seeds_needed(
    effect: float,
    components: Components,
    problems: int,
    wanted_power: float = 0.8,
    level: float = 0.95,
) -> int | None:
    """Fewest seeds per method that detect `effect` with the wanted power.

    None where MOST_SEEDS are not enough: then the test set is too small, not the number of seeds.
    """
    if power(effect, MOST_SEEDS, components, problems, level) < wanted_power:
        return None
    low, high = 1, MOST_SEEDS  # power grows with the seeds
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(effect, middle, components, problems, level) >= wanted_power
        low, high = (low, middle) if enough else (middle, high)
    return high
