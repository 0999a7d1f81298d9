"""GRPO (Shao et al. 2024, arXiv:2402.03300) as verl 0.9.1 computes it.

Open choices: the paper gives neither the standard deviation's convention nor its epsilon; both are
verl's (ddof 1, 1e-6), as is the group of one.
"""

import torch
from torch import Tensor

from lens_impl.advantages.batch import RolloutBatch, group_mean, group_sum, to_tokens

EPSILON = 1e-6


def normalize_in_group(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] -> [B] float64: (value - group mean) / (group std + 1e-6), std with ddof 1.

    A group of one has mean 0 and std 1.
    """
    alone = batch.group_size == 1
    centered = values - group_mean(values, batch).masked_fill(alone, 0.0)
    variance = group_sum(centered**2, batch) / (batch.group_size - 1).clamp(min=1)
    return centered / (torch.where(alone, 1.0, variance.sqrt()) + EPSILON)


def grpo(batch: RolloutBatch) -> Tensor:
    """[B, T] float32 advantages of GRPO (equation 2 of the LENS paper).

    A_i = (r_i - mean_j r_j) / (std_j r_j + 1e-6), the same at every token of response i.
    All-wrong and all-correct groups get 0; a group of one gets its reward r / (1 + 1e-6).
    """
    return to_tokens(normalize_in_group(batch.exact_rewards, batch), batch)
