"""AsymRE: REINFORCE with a baseline below the group's mean.

Deviation: the paper's objective has no importance ratio; here it is trained with the clipped
objective that all methods share, so that only the advantage differs.
"""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, centered, to_tokens
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, number


@dataclass(frozen=True)
class AsymREOptions(Options):
    delta: float = number(-0.1, "how far the baseline is above the group's mean (below 0: below)")


@method(
    "AsymRE",
    Paper("Arnal et al.", 2025, "2506.20520"),
    AsymREOptions,
    all_wrong="-delta",
    mixed="r - m - delta",
    all_correct="-delta",
    group_of_one="-delta",
)
def asym_re(batch: RolloutBatch, options: AsymREOptions) -> torch.Tensor:
    """[B, T] float32 advantages of AsymRE: A_i = r_i - (mean_j r_j + delta).

    delta below 0 gives correct responses more weight and wrong ones less.
    """
    return to_tokens(centered(batch.exact_rewards, batch) - options.delta, batch)
