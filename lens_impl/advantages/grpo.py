"""GRPO and Dr. GRPO: rewards relative to their group.

Both as verl 0.9.1 computes them. Open choices: the LENS paper gives neither the standard
deviation's convention nor its epsilon; both are verl's (ddof 1, 1e-6), as is the group of one.
Dr. GRPO's other half is its loss, the sum over tokens by a constant: config/methods.yaml.
"""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, centered, group_sum, to_tokens
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options

EPSILON = 1e-6


def center_in_group(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] -> [B] float64: value - group mean. A group of one has mean 0."""
    return torch.where(batch.group_size == 1, values.double(), centered(values, batch))


def normalize_in_group(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] -> [B] float64: (value - group mean) / (group std + 1e-6), std with ddof 1.

    A group of one has mean 0 and std 1.
    """
    differences = center_in_group(values, batch)
    variance = group_sum(differences**2, batch) / (batch.group_size - 1).clamp(min=1)
    deviation = torch.where(batch.group_size == 1, 1.0, variance.sqrt())
    return differences / (deviation + EPSILON)


@method(
    "GRPO",
    Paper("Shao et al.", 2024, "2402.03300"),
    all_wrong="0",
    mixed="(r - m) / (s + 1e-6)",
    all_correct="0",
    group_of_one="r / (1 + 1e-6)",
)
def grpo(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of GRPO (equation 2 of the LENS paper).

    A_i = (r_i - mean_j r_j) / (std_j r_j + 1e-6), the same at every token of response i.
    """
    return to_tokens(normalize_in_group(batch.exact_rewards, batch), batch)


@method(
    "Dr. GRPO",
    Paper("Liu et al.", 2025, "2503.20783"),
    all_wrong="0",
    mixed="r - m",
    all_correct="0",
    group_of_one="r",
)
def dr_grpo(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of Dr. GRPO: A_i = r_i - mean_j r_j."""
    return to_tokens(center_in_group(batch.exact_rewards, batch), batch)
