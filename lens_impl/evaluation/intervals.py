"""Intervals and comparisons of Pass@k: how much is chance in the choice of problems and seeds.

Values are [problems] for one run, or [seeds, problems] for runs that answered the same problems,
read as the crossed model  y_sp = mean + seed_s + problem_p + residual_sp. The interval of the mean
adds two independent draws:

- problems: means of resampled problems (bootstrap), shrunk to the variance that all seeds share;
- seeds: Student's t with S - 1 degrees of freedom times the standard error of the seeds' means,
  which contains the residual too. Resampling two to five seeds would miss 1 / S of their variance.

So two seeds give a wide interval (12.7 standard errors): two runs say little about a third. One
seed gives an interval over problems alone, which says nothing about the spread between seeds. No
interval is narrower than that of the problems alone, as it would be where two seeds agree by luck.

One convention: the resampling starts from seed 0 unless a test asks for another, so the same
numbers have the same interval wherever they are shown.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lens_impl.errors import UserError
from lens_impl.evaluation.passk import pass_at_k

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval."""

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
    """Mean of values [problems] or [seeds, problems] with its interval (see above).

    The interval reaches from the (1 - level) / 2 to the (1 + level) / 2 quantile of the drawn
    means. Equal arguments give equal results. A nan among the values makes all three nan.
    UserError for values of another shape or without problems.
    """
    table = as_table(values)
    estimate = float(table.mean())
    if np.isnan(estimate):
        return Interval(np.nan, np.nan, np.nan)
    drawn = _deviations([table], [1.0], resamples, np.random.default_rng(seed))
    return Interval(estimate, *_bounds(estimate + drawn, level))


