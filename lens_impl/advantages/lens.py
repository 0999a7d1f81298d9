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
- The preference functions of appendix C are options; see calibrated_rewards.
"""

import math

import torch
from torch import Tensor

from lens_impl.advantages.batch import (
    RolloutBatch,
    centered,
    group_logsumexp,
    group_max,
    group_mean,
    is_all_wrong,
    log_confidence,
    to_tokens,
)
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.options import check_choice, check_number

DIFFICULTIES = ("length_normalized", "raw", "max_only")
PREFERENCES = ("geometric_mean", "none", "policy", "length")
NEGATIVE_NORMALIZATIONS = ("center", "standardize")


def lens(
    batch: RolloutBatch,
    alpha: float = 0.25,
    difficulty: str = "length_normalized",
    preference: str = "geometric_mean",
    gamma: float = 1.0,
    scale_by_group: bool = True,
    max_factor: float = 2.0,
    negative_normalization: str = "center",
) -> Tensor:
    """[B, T] float32 advantages of LENS (section 5.1, "Final Objective").

    Mixed groups: GRPO's normalisation of the calibrated rewards. All-wrong groups:
    alpha * (r~ - group mean of r~), with negative_normalization="standardize" also divided by the
    group's standard deviation; equal confidences give 0, and so does a group of one. All-correct
    groups: 0; a group of one, correct: 1 / (1 + 1e-6) as GRPO. The other options: see
    calibrated_rewards. UserError for an option that does not exist or is out of range.
    """
    calibrated = _calibrate(batch, difficulty, preference, gamma, scale_by_group, max_factor)
    return _to_advantages(batch, calibrated, calibrated, alpha, negative_normalization)


def lens_mixed_only(
    batch: RolloutBatch,
    difficulty: str = "length_normalized",
    preference: str = "geometric_mean",
    gamma: float = 1.0,
    scale_by_group: bool = True,
    max_factor: float = 2.0,
) -> Tensor:
    """[B, T] float32 advantages of the ablation "LENS with only mixed groups" (appendix D.2).

    Mixed groups as lens. All-wrong groups: 0. All-correct groups and groups of one as GRPO.
    """
    return lens(batch, 0.0, difficulty, preference, gamma, scale_by_group, max_factor)


def lens_negative_only(
    batch: RolloutBatch,
    alpha: float = 0.25,
    preference: str = "geometric_mean",
    gamma: float = 1.0,
    scale_by_group: bool = True,
    max_factor: float = 2.0,
    negative_normalization: str = "center",
) -> Tensor:
    """[B, T] float32 advantages of the ablation "LENS with only negative groups" (appendix D.2).

    Mixed groups: GRPO on the plain rewards. All-wrong groups as lens, where D_imp is undefined and
    so no difficulty is to be chosen. All-correct groups and groups of one as GRPO.
    """
    calibrated = _calibrate(batch, "max_only", preference, gamma, scale_by_group, max_factor)
    return _to_advantages(batch, calibrated, batch.exact_rewards, alpha, negative_normalization)


def calibrated_rewards(
    batch: RolloutBatch,
    difficulty: str = "length_normalized",
    preference: str = "geometric_mean",
    scale_by_group: bool = True,
    gamma: float = 1.0,
    max_factor: float = 2.0,
) -> Tensor:
    """[B] float32 calibrated rewards r~ = r - (1 - r) * penalty (section 5.1, "Calibrated Reward").

    difficulty: reading of D_imp in mixed groups: "length_normalized", "raw" (whole-sequence
        probabilities), or "max_only" (D = max_factor * max_j p_j there too).
    preference: what a response's probability is compared with (appendix C), which decides p:
        "geometric_mean": section 5.1.
        "none": rho = 1, p is the raw sequence probability, in D too (both readings of D_imp).
        "policy": rho = the policy itself; the penalty is 1 / (D - 1), that is correct share / wrong
            share of the group, and 0 in all-wrong groups. Takes neither difficulty nor max_factor.
        "length": rho = gamma^length; the penalty is (1 / length) * p / (gamma - p), at most 1, and
            1 where p >= gamma. Takes neither difficulty nor max_factor.
    gamma: above 0, for preference "length" alone. The paper has it "properly tuned"; 1 is the
        smallest that no confidence exceeds.
    scale_by_group: the factor 1/G on penalties, the paper's "Handling Invariance".
    max_factor: the factor in front of the maximum in D, above 1. From 2 on penalties stay within
        1 (1/G where scaled), and mixed groups keep their signs; below, neither is sure.

    Penalties of preference "policy" exceed 1 where more than half of the group is correct; with
    1/G they stay below 1.
    """
    return _calibrate(batch, difficulty, preference, gamma, scale_by_group, max_factor).float()


def _calibrate(
    batch: RolloutBatch,
    difficulty: str,
    preference: str,
    gamma: float,
    scale_by_group: bool,
    max_factor: float,
) -> Tensor:
    """[B] float64 calibrated rewards."""
    check_choice("lens", "difficulty", difficulty, DIFFICULTIES)
    check_choice("lens", "preference", preference, PREFERENCES)
    check_number("lens", "gamma", gamma, above=0)
    check_number("lens", "max_factor", max_factor, above=1)
    if preference == "policy":
        penalty = _odds_of_correct(batch)
    elif preference == "length":
        penalty = _length_penalty(batch, gamma)
    else:
        penalty = _confidence_penalty(batch, difficulty, preference == "none", max_factor)
    if scale_by_group:
        penalty = penalty / batch.group_size
    # Confidences that are equal but for the rounding of their sums shall be equal.
    penalty = penalty.round(decimals=12)
    return batch.exact_rewards - (1 - batch.exact_rewards) * penalty


def _confidence_penalty(
    batch: RolloutBatch, difficulty: str, raw: bool, max_factor: float
) -> Tensor:
    """[B] float64: p / (D - p), p the geometric-mean or the raw sequence probability."""
    of_sequence = batch.sequence_log_probs
    log_p = of_sequence if raw else log_confidence(batch)
    log_d = math.log(max_factor) + group_max(log_p, batch)
    if difficulty != "max_only":
        log_d_imp = _log_d_imp(batch, of_sequence if difficulty == "raw" else log_p)
        log_d = torch.where(is_all_wrong(batch), log_d, torch.maximum(log_d_imp, log_d))
    # p / (D - p) = 1 / (D/p - 1); D > p keeps it finite, also where p and D underflow.
    return 1 / torch.expm1(log_d - log_p)


def _log_d_imp(batch: RolloutBatch, log_p: Tensor) -> Tensor:
    """[B] float64: log of the group's D_imp (eq. 14); without meaning in all-wrong groups."""
    rewards = batch.exact_rewards
    # Far below any log(r / p), and finite: a wrong response adds nothing to the sum.
    terms = torch.where(rewards > 0, rewards.log() - log_p, -1e30)
    return batch.group_size.log() - group_logsumexp(terms, batch)


