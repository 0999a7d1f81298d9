"""NGRPO: GRPO with a virtual correct response in each group.

Its asymmetric clipping (0.16 below, 0.24 above) is in config/methods.yaml. Deviation: the paper
drops all-correct groups; here they get 0, which gives no gradient either, and stay in the
denominator of the loss.
"""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, group_max, group_sum, to_tokens
from lens_impl.advantages.grpo import EPSILON
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options


@method(
    "NGRPO",
    Paper("Nan et al.", 2025, "2509.18851"),
    all_wrong="-1 / sqrt(G + 1)",
    mixed="as `grpo`, with a virtual reward of 1 in m and s",
    all_correct="0",
    group_of_one="-1 / sqrt(2) if wrong, else 0",
)
def ngrpo(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of NGRPO.

    A_i = (r_i - m) / (s + 1e-6), with m and s (ddof 1) the mean and the standard deviation of the
    group's rewards and one virtual reward of 1.
    """
    rewards, size = batch.exact_rewards, batch.group_size
    # Relative to the virtual reward, so that an all-correct group is exactly 0.
    losses = rewards - 1
    mean = group_sum(losses, batch) / (size + 1)
    variance = (group_sum((losses - mean) ** 2, batch) + mean**2) / size
    all_correct = -group_max(-rewards, batch) == 1
    advantages = (losses - mean) / (variance.sqrt() + EPSILON)
    return to_tokens(torch.where(all_correct, 0.0, advantages), batch)
