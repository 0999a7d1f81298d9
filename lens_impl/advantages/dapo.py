"""DAPO: GRPO's advantage and an overlong penalty.

The rest of DAPO is not an advantage: clipping with a higher upper bound, the mean over tokens as
loss, and dynamic sampling, which drops groups of equal rewards and samples others
(config/methods.yaml).

DAPO's rewards are -1 and 1, ours 0 and 1. The penalty is counted on its scale, where correct and
wrong are 2 apart: at the end of the buffer a response loses overlong_factor / 2. Deviations:

- The length of the buffer is a share of the longest allowed response, so that it means the same at
  every scale; 4,096 of DAPO's 20,480 tokens are a fifth.
- Dynamic sampling looks at the rewards before the penalty, as DAPO's own recipe does (its metric is
  the accuracy).
- Dynamic sampling refills within verl's batch of prompts. At its limit the rest of the batch is
  taken unfiltered, where DAPO's recipe stops with an error. Groups of equal outcome rewards get 0
  there; without that, the penalty would train them by length alone.
- Rewards of 0 and 1 halve the standard deviation, so the 1e-6 added to it weighs twice as much.
"""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, rewards_differ, to_tokens
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, number
from lens_impl.errors import UserError


@dataclass(frozen=True)
class DAPOOptions(Options):
    overlong_buffer: float = number(
        0.0,
        "share of the longest allowed response, at its end, in which the reward falls; 0: none",
        at_least=0,
        at_most=1,
    )
    overlong_factor: float = number(
        1.0,
        "how far the reward falls in the buffer, where correct and wrong are 2 apart",
        at_least=0,
    )


@method(
    "DAPO",
    Paper("Yu et al.", 2025, "2503.14476"),
    DAPOOptions,
    all_wrong="dropped, others are sampled",
    mixed="as `grpo`, of r minus the overlong penalty",
    all_correct="dropped, others are sampled",
    group_of_one="as `grpo` (verl filters no single response)",
)
def dapo(batch: RolloutBatch, options: DAPOOptions) -> torch.Tensor:
    """[B, T] float32 advantages of DAPO: GRPO's of the rewards with the overlong penalty.

    In the buffer at the end of batch.max_length a response's reward falls linearly to
    r - overlong_factor / 2. Without a buffer the values are GRPO's. Groups of equal outcome rewards
    get 0 (dynamic sampling trains on them only at its limit); a group of one gets its penalised
    reward.
    """
    rewards = batch.exact_rewards
    if options.overlong_buffer > 0:
        share = _overlong_share(batch, options.overlong_buffer)
        rewards = rewards - options.overlong_factor / 2 * share
    compared = rewards_differ(batch) | (batch.group_size == 1)
    return to_tokens(torch.where(compared, normalize_in_group(rewards, batch), 0.0), batch)


def _overlong_share(batch: RolloutBatch, overlong_buffer: float) -> torch.Tensor:
    """[B] float64: how far each response reaches into the buffer, from 0 to 1."""
    if batch.max_length is None:
        raise UserError(
            "dapo: overlong_buffer is above 0, but the batch has no max_length, "
            "the tokens at which a response was cut off"
        )
    if (batch.lengths > batch.max_length).any():
        raise UserError(
            f"RolloutBatch: max_length is {batch.max_length}, but a response has "
            f"{int(batch.lengths.max())} tokens"
        )
    buffer = overlong_buffer * batch.max_length
    free = batch.max_length - buffer
    return torch.clamp((batch.lengths.double() - free) / buffer, 0, 1)
