"""AsymRE (Arnal et al. 2025, arXiv:2506.20520): REINFORCE with a baseline below the group's mean.

Deviation: the paper's objective has no importance ratio; here it is trained with the clipped
objective that all methods share, so that only the advantage differs.
"""

from torch import Tensor

from lens_impl.advantages.batch import RolloutBatch, centered, to_tokens
from lens_impl.advantages.options import check_number


def asym_re(batch: RolloutBatch, delta: float = -0.1) -> Tensor:
    """[B, T] float32 advantages of AsymRE: A_i = r_i - (mean_j r_j + delta).

    delta below 0 weighs correct responses up and wrong ones down. All-wrong and all-correct groups
    and groups of one get -delta.
    """
    check_number("asym_re", "delta", delta)
    return to_tokens(centered(batch.exact_rewards, batch) - delta, batch)
