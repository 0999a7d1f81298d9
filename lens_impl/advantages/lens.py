"""LENS, section 5.1 of the paper: wrong responses are penalised by how confident the model was.

With p_i the geometric-mean probability of response i (sequence_confidence), in a group of G:

    calibrated reward   r~_i = r_i - (1 - r_i) * (1/G) * p_i / (D - p_i)
    mixed group         D = max(D_imp, 2 max_j p_j),  D_imp = ((1/G) sum_j r_j / p_j)^-1   (eq. 14)
    negative group      D = 2 max_j p_j

Deviations and open choices:
- Equation 14 writes pi_old, and section 5.1 replaces it by the geometric mean everywhere else. With
  whole-sequence probabilities D_imp is practically 0, and 2 max_j p_j always the larger. Default:
  difficulty="length_normalized"; "raw" reads equation 14 to the letter; "max_only" leaves it out.
- Rewards between 0 and 1 enter the same formulas; a group is negative when all its rewards are 0.
- The paper does not speak of all-correct groups and groups of one: what is not a negative group is
  normalised as GRPO does it, a group of one included.
- alpha multiplies the advantages of negative groups. The paper puts it before their part of the
  objective, which is the same, since the clipped objective is linear in the size of the advantage.
"""

import math

import torch
from torch import Tensor

from lens_impl.advantages.batch import (
    RolloutBatch,
    group_logsumexp,
    group_max,
    group_mean,
    is_all_wrong,
    log_confidence,
    sequence_log_prob,
    to_tokens,
)
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.errors import UserError

DIFFICULTIES = ("length_normalized", "raw", "max_only")
PREFERENCES = ("geometric_mean",)


def lens(
    batch: RolloutBatch,
    alpha: float = 0.25,
    difficulty: str = "length_normalized",
    preference: str = "geometric_mean",
    scale_by_group: bool = True,
) -> Tensor:
    """[B, T] float32 advantages of LENS (section 5.1, "Final Objective").

    Mixed groups: GRPO's normalisation of the calibrated rewards. All-wrong groups:
    alpha * (r~ - group mean of r~), no division by a deviation, so equal confidences give 0, and
    so does a group of one. All-correct groups: 0; a group of one, correct: 1 / (1 + 1e-6) as GRPO.
    """
    _check_alpha(alpha)
    calibrated = calibrated_rewards(batch, difficulty, preference, scale_by_group).double()
    return to_tokens(
        torch.where(
            is_all_wrong(batch),
            _negative_group_advantages(calibrated, batch, alpha),
            normalize_in_group(calibrated, batch),
        ),
        batch,
    )


def lens_mixed_only(
    batch: RolloutBatch,
    difficulty: str = "length_normalized",
    preference: str = "geometric_mean",
    scale_by_group: bool = True,
) -> Tensor:
    """[B, T] float32 advantages of the ablation "LENS with only mixed groups" (appendix D.2).

    Mixed groups as lens. All-wrong groups: 0. All-correct groups and groups of one as GRPO.
    """
    return lens(batch, 0.0, difficulty, preference, scale_by_group)


def lens_negative_only(
    batch: RolloutBatch,
    alpha: float = 0.25,
    preference: str = "geometric_mean",
    scale_by_group: bool = True,
) -> Tensor:
    """[B, T] float32 advantages of the ablation "LENS with only negative groups" (appendix D.2).

    Mixed groups: GRPO on the plain rewards. All-wrong groups as lens, where D_imp is undefined and
    so no difficulty is to be chosen. All-correct groups and groups of one as GRPO.
    """
    _check_alpha(alpha)
    calibrated = calibrated_rewards(batch, "max_only", preference, scale_by_group).double()
    return to_tokens(
        torch.where(
            is_all_wrong(batch),
            _negative_group_advantages(calibrated, batch, alpha),
            normalize_in_group(batch.exact_rewards, batch),
        ),
        batch,
    )


def calibrated_rewards(
    batch: RolloutBatch,
    difficulty: str = "length_normalized",
    preference: str = "geometric_mean",
    scale_by_group: bool = True,
) -> Tensor:
    """[B] float32 calibrated rewards r~ in [-1, 1] (section 5.1, "Calibrated Reward").

    scale_by_group=False leaves out the factor 1/G, the paper's "Handling Invariance".
    """
    _check_choice("difficulty", difficulty, DIFFICULTIES)
    _check_choice("preference", preference, PREFERENCES)
    log_p = log_confidence(batch.old_log_probs, batch.response_mask)
    # p / (D - p) = 1 / (D/p - 1); D >= 2 p keeps it at most 1, also where p and D underflow.
    penalty = 1 / torch.expm1(_log_difficulty(batch, log_p, difficulty) - log_p)
    if scale_by_group:
        penalty = penalty / batch.group_size
    return (batch.exact_rewards - (1 - batch.exact_rewards) * penalty).float()


def _log_difficulty(batch: RolloutBatch, log_p: Tensor, difficulty: str) -> Tensor:
    """[B] float64 log D of each response's group."""
    floor = math.log(2) + group_max(log_p, batch)
    if difficulty == "max_only":
        return floor
    if difficulty == "raw":
        log_p = sequence_log_prob(batch.old_log_probs, batch.response_mask)
    rewards = batch.exact_rewards
    # Far below any log(r / p), and finite: a wrong response adds nothing to the sum.
    terms = torch.where(rewards > 0, rewards.log() - log_p, -1e30)
    log_d_imp = batch.group_size.log() - group_logsumexp(terms, batch)
    return torch.where(is_all_wrong(batch), floor, torch.maximum(log_d_imp, floor))


def _negative_group_advantages(calibrated: Tensor, batch: RolloutBatch, alpha: float) -> Tensor:
    return alpha * (calibrated - group_mean(calibrated, batch))


def _check_alpha(alpha: float) -> None:
    is_number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not is_number or not math.isfinite(alpha) or alpha < 0:
        raise UserError(
            f"lens: alpha must be a number of at least 0, got {alpha!r} "
            "(0 ignores all-wrong groups; the paper uses 0.25)"
        )


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"lens: {name} must be one of {', '.join(allowed)}; got {value!r}")
