from dataclasses import astuple

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lens_impl.errors import UserError
from lens_impl.evaluation.intervals import (
    Difference,
    Interval,
    bootstrap_interval,
    effects,
    holm,
    paired_difference,
    pass_at_k_interval,
)
from lens_impl.evaluation.passk import pass_at_k
from lens_impl.evaluation.power import Components, power, seeds_needed, variance_components


def test_equal_values_have_no_spread():
    assert bootstrap_interval([0.5] * 8) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_interval([0.25]) == Interval(0.25, 0.25, 0.25)
    assert bootstrap_interval([[0.0, 0.0], [0.0, 0.0]]) == Interval(0.0, 0.0, 0.0)


def test_two_problems_by_hand():
    """Resampled means of (0, 1) are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4; stretched by
    sqrt(P / (P - 1)), which makes up for the variance that resampling two problems loses."""
    half = 0.5 * np.sqrt(2)
    interval = bootstrap_interval([0, 1])
    assert interval.low == pytest.approx(0.5 - half) and interval.high == pytest.approx(0.5 + half)
    assert bootstrap_interval([0, 1], level=0.4) == Interval(0.5, 0.5, 0.5)
    assert pass_at_k_interval(1, [0, 1], 1) == Interval(0.5, 0.0, 1.0)  # a chance stays one


def test_two_seeds_by_hand():
    """All problems alike: Student's t with one degree of freedom times the seeds' error, 1/2."""
    interval = bootstrap_interval([[0, 0, 0], [1, 1, 1]], resamples=200_000)
    quantile = scipy.stats.t.ppf(0.975, 1)
    assert interval.high == pytest.approx(0.5 + 0.5 * quantile, rel=0.03)
    assert interval.low == pytest.approx(0.5 - 0.5 * quantile, rel=0.05)
    assert bootstrap_interval([[0.5] * 3, [0.5] * 3]) == Interval(0.5, 0.5, 0.5)


def test_seeds_that_agree_by_luck_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    one = rng.random(50)
    both = np.stack([one, one[::-1]])  # equal means, and no variance that the seeds share
    alone = bootstrap_interval(both.mean(0))
    found = bootstrap_interval(both)
    assert found.low <= alone.low + 1e-12 and found.high >= alone.high - 1e-12


def test_agrees_with_the_normal_interval_and_scipy():
    values = np.random.default_rng(0).random(400)
    ours = bootstrap_interval(values, resamples=9999)
    half = 1.96 * values.std() / 20
    assert ours.low == pytest.approx(values.mean() - half, abs=0.002)
    assert ours.high == pytest.approx(values.mean() + half, abs=0.002)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert [ours.low, ours.high] == pytest.approx(list(theirs), abs=0.002)


def test_pass_at_k_interval():
    result = pass_at_k_interval(4, [2, 0, 4], 2)  # Pass@2: 5/6, 0, 1
    assert result.estimate == pytest.approx((5 / 6 + 0 + 1) / 3)
    free = bootstrap_interval([5 / 6, 0.0, 1.0])
    assert free.low < 0 and free.high > 1 and (result.low, result.high) == (0.0, 1.0)
    inner = pass_at_k_interval(16, [8] * 40 + [7, 9], 1)
    assert 0 < inner.low < inner.estimate == 0.5 < inner.high < 1
    assert np.isnan(pass_at_k_interval([4, 1], [1, 1], 2).estimate)
    assert np.isnan(pass_at_k_interval([4, 1], [1, 1], 2).low)


def test_deterministic_by_seed():
    values = np.random.default_rng(0).random((3, 50))
    result = bootstrap_interval(values, seed=7)
    assert bootstrap_interval(values, seed=7) == result
    assert bootstrap_interval(values, seed=8) != result
    turned = bootstrap_interval(values[:, ::-1], seed=7)  # the order of problems is free
    assert astuple(turned) == pytest.approx(astuple(result))
    assert paired_difference(values, values[:2]).estimate == pytest.approx(
        values.mean() - values[:2].mean()
    )


