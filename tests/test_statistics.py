import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lens_impl.errors import UserError
from lens_impl.statistics import (
    Difference,
    Interval,
    bootstrap_interval,
    paired_difference,
    pass_at_k_interval,
)


def test_equal_values_have_no_spread():
    assert bootstrap_interval([0.5] * 8) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_interval([0.25]) == Interval(0.25, 0.25, 0.25)
    assert bootstrap_interval([[0.0, 0.0], [0.0, 0.0]]) == Interval(0.0, 0.0, 0.0)


def test_two_problems_by_hand():
    """Resampled means of (0, 1) are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4."""
    assert bootstrap_interval([0, 1]) == Interval(0.5, 0.0, 1.0)
    assert bootstrap_interval([0, 1], level=0.4) == Interval(0.5, 0.5, 0.5)


def test_two_seeds_by_hand():
    """Both problems alike: only the drawn seeds spread the mean."""
    assert bootstrap_interval([[0, 0, 0], [1, 1, 1]]) == Interval(0.5, 0.0, 1.0)
    assert bootstrap_interval([[0.5] * 3, [0.5] * 3]) == Interval(0.5, 0.5, 0.5)


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
    assert result == bootstrap_interval([5 / 6, 0.0, 1.0])
    assert np.isnan(pass_at_k_interval([4, 1], [1, 1], 2).estimate)
    assert np.isnan(pass_at_k_interval([4, 1], [1, 1], 2).low)


def test_deterministic_by_seed():
    values = np.random.default_rng(0).random((3, 50))
    result = bootstrap_interval(values, seed=7)
    assert bootstrap_interval(values, seed=7) == result
    assert bootstrap_interval(values, seed=8) != result
    assert bootstrap_interval(values[:, ::-1], seed=7) == result  # the order of problems is free
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
    assert min(values) - 1e-12 <= result.low <= result.high <= max(values) + 1e-12
    forth = paired_difference(values, values[::-1], resamples=200, seed=seed)
    back = paired_difference(values[::-1], values, resamples=200, seed=seed)
    assert forth.low <= forth.high and 0 < forth.p_value <= 1
    assert forth.estimate == -back.estimate


def test_nan_is_not_hidden():
    assert np.isnan(bootstrap_interval([0.5, np.nan]).estimate)
    assert np.isnan(paired_difference([0.5, np.nan], [0.5, 0.5]).p_value)


@pytest.mark.parametrize("seeds", [1, 12])
def test_coverage_of_a_95_percent_interval(seeds):
    """Problems and seeds drawn anew each time: the true mean lies inside about 95 % of the time."""
    rng = np.random.default_rng(0)
    inside, trials = 0, 300
    for trial in range(trials):
        problem_effect = rng.random(80)
        seed_effect = 0.1 * rng.standard_normal((seeds, 1)) if seeds > 1 else 0.0
        values = problem_effect + seed_effect + 0.1 * rng.standard_normal((seeds, 80))
        interval = bootstrap_interval(values, resamples=400, seed=trial)
        inside += interval.low <= 0.5 <= interval.high
    assert 0.90 <= inside / trials <= 0.98


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bootstrap_interval([]), r"not empty, got shape \[0\]"),
        (lambda: bootstrap_interval(0.5), r"got shape \[\]"),
        (lambda: bootstrap_interval(np.zeros((2, 2, 2))), r"got shape \[2, 2, 2\]"),
        (lambda: paired_difference([0.5], [0.5, 0.5]), "the same problems, got 1 and 2"),
    ],
)
def test_wrong_shapes_are_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()
