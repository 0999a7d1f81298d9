"""MaxRL: rewards relative to their group, divided by the group's mean.

A hard prompt with a share m of correct responses weighs 1 / m, where GRPO has 1 / sqrt(m (1 - m)).
The mean over tokens as loss is in config/methods.yaml. Deviation: a group of one gets 0, where the
released code divides by 1e-6.
"""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, centered, group_mean, to_tokens
from lens_impl.advantages.grpo import EPSILON
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options


@method(
    "MaxRL",
    Paper("Tajwar et al.", 2026, "2602.02710"),
    all_wrong="0",
    mixed="(r - m) / (m + 1e-6)",
    all_correct="0",
    group_of_one="0",
)
def maxrl(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of MaxRL: A_i = (r_i - m) / (m + 1e-6), m the group's mean."""
    rewards = batch.exact_rewards
    return to_tokens(centered(rewards, batch) / (group_mean(rewards, batch) + EPSILON), batch)
