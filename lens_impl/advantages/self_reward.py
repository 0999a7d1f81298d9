"""Rewards without answers: confidence as the reward, and RENT. Negative controls.

Neither looks at the outcome, so every group has a signal and correctness none. In this project they
show what confidence does alone, with the sign that LENS opposes in wrong responses. Deviations: no
KL loss (0.001 in RENT's script). Confidence as the reward follows RLSC in idea only: the
geometric-mean probability, normalised as in GRPO, and the clipped objective of all methods.
"""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, log_confidence, sequence_entropy, to_tokens
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options


@method(
    "Confidence as the reward",
    Paper("Li et al.", 2025, "2506.06395"),
    all_wrong="as `grpo`, of p",
    mixed="as `grpo`, of p",
    all_correct="as `grpo`, of p",
    group_of_one="p / (1 + 1e-6)",
)
def confidence_reward(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of GRPO with the geometric-mean probability p as the reward."""
    return to_tokens(normalize_in_group(log_confidence(batch).exp(), batch), batch)


@method(
    "RENT",
    Paper("Prabhudesai et al.", 2025, "2505.22660"),
    all_wrong="as `grpo`, of -mean H_t",
    mixed="as `grpo`, of -mean H_t",
    all_correct="as `grpo`, of -mean H_t",
    group_of_one="-mean H_t / (1 + 1e-6)",
)
def rent(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of GRPO with minus the mean token entropy (nats) as the reward.

    UserError where the batch has no entropies.
    """
    return to_tokens(normalize_in_group(-sequence_entropy(batch), batch), batch)