def pass_at_k_interval(
    n: ArrayLike,
    c: ArrayLike,
    k: int,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean unbiased Pass@k over problems, with its interval clamped to 0 and 1.

    n, c: samples and correct samples, [problems] or [seeds, problems], or one n for all. All three
    are nan where n < k. Use it for every Pass@k that is shown.
    """
    found = bootstrap_interval(pass_at_k(n, c, k), level=level, resamples=resamples, seed=seed)
    return clamped(found)


def clamped(interval: Interval) -> Interval:
    """The interval of a share, kept within 0 and 1."""
    return Interval(interval.estimate, max(interval.low, 0.0), min(interval.high, 1.0))


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    paired_seeds: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Difference of the means of two methods on the same problems, in the same order.

    first, second: [problems] or [seeds, problems]. paired_seeds: row s of both was trained from the
    same seed (same prompts in the same order), so the differences by seed are what varies, with
    S - 1 degrees of freedom; otherwise the seeds of each vary on their own, and their numbers may
    differ. With d* the R drawn differences, p = min(1, 2 (1 + min(#{d* <= 0}, #{d* >= 0})) /
    (R + 1)), about the level at which the interval starts to contain 0.
    UserError for different problems, or paired_seeds with different numbers of seeds.
    """
    a, b = as_table(first), as_table(second)
    if a.shape[1] != b.shape[1]:
        raise UserError(
            f"statistics: a paired difference needs the same problems, "
            f"got {a.shape[1]} and {b.shape[1]}"
        )
    if paired_seeds and len(a) != len(b):
        raise UserError(
            f"statistics: paired seeds need the same seeds, got {len(a)} and {len(b)} of them"
        )
    estimate = float(a.mean() - b.mean())
    if np.isnan(estimate):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    tables, signs = ([a - b], [1.0]) if paired_seeds else ([a, b], [1.0, -1.0])
    drawn = estimate + _deviations(tables, signs, resamples, np.random.default_rng(seed))
    # Means of equal numbers in another order differ by rounding; that is no difference.
    drawn[np.abs(drawn) < 1e-12] = 0.0
    rarer = np.minimum((drawn <= 0).sum(1), (drawn >= 0).sum(1)).max()
    p_value = min(1.0, 2 * (1 + int(rarer)) / (resamples + 1))
    return Difference(estimate, *_bounds(drawn, level), p_value)


def effects(
    first: ArrayLike,
    second: ArrayLike,
    labels: Sequence,
    *,
    paired_seeds: bool = False,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Paired difference within each label (level, subject) of the problems, in order of label.

    first, second: [problems] or [seeds, problems]; labels: [problems]. Columns label, problems,
    estimate, low, high, p_value, p_holm (corrected for the number of labels).
    """
    a, b, label_of = as_table(first), as_table(second), np.asarray(labels)
    rows = []
    for label in sorted(set(label_of.tolist())):
        mask = label_of == label
        difference = paired_difference(
            a[:, mask], b[:, mask], paired_seeds=paired_seeds, resamples=resamples
        )
        rows.append({"label": label, "problems": int(mask.sum()), **asdict(difference)})
    frame = pd.DataFrame(rows)
    return frame.assign(p_holm=holm(frame["p_value"]))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's step-down correction: p-values that hold for all comparisons together.

    The i-th smallest of m becomes max over j <= i of min(1, (m - j + 1) p_(j)) (Holm 1979).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted


def as_table(values: ArrayLike) -> np.ndarray:
    """Values as float64 [seeds, problems]. UserError for another shape, or without values."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or values.size == 0:
        raise UserError(
            f"statistics: values must be [problems] or [seeds, problems] and not empty, "
            f"got shape {list(values.shape)}"
        )
    return np.atleast_2d(values)


def mean_squares(table: np.ndarray) -> tuple[float, float, float]:
    """Mean squares between problems, between seeds and of the residual; 0 without freedom."""
    seeds, problems = table.shape
    by_seed, by_problem = table.mean(1), table.mean(0)
    mean = table.mean()
    residual = table - by_seed[:, None] - by_problem + mean
    return (
        seeds * float(((by_problem - mean) ** 2).sum()) / max(problems - 1, 1),
        problems * float(((by_seed - mean) ** 2).sum()) / max(seeds - 1, 1),
        float((residual**2).sum()) / max((seeds - 1) * (problems - 1), 1),
    )


def _deviations(
    tables: list[np.ndarray], signs: list[float], resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Deviations of the signed sum of the tables' means: [problems alone, with seeds; resamples].

    Of runs with one seed, [problems alone; resamples].
    """
    problems = tables[0].shape[1]
    combined = sum(sign * table.mean(0) for sign, table in zip(signs, tables, strict=True))
    # Problems of equal value are drawn together: Pass@k of n samples takes at most n + 1 values.
    distinct, counts = np.unique(combined, return_counts=True)
    drawn = rng.multinomial(problems, counts / problems, size=resamples)
    deviations = drawn @ distinct / problems - combined.mean()
    # Resampling from P problems has (P - 1) / P of the variance that drawing them had.
    deviations *= np.sqrt(problems / max(problems - 1, 1))
    variance, residual, errors = float(combined.var(ddof=problems > 1)), 0.0, []
    for table in tables:
        if len(table) > 1:
            _, between_seeds, left = mean_squares(table)
            residual += left / len(table)
            errors.append((between_seeds / table.size, len(table) - 1))
    if not errors:
        return deviations[None]
    shared = np.sqrt(max(variance - residual, 0.0) / variance) if variance > 0 else 0.0
    return np.stack([deviations, shared * deviations + _seed_draws(errors, resamples, rng)])


def _seed_draws(
    errors: list[tuple[float, int]], resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Student's t times the root of the summed squared errors, with Welch's degrees of freedom."""
    total = sum(squared for squared, _ in errors)
    if total == 0:
        return np.zeros(resamples)
    freedom = total**2 / sum(squared**2 / degrees for squared, degrees in errors)
    return np.sqrt(total) * rng.standard_t(freedom, resamples)


def _bounds(drawn: np.ndarray, level: float) -> tuple[float, float]:
    """The widest of the percentile intervals of the rows."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return float(low.min()), float(high.max())