def _odds_of_correct(batch: RolloutBatch) -> Tensor:
    """[B] float64: 1 / (D - 1) with D = 1 / mean reward; 0 where no response takes a penalty."""
    correct = group_mean(batch.exact_rewards, batch)
    wrong = group_mean(1 - batch.exact_rewards, batch)
    return torch.where(wrong > 0, correct / wrong, 0.0)


def _length_penalty(batch: RolloutBatch, gamma: float) -> Tensor:
    """[B] float64: (1 / length) * p / (gamma - p), at most 1; 1 where p >= gamma."""
    log_ratio = math.log(gamma) - log_confidence(batch)
    penalty = 1 / torch.expm1(log_ratio) / batch.lengths.clamp(min=1)
    return torch.where(log_ratio > 0, penalty.clamp(max=1), 1.0)


def _to_advantages(
    batch: RolloutBatch, negative: Tensor, others: Tensor, alpha: float, normalization: str
) -> Tensor:
    """[B, T] float32: the rewards `negative` [B] in all-wrong groups, `others` [B] elsewhere."""
    check_number("lens", "alpha", alpha, at_least=0)
    check_choice("lens", "negative_normalization", normalization, NEGATIVE_NORMALIZATIONS)
    compared = alpha * _compare_confidences(negative, batch, normalization)
    return to_tokens(
        torch.where(is_all_wrong(batch), compared, normalize_in_group(others, batch)), batch
    )


def _compare_confidences(calibrated: Tensor, batch: RolloutBatch, normalization: str) -> Tensor:
    """[B] float64: calibrated rewards of a negative group against each other."""
    differences = centered(calibrated, batch)
    if normalization == "center":
        return differences
    # Where the differences are 0, a group of one among them, they stay 0.
    return torch.where(differences == 0, 0.0, normalize_in_group(calibrated, batch))
