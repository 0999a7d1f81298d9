"""DAPO (Yu et al. 2025, arXiv:2503.14476): GRPO's advantage and an overlong penalty.

The rest of DAPO is not an advantage: clipping with a higher upper bound, the mean over tokens as
loss, and dynamic sampling, which drops groups of equal rewards and samples others
(config/methods.yaml). Deviations:
- The length of the buffer is a share of the longest allowed response, so that it means the same at
  every scale; 4,096 of DAPO's 20,480 tokens are a fifth.
- Dynamic sampling looks at the rewards before the penalty, as DAPO's own recipe does (its metric is
  the accuracy).
"""

import torch
from torch import Tensor

from lens_impl.advantages.batch import RolloutBatch, to_tokens
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.options import check_number
from lens_impl.errors import UserError


def dapo(batch: RolloutBatch, overlong_buffer: float = 0.0, overlong_factor: float = 1.0) -> Tensor:
    """[B, T] float32 advantages of DAPO: GRPO's of the rewards with the overlong penalty.

    overlong_buffer: share of batch.max_length, counted from its end, over which a response's
    reward falls linearly to r - overlong_factor; 0 = no penalty, and then the values are GRPO's.
    All-wrong and all-correct groups get 0, or the penalty's differences in length where there are
    some (dynamic sampling never trains on these groups); a group of one gets its penalised reward.
    """
    check_number("dapo", "overlong_buffer", overlong_buffer, at_least=0, at_most=1)
    check_number("dapo", "overlong_factor", overlong_factor, at_least=0)
    rewards = batch.exact_rewards
    if overlong_buffer > 0:
        rewards = rewards - overlong_factor * _overlong_share(batch, overlong_buffer)
    return to_tokens(normalize_in_group(rewards, batch), batch)


def _overlong_share(batch: RolloutBatch, overlong_buffer: float) -> Tensor:
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
