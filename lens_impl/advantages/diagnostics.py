"""What metrics.jsonl says of a step's rollout and its advantages, the same for every method."""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import (
    RolloutBatch,
    is_all_correct,
    is_all_wrong,
    log_confidence,
    sequence_entropy,
)

CALIBRATION_BINS = 10


def step_diagnostics(
    batch: RolloutBatch, advantages: torch.Tensor
) -> dict[str, float | int | None]:
    """Metrics of one step; advantages [B, T] are 0 where masked.

    reward: mean reward. groups_all_wrong, groups_mixed, groups_all_correct: shares of groups.
    confidence_correct, confidence_wrong: mean geometric-mean probability of the responses with
    reward 1 and below 1; confidence_gap: their difference. calibration_error: see
    calibration_error. entropy: mean over responses of the mean token entropy, nats.
    advantage_mixed, advantage_negative: mean over the responses of mixed and of all-wrong groups of
    |advantage|, averaged over the response's tokens; advantage_mass_mixed, _all_wrong and
    _all_correct: shares of the sum of these over all responses. gradient_relevant: share of
    responses with a non-zero advantage. response_length: mean tokens. tokens: sum.
    None where a mean or a share is of nothing. UserError for a batch without entropies.
    """
    all_wrong, all_correct = is_all_wrong(batch), is_all_correct(batch)
    mixed = ~all_wrong & ~all_correct
    confidence = log_confidence(batch).exp().float()
    correct = batch.exact_rewards == 1
    of_correct, of_wrong = _mean(confidence[correct]), _mean(confidence[~correct])
    magnitude = advantages.abs().double().sum(1) / batch.lengths.clamp(min=1)
    # Weights under which every group counts once.
    per_group = 1 / (batch.group_size * batch.number_of_groups)
    return {
        "reward": _mean(batch.exact_rewards),
        "groups_all_wrong": (per_group * all_wrong).sum().item(),
        "groups_mixed": (per_group * mixed).sum().item(),
        "groups_all_correct": (per_group * all_correct).sum().item(),
        "confidence_correct": of_correct,
        "confidence_wrong": of_wrong,
        "confidence_gap": None if of_correct is None or of_wrong is None else of_correct - of_wrong,
        "calibration_error": calibration_error(confidence, batch.exact_rewards),
        "entropy": _mean(sequence_entropy(batch)),
        "advantage_mixed": _mean(magnitude[mixed]),
        "advantage_negative": _mean(magnitude[all_wrong]),
        "advantage_mass_mixed": _share(magnitude, mixed),
        "advantage_mass_all_wrong": _share(magnitude, all_wrong),
        "advantage_mass_all_correct": _share(magnitude, all_correct),
        "gradient_relevant": _mean((advantages != 0).any(1)),
        "response_length": _mean(batch.lengths),
        "tokens": int(batch.lengths.sum()),
    }


def calibration_error(confidence: torch.Tensor, rewards: torch.Tensor) -> float | None:
    """Expected calibration error of confidences [B] in [0, 1] against rewards [B] in [0, 1].

    Sum over 10 bins of equal width of |mean confidence - mean reward| times the bin's share of
    responses (Naeini et al. 2015). None without responses.
    """
    if not len(confidence):
        return None
    bins = (confidence.double() * CALIBRATION_BINS).long().clamp(0, CALIBRATION_BINS - 1)
    gaps = torch.zeros(CALIBRATION_BINS, dtype=torch.float64, device=confidence.device)
    gaps.index_add_(0, bins, confidence.double() - rewards.double())
    return (gaps.abs().sum() / len(confidence)).item()


def _mean(values: torch.Tensor) -> float | None:
    return values.to(torch.float64).mean().item() if len(values) else None


def _share(values: torch.Tensor, chosen: torch.Tensor) -> float | None:
    total = values.sum()
    return (values[chosen].sum() / total).item() if total > 0 else None
