"""Lite PPO: mean of the group, standard deviation of the batch.

The rest of it, the mean over tokens as loss, is in config/methods.yaml. Open choices: ddof 1, 1e-6
added, as in GRPO here; a group of one is its own mean and gets 0.
"""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, centered, to_tokens
from lens_impl.advantages.grpo import EPSILON
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options


@method(
    "Lite PPO",
    Paper("Liu et al.", 2025, "2508.08221"),
    all_wrong="0",
    mixed="(r - m) / (s of all rewards of the batch + 1e-6)",
    all_correct="0",
    group_of_one="0",
)
def lite_ppo(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of Lite PPO: A_i = (r_i - group mean) / (batch std + 1e-6)."""
    rewards = batch.exact_rewards
    differences = rewards - rewards.sum() / max(1, len(rewards))
    deviation = ((differences**2).sum() / max(1, len(rewards) - 1)).sqrt()
    return to_tokens(centered(rewards, batch) / (deviation + EPSILON), batch)