def test_paired_difference_by_hand():
    assert paired_difference([0.1, 0.7], [0.1, 0.7]) == Difference(0.0, 0.0, 0.0, 1.0)
    better = paired_difference([0.5] * 4, [0.25] * 4, resamples=999)
    assert better == Difference(0.25, 0.25, 0.25, 2 / 1000)
    worse = paired_difference([0.25] * 4, [0.5] * 4, resamples=999)
    assert worse == Difference(-0.25, -0.25, -0.25, 2 / 1000)


def test_pairing_removes_what_the_problems_share():
    rng = np.random.default_rng(0)
    difficulty = rng.random(300)
    first, second = difficulty + 0.01 + 0.02 * rng.random(300), difficulty + 0.02 * rng.random(300)
    result = paired_difference(first, second)
    assert result.low > 0 and result.p_value < 0.01
    width = bootstrap_interval(first).high - bootstrap_interval(first).low
    assert result.high - result.low < width / 10


def test_p_value_agrees_with_the_paired_t_test():
    rng = np.random.default_rng(3)
    first, second = rng.random(500), rng.random(500) - 0.03
    expected = scipy.stats.ttest_rel(first, second).pvalue
    ours = paired_difference(first, second, resamples=20_000).p_value
    assert 0.001 < expected < 0.9
    assert ours == pytest.approx(expected, rel=0.3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_properties(values, seed):
    result = bootstrap_interval(values, resamples=200, seed=seed)
    widest = np.sqrt(2) * (max(values) - min(values)) + 1e-12
    assert result.estimate - widest <= result.low <= result.high <= result.estimate + widest
    forth = paired_difference(values, values[::-1], resamples=200, seed=seed)
    back = paired_difference(values[::-1], values, resamples=200, seed=seed)
    assert forth.low <= forth.high and 0 < forth.p_value <= 1
    assert forth.estimate == -back.estimate


def test_nan_is_not_hidden():
    assert np.isnan(bootstrap_interval([0.5, np.nan]).estimate)
    assert np.isnan(paired_difference([0.5, np.nan], [0.5, 0.5]).p_value)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def true_pass_at_4(gain: float, spread: float) -> float:
    """Mean of 1 - (1 - p)^4 with logit p normal around the gain, by quadrature."""
    x, w = np.polynomial.hermite_e.hermegauss(60)
    return float((w * (1 - (1 - logistic(gain + spread * x)) ** 4)).sum() / w.sum())


def coverage(seeds: int, trials: int, problems: int = 200) -> np.ndarray:
    """How often intervals of Pass@4, of a difference, and of one paired by seed hold the truth."""
    spread = 0.3 if seeds > 1 else 0.0  # between runs, in logits; problems: 1.5
    truth = true_pass_at_4(0.0, np.hypot(1.5, spread))
    gain = true_pass_at_4(0.2, np.hypot(1.5, spread)) - truth
    rng = np.random.default_rng(seeds)
    hits = np.zeros(3)
    for trial in range(trials):
        difficulty = rng.normal(0, 1.5, problems)
        first, second = (
            pass_at_k(
                16,
                rng.binomial(16, logistic(difficulty + g + rng.normal(0, spread, (seeds, 1)))),
                4,
            )
            for g in (0.2, 0.0)
        )
        options = {"resamples": 200, "seed": trial}
        found = [bootstrap_interval(second, **options), paired_difference(first, second, **options)]
        found.append(paired_difference(first, second, paired_seeds=True, **options))
        for i, (interval, true) in enumerate(zip(found, (truth, gain, gain), strict=True)):
            hits[i] += interval.low <= true <= interval.high
    return hits / trials


def test_coverage_of_a_few_experiments():
    assert (coverage(seeds=5, trials=60, problems=60) > 0.85).all()


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_95_percent_intervals_cover_the_truth(seeds):
    """1,000 simulated experiments with known truth. The widest error of such a share is 0.7 %."""
    found = coverage(seeds, trials=1000)
    assert (found >= 0.93).all() and (found <= 0.97 + 0.01).all(), found


@pytest.mark.slow
def test_two_seeds_never_promise_too_much():
    assert (coverage(2, trials=1000) >= 0.93).all()


def test_holm_by_hand():
    """Holm 1979: 3 * .01, then 2 * .03 carried over .02 * 2's place."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == pytest.approx([0.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_properties(p):
    adjusted = holm(p)
    assert (adjusted >= np.array(p) - 1e-15).all() and (adjusted <= 1).all()
    assert (np.argsort(adjusted, kind="stable") == np.argsort(p, kind="stable")).all() or (
        np.unique(adjusted).size < len(p)
    )


def test_effects_by_level():
    first, second = np.array([1.0, 1, 0, 0.5]), np.array([0.0, 1, 0, 0.5])
    table = effects(first, second, ["b", "b", "a", "a"])
    assert list(table["label"]) == ["a", "b"] and list(table["problems"]) == [2, 2]
    assert list(table["estimate"]) == [0.0, 0.5]
    assert table["p_holm"].iloc[0] == 1.0


def test_variance_components_of_a_known_table():
    """Mean squares by hand: rows (0, 2) and (2, 4): no residual, seeds and problems 2 apart."""
    parts = variance_components([[0, 2], [2, 4]])
    assert parts.residual == pytest.approx(0) and parts.seed == pytest.approx(2)
    assert parts.problem == pytest.approx(2)
    rng = np.random.default_rng(1)
    table = 0.5 * rng.standard_normal((400, 1)) + rng.standard_normal(400)
    parts = variance_components(table + 2 * rng.standard_normal((400, 400)))
    assert (parts.seed, parts.problem, parts.residual) == pytest.approx((0.25, 1, 4), rel=0.25)


def test_power_of_the_paired_t_test():
    """Without differences between problems it is the t test: d = .5 needs 34 pairs for .80
    (the value of Cohen's tables and of G*Power, power .8078)."""
    parts = Components(problem=0.0, seed=1.0, residual=0.0)
    assert power(0.5, 34, parts, problems=100) == pytest.approx(0.8078, abs=5e-4)
    assert power(0.5, 33, parts, problems=100) < 0.8
    assert seeds_needed(0.5, parts, problems=100) == 34
    assert power(0.0, 34, parts, problems=100) == pytest.approx(0.05)
    # The test set's own noise does not go away with seeds.
    assert seeds_needed(0.1, Components(1.0, 0.01, 0.0), problems=100) is None


def test_power_agrees_with_simulated_experiments():
    parts = Components(problem=0.01, seed=0.0004, residual=0.02)
    rng = np.random.default_rng(0)
    seen, trials = 0, 400
    for trial in range(trials):
        table = 0.03 + 0.1 * rng.standard_normal(100) + 0.02 * rng.standard_normal((5, 1))
        table = table + np.sqrt(0.02) * rng.standard_normal((5, 100))
        zero = np.zeros_like(table)
        found = paired_difference(table, zero, paired_seeds=True, resamples=200, seed=trial)
        seen += found.low > 0
    assert seen / trials == pytest.approx(power(0.03, 5, parts, problems=100), abs=0.07)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bootstrap_interval([]), r"not empty, got shape \[0\]"),
        (lambda: bootstrap_interval(0.5), r"got shape \[\]"),
        (lambda: bootstrap_interval(np.zeros((2, 2, 2))), r"got shape \[2, 2, 2\]"),
        (lambda: paired_difference([0.5], [0.5, 0.5]), "the same problems, got 1 and 2"),
        (
            lambda: paired_difference([[0.5]], [[0.5], [0.5]], paired_seeds=True),
            "the same seeds, got 1 and 2",
        ),
        (lambda: variance_components([0.5, 0.2]), "at least two seeds"),
    ],
)
def test_wrong_shapes_are_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()


@pytest.mark.parametrize("residual", [1.0, 10.0, 12.0, 14.0, 30.0])
def test_power_is_a_number_and_grows_with_the_seeds(residual):
    components = Components(0.0, 0.49, residual**2)
    powers = [power(2.2, seeds, components, 400) for seeds in range(2, 80)]
    assert np.isfinite(powers).all() and (np.diff(powers) >= -1e-9).all()
    needed = seeds_needed(2.2, components, 400)
    assert needed == 2 + next(i for i, value in enumerate(powers) if value >= 0.8)
