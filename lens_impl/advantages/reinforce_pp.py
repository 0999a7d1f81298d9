"""REINFORCE++ and its form with a baseline: advantages whitened over the tokens of the batch.

Both as verl 0.9.1 computes them, with a discount of 1 (ddof 1, 1e-8 added to the variance). In the
first a wrong response is compared with the whole batch, so all-wrong groups have a signal; the
second takes off the group's mean first, and a group of one keeps its reward there. Deviations: no
KL penalty in the reward. verl refuses a batch of one token; here it gets 0.
"""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, to_tokens
from lens_impl.advantages.grpo import center_in_group
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options

PAPER = Paper("Hu et al.", 2025, "2501.03262")


@method(
    "REINFORCE++",
    PAPER,
    all_wrong="r whitened over the batch's tokens: below 0",
    mixed="r whitened over the batch's tokens",
    all_correct="r whitened over the batch's tokens: above 0",
    group_of_one="as in any group",
)
def reinforce_pp(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of REINFORCE++: A = (r - mean) / std, both over tokens."""
    return to_tokens(_whiten(batch.exact_rewards, batch), batch)


@method(
    "REINFORCE++ with baseline",
    PAPER,
    all_wrong="0 whitened over the batch's tokens",
    mixed="r - m, whitened over the batch's tokens",
    all_correct="0 whitened over the batch's tokens",
    group_of_one="r, whitened over the batch's tokens",
)
def reinforce_pp_baseline(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of REINFORCE++-baseline: r - group mean, then whitened.

    Groups of equal rewards get 0 only where all responses are equally long, since the mean that is
    taken off is one over tokens.
    """
    return to_tokens(_whiten(center_in_group(batch.exact_rewards, batch), batch), batch)


def _whiten(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] -> [B] float64: (value - mean) / sqrt(variance + 1e-8), each value once per token."""
    tokens = batch.lengths.double()
    # Relative to one of the values, equal ones give exactly 0.
    relative = values - values[:1]
    differences = relative - (relative * tokens).sum() / tokens.sum().clamp(min=1)
    variance = (differences**2 * tokens).sum() / (tokens.sum() - 1).clamp(min=1)
    return differences / (variance + 1e-8).sqrt()
