"""Intervals and comparisons of Pass@k: how much is chance in the choice of problems and seeds.

Values are [problems] for one run, or [seeds, problems] for runs that answered the same problems.
The bootstrap draws problems with replacement, the same ones for every seed, and with several seeds
draws the seeds with replacement too (crossed, both independently). Known bias: with S seeds the
variance between seeds comes out too small by (S - 1) / S, so two seeds give a narrow interval; with
one seed the interval says nothing of the spread between seeds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lens_impl.errors import UserError
from lens_impl.passk import pass_at_k

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """Mean of the first method minus mean of the second, with the two-sided p-value of 0."""

    p_value: float


def bootstrap_interval(
    values: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of values [problems] or [seeds, problems] with its percentile bootstrap interval.

    The interval reaches from the (1 - level) / 2 to the (1 + level) / 2 quantile of the resampled
    means. Equal arguments give equal results. A nan among the values makes all three nan.
    UserError for values of another shape or without problems.
    """
    table = _table(values)
    rng = np.random.default_rng(seed)
    means = _over_seeds(_resampled_means(table, resamples, rng), rng)
    return Interval(float(table.mean()), *_quantiles(means, level))


def pass_at_k_interval(
    n: ArrayLike,
    c: ArrayLike,
    k: int,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean unbiased Pass@k over problems with its interval.

    n, c: samples and correct samples, [problems] or [seeds, problems], or one n for all.
    """
    return bootstrap_interval(pass_at_k(n, c, k), level=level, resamples=resamples, seed=seed)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Difference of the means of two methods on the same problems, in the same order.

    first, second: [problems] or [seeds, problems]; the numbers of seeds may differ. A resample
    draws one set of problems for both and the seeds of each on their own. With d* the R resampled
    differences, p = min(1, 2 (1 + min(#{d* <= 0}, #{d* >= 0})) / (R + 1)), the level at which the
    percentile interval starts to hold 0.
    UserError for different numbers of problems.
    """
    a, b = _table(first), _table(second)
    if a.shape[1] != b.shape[1]:
        raise UserError(
            f"statistics: a paired difference needs the same problems, "
            f"got {a.shape[1]} and {b.shape[1]}"
        )
    rng = np.random.default_rng(seed)
    per_seed = _resampled_means(np.concatenate([a, b]), resamples, rng)
    differences = _over_seeds(per_seed[:, : len(a)], rng) - _over_seeds(per_seed[:, len(a) :], rng)
    estimate = float(a.mean() - b.mean())
    if np.isnan(estimate):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    # Means of equal numbers in another order differ by rounding; that is no difference.
    differences[np.abs(differences) < 1e-12] = 0.0
    rarer = min((differences <= 0).sum(), (differences >= 0).sum())
    p_value = min(1.0, 2 * (1 + int(rarer)) / (resamples + 1))
    return Difference(estimate, *_quantiles(differences, level), p_value)


def _table(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or values.size == 0:
        raise UserError(
            f"statistics: values must be [problems] or [seeds, problems] and not empty, "
            f"got shape {list(values.shape)}"
        )
    return np.atleast_2d(values)


def _resampled_means(table: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """[resamples, seeds] means of [seeds, problems] over problems drawn alike for all seeds.

    Problems with the same values are drawn together, by how often: Pass@k of n samples takes at
    most n + 1 values, so this is far fewer numbers than one index a draw.
    """
    distinct, counts = np.unique(table, axis=1, return_counts=True)
    problems = table.shape[1]
    drawn = rng.multinomial(problems, counts / problems, size=resamples)
    return drawn @ distinct.T / problems


def _over_seeds(per_seed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[resamples] means over seeds drawn with replacement from [resamples, seeds]."""
    drawn = rng.integers(per_seed.shape[1], size=per_seed.shape)
    return np.take_along_axis(per_seed, drawn, axis=1).mean(1)


def _quantiles(means: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
