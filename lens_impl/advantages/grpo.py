"""GRPO (Shao et al. 2024, arXiv:2402.03300) and Dr. GRPO (Liu et al. 2025, arXiv:2503.20783).

Both as verl 0.9.1 computes them. Open choices: the LENS paper gives neither the standard
deviation's convention nor its epsilon; both are verl's (ddof 1, 1e-6), as is the group of one.
Dr. GRPO's other half is its loss, the sum over tokens by a constant: config/methods.yaml.
"""

import torch
from torch import Tensor

from lens_impl.advantages.batch import RolloutBatch, centered, group_sum, to_tokens

EPSILON = 1e-6


def center_in_group(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] -> [B] float64: value - group mean. A group of one has mean 0."""
    return torch.where(batch.group_size == 1, values.double(), centered(values, batch))


def normalize_in_group(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] -> [B] float64: (value - group mean) / (group std + 1e-6), std with ddof 1.

    A group of one has mean 0 and std 1.
    """
    differences = center_in_group(values, batch)
    variance = group_sum(differences**2, batch) / (batch.group_size - 1).clamp(min=1)
    deviation = torch.where(batch.group_size == 1, 1.0, variance.sqrt())
    return differences / (deviation + EPSILON)


def grpo(batch: RolloutBatch) -> Tensor:
    """[B, T] float32 advantages of GRPO (equation 2 of the LENS paper).

    A_i = (r_i - mean_j r_j) / (std_j r_j + 1e-6), the same at every token of response i.
    All-wrong and all-correct groups get 0; a group of one gets its reward r / (1 + 1e-6).
    """
    return to_tokens(normalize_in_group(batch.exact_rewards, batch), batch)


def dr_grpo(batch: RolloutBatch) -> Tensor:
    """[B, T] float32 advantages of Dr. GRPO: A_i = r_i - mean_j r_j.

    All-wrong and all-correct groups get 0; a group of one gets its reward.
    """
    return to_tokens(center_in_group(batch.exact_rewards, batch), batch)
