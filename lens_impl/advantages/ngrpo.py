"""NGRPO (Nan et al. 2025, arXiv:2509.18851): GRPO beside a virtual correct response.

Its asymmetric clipping (0.16 below, 0.24 above) is in config/methods.yaml. Deviation: the paper
drops all-correct groups; here they get 0, which gives no gradient either, and stay in the
denominator of the loss.
"""

import torch
from torch import Tensor

from lens_impl.advantages.batch import RolloutBatch, group_max, group_sum, to_tokens
from lens_impl.advantages.grpo import EPSILON


def ngrpo(batch: RolloutBatch) -> Tensor:
    """[B, T] float32 advantages of NGRPO.

    A_i = (r_i - m) / (s + 1e-6), with m and s (ddof 1) the mean and the standard deviation of the
    group's rewards and one virtual reward of 1. An all-wrong group of G gets -1 / sqrt(G + 1); an
    all-correct group 0; a group of one -1 / sqrt(2) if wrong, 0 if correct.
    """
    rewards, size = batch.exact_rewards, batch.group_size
    # Relative to the virtual reward, so that an all-correct group is exactly 0.
    losses = rewards - 1
    mean = group_sum(losses, batch) / (size + 1)
    variance = (group_sum((losses - mean) ** 2, batch) + mean**2) / size
    all_correct = -group_max(-rewards, batch) == 1
    advantages = (losses - mean) / (variance.sqrt() + EPSILON)
    return to_tokens(torch.where(all_correct, 0.0, advantages), batch)
