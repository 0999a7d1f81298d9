import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_impl.evaluation.passk import pass_at_k


def by_enumeration(n: int, c: int, k: int) -> float:
    draws = list(combinations(range(n), k))  # samples 0..c-1 are the correct ones
    return sum(min(draw) < c for draw in draws) / len(draws)


def test_equals_enumeration_of_all_draws():
    for n in range(1, 13):
        for c in range(n + 1):
            for k in range(1, n + 1):
                assert pass_at_k(n, c, k) == pytest.approx(by_enumeration(n, c, k), abs=1e-14)


def test_hand_computed():
    assert pass_at_k(4, 2, 2) == pytest.approx(5 / 6)
    assert pass_at_k(16, 1, 16) == 1.0
    assert pass_at_k(16, 0, 8) == 0.0
    assert pass_at_k(3, 3, 1) == 1.0
    assert isinstance(pass_at_k(4, 2, 2), float)


def test_arrays_broadcast():
    table = pass_at_k(16, np.array([[0], [1], [16]]), np.array([1, 16]))
    np.testing.assert_allclose(table, [[0, 0], [1 / 16, 1], [1, 1]])
    assert pass_at_k(np.array([]), np.array([]), 4).shape == (0,)


def test_whole_floats_are_counts():
    assert pass_at_k(4.0, np.float64(2), 2) == pytest.approx(5 / 6)


def test_nan_where_fewer_samples_than_k():
    result = pass_at_k([4, 8, 0], [4, 8, 0], 8)
    assert math.isnan(result[0]) and result[1] == 1.0 and math.isnan(result[2])


@pytest.mark.parametrize(
    ("n", "c", "k", "words"),
    [
        (4, 5, 1, "c must not exceed n, got 5"),
        ([4, 4], [1, -1], 1, "c must not be negative, got -1"),
        (2, 3, 8, "c must not exceed n"),
        (4, 1, 0, "k must be at least 1"),
        (4, 1.5, 1, "whole numbers, got 1.5"),
        (4, math.nan, 1, "whole numbers, got nan"),
        (math.inf, 1, 1, "n must be finite"),
        (4, "1", 1, "whole numbers, got dtype"),
    ],
)
def test_impossible_counts_are_refused(n, c, k, words):
    with pytest.raises(ValueError, match=words):
        pass_at_k(n, c, k)


counts = st.integers(1, 2000).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)


@given(counts)
def test_properties(case):
    n, c, k = case
    value = pass_at_k(n, c, k)
    assert 0.0 <= value <= 1.0
    assert (value == 0.0) == (c == 0)
    assert pass_at_k(n, c, 1) == pytest.approx(c / n, abs=1e-15)
    if n - c < k:
        assert value == 1.0
    if k < n:
        assert pass_at_k(n, c, k + 1) >= value
    if c < n:
        assert pass_at_k(n, c + 1, k) >= value


@given(counts)
def test_equals_exact_binomials(case):
    n, c, k = case
    exact = 1 - math.comb(n - c, k) / math.comb(n, k)
    assert pass_at_k(n, c, k) == pytest.approx(exact, abs=1e-12)


@given(st.integers(2, 40), st.data())
def test_unbiased_under_subsampling(n, data):
    """The mean over all ways to drop one sample is the estimate of the full set (k < n)."""
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n - 1))
    without_correct = pass_at_k(n - 1, c - 1, k) if c else 0.0
    without_wrong = pass_at_k(n - 1, c, k) if c < n else 0.0
    mean = c / n * without_correct + (n - c) / n * without_wrong
    assert mean == pytest.approx(pass_at_k(n, c, k), abs=1e-12)
