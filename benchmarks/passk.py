"""Pass@k and its bootstrap interval, compared with straightforward loops.

    python benchmarks/passk.py          5,000 problems x 16 samples x 10,000 resamples, every k

Peers: a loop over resamples in NumPy, which draws problems and takes the mean of their Pass@k; the
same in plain Python with math.comb, of which a part runs and the seconds are scaled up; and
scipy.stats.bootstrap, which draws all resamples as one table. The goal is about the NumPy loop,
the fastest loop that a user would write.
"""

import argparse
import random
from math import comb

import numpy as np
from common import Goal, Table, extra_memory, in_turn, seconds_of, write
from scipy.stats import bootstrap

from lens_impl.evaluation.intervals import pass_at_k_interval
from lens_impl.evaluation.passk import pass_at_k

KS, N = (1, 2, 4, 8, 16), 16


def ours(correct: np.ndarray, resamples: int) -> list:
    return [pass_at_k_interval(N, correct, k, resamples=resamples) for k in KS]


def numpy_loop(correct: np.ndarray, resamples: int) -> list:
    rng = np.random.default_rng(0)
    found = []
    for k in KS:
        values = np.array([1 - comb(N - c, k) / comb(N, k) for c in correct.tolist()])
        means = [rng.choice(values, len(values)).mean() for _ in range(resamples)]
        found.append(np.quantile(means, [0.025, 0.975]))
    return found


def python_loop(correct: np.ndarray, resamples: int) -> list:
    draw, counts = random.Random(0), correct.tolist()
    found = []
    for k in KS:
        means = []
        for _ in range(resamples):
            chosen = draw.choices(counts, k=len(counts))
            means.append(sum(1 - comb(N - c, k) / comb(N, k) for c in chosen) / len(chosen))
        found.append(sorted(means)[int(0.025 * resamples) :: max(1, int(0.95 * resamples))])
    return found


def scipy_table(correct: np.ndarray, resamples: int) -> list:
    options = {"n_resamples": resamples, "method": "percentile", "batch": None}
    return [bootstrap((pass_at_k(N, correct, k),), np.mean, vectorized=True, **options) for k in KS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=10_000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    correct = rng.binomial(N, rng.beta(0.6, 0.6, arguments.problems))
    resamples = arguments.resamples
    every = {
        "ours": lambda: ours(correct, resamples),
        "numpy loop": lambda: numpy_loop(correct, resamples),
    }
    every["ours"]()  # imports of scipy
    memory = {name: extra_memory(way) for name, way in every.items()}
    seconds = in_turn(every, rounds=3)
    part = max(1, resamples // 500)
    seconds["Python loop (scaled up)"] = seconds_of(lambda: python_loop(correct, part))
    seconds["Python loop (scaled up)"] *= resamples / part
    table_memory = extra_memory(
        lambda: seconds.update(
            {"scipy.stats.bootstrap": seconds_of(lambda: scipy_table(correct, resamples))}
        )
    )
    memory["scipy.stats.bootstrap"] = table_memory
    ratio = seconds["numpy loop"] / seconds["ours"]
    size = f"{arguments.problems:,} problems x {N} x {resamples:,} resamples, {len(KS)} values of k"
    goals = [
        Goal(
            f"Pass@k with bootstrap, {size}",
            "50 x faster than the loop",
            ratio >= 50,
            f"{seconds['ours']:.2f} s",
            peer=f"{seconds['numpy loop']:.1f} s",
            ratio=f"{ratio:.0f} x faster",
        ),
        Goal(
            "its memory",
            "under 1 GiB",
            memory["ours"] < 1024,
            f"{memory['ours']:.0f} MiB",
            peer=f"{memory['scipy.stats.bootstrap']:.0f} MiB (scipy)",
        ),
    ]
    rows = [
        [name, f"{value:.2f}", f"{value / seconds['ours']:.0f}"]
        + [f"{memory[name]:.0f}" if name in memory else ""]
        for name, value in seconds.items()
    ]
    header = ["way", "s", "times ours", "extra MiB"]
    write("passk", __doc__.split("\n\n")[-1].strip(), goals, [Table(size, header, rows)])


if __name__ == "__main__":
    main()
