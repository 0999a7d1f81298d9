"""RLOO: the baseline is the mean of the group's other responses.

As verl 0.9.1 computes it, where a group of one gets its reward. Deviations: no KL penalty in the
reward; trained with the clipped objective that all methods share.
"""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, to_tokens
from lens_impl.advantages.grpo import center_in_group
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options


@method(
    "RLOO",
    Paper("Ahmadian et al.", 2024, "2402.14740"),
    all_wrong="0",
    mixed="(r - m) G / (G - 1)",
    all_correct="0",
    group_of_one="r",
)
def rloo(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of RLOO: A_i = r_i - mean of r_j over j other than i."""
    size = batch.group_size
    others = size / (size - 1).clamp(min=1)
    return to_tokens(center_in_group(batch.exact_rewards, batch) * others, batch)
