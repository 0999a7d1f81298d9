"""What metrics.jsonl says of a step's rollout and its advantages."""

import torch
from torch import Tensor

from lens_impl.advantages.batch import (
    RolloutBatch,
    is_all_correct,
    is_all_wrong,
    sequence_confidence,
)


def step_diagnostics(batch: RolloutBatch, advantages: Tensor) -> dict[str, float | int | None]:
    """Metrics of one step; advantages [B, T] are 0 where masked.

    reward: mean reward. groups_all_wrong, groups_mixed, groups_all_correct: shares of groups.
    confidence_correct, confidence_wrong: mean geometric-mean probability of the responses with
    reward 1 and below 1. advantage_mixed, advantage_negative: mean over the responses of mixed and
    of all-wrong groups of |advantage|, averaged over the response's tokens. gradient_relevant:
    share of responses with a non-zero advantage. response_length: mean tokens. tokens: sum.
    None where a mean is over nothing.
    """
    all_wrong, all_correct = is_all_wrong(batch), is_all_correct(batch)
    mixed = ~all_wrong & ~all_correct
    confidence = sequence_confidence(batch.old_log_probs, batch.response_mask)
    correct = batch.exact_rewards == 1
    magnitude = advantages.abs().double().sum(1) / batch.lengths.clamp(min=1)
    # Weights under which every group counts once.
    per_group = 1 / (batch.group_size * batch.number_of_groups)
    return {
        "reward": _mean(batch.exact_rewards),
        "groups_all_wrong": (per_group * all_wrong).sum().item(),
        "groups_mixed": (per_group * mixed).sum().item(),
        "groups_all_correct": (per_group * all_correct).sum().item(),
        "confidence_correct": _mean(confidence[correct]),
        "confidence_wrong": _mean(confidence[~correct]),
        "advantage_mixed": _mean(magnitude[mixed]),
        "advantage_negative": _mean(magnitude[all_wrong]),
        "gradient_relevant": _mean((advantages != 0).any(1)),
        "response_length": _mean(batch.lengths),
        "tokens": int(batch.lengths.sum()),
    }


def _mean(values: Tensor) -> float | None:
    return values.to(torch.float64).mean().item() if len(values) else None
