"""The one Pass@k of the project: the unbiased estimator of Chen et al. 2021, arXiv:2107.03374."""

import numpy as np
from numpy.typing import ArrayLike


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> np.ndarray | float:
    """Chance that k of a problem's n samples, drawn without replacement, contain a correct one.

    n samples, c of them correct: 1 - C(n-c, k) / C(n, k)  (Chen et al. 2021, equation 1), written
    as 1 - prod_{j<k} (n-c-j) / (n-j), which neither overflows nor cancels factorials.
    Arrays broadcast; all-scalar input gives a float. nan where n < k, since no unbiased estimate
    exists there. ValueError where c > n, c < 0, k < 1, or a value is not whole.
    """
    n, c, k = np.broadcast_arrays(_whole("n", n), _whole("c", c), _whole("k", k))
    _refuse("c must not exceed n", c > n, c)
    _refuse("c must not be negative", c < 0, c)
    _refuse("k must be at least 1", k < 1, k)
    no_correct = np.ones(n.shape)
    for j in range(int(k.max(initial=0))):
        drawn = (j < k) & (j < n)
        ratio = np.maximum(n - c - j, 0) / np.where(drawn, n - j, 1)
        no_correct = np.where(drawn, no_correct * ratio, no_correct)
    return np.where(n < k, np.nan, 1.0 - no_correct)[()]


def _whole(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    if values.dtype.kind != "f":
        raise ValueError(f"pass_at_k: {name} must be whole numbers, got dtype {values.dtype}")
    _refuse(f"{name} must be whole numbers", ~(np.floor(values) == values), values)
    _refuse(f"{name} must be finite", np.isinf(values), values)
    return values.astype(np.int64)


def _refuse(what: str, where: np.ndarray, values: np.ndarray) -> None:
    if where.any():
        raise ValueError(f"pass_at_k: {what}, got {values[where].flat[0]}")
