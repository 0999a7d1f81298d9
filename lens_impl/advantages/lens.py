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

A dose, which is not in the paper: with `negative_share` s, alpha is set anew for each batch so that
all-wrong groups carry the share s of the sum over responses of mean |advantage| over the response's
tokens: `advantage_mass_all_wrong` of metrics.jsonl. Two kinds of batch cannot have that share:
- The advantages of all other groups are 0 (there is no other, or all are all-correct): alpha is 0.
- Those of all-wrong groups are 0 whatever alpha is (there is none, or its confidences are equal):
  the share is 0, and the other groups stay as they are.
The fewer responses carry the share, the more each of them weighs.

Controls, not in the paper either: `penalties` decides who gets which penalty in an all-wrong group.
The first three give the group's own advantages to other responses of it, so the mass is the same.
They start from the order of the penalties; equal ones are in the order of the batch.
- "shuffled": at random, with a hash of the group's sorted confidences (float32) as the seed. Not of
  group ids: verl draws them anew in every run, and a resumed run must give the same numbers.
- "rotated": each takes the next larger penalty, and the largest takes the smallest. Most of the
  order stays; only the most confident response changes much.
- "reversed": the most confident response takes the smallest penalty.
- "uniform": -alpha for every response, not centred, a group of one included. Ignores confidence,
  1/G and the normalisation.

The preference functions of appendix C are the option `preference`. Penalties before 1/G:
- "geometric_mean": p / (D - p), section 5.1.
- "none" (rho = 1): the same with p the raw probability of the whole sequence, in D too; both
  readings of D_imp are then the raw one. The penalty is sparse, as section 5.1 says.
- "policy" (rho = the policy itself): 1 / (D - 1), which is (share of correct) / (share of wrong) of
  the group, and 0 in all-wrong groups. It exceeds 1 where more than half is correct; with 1/G it
  stays below 1. Ignores difficulty and max_factor. Where rewards are 0 and 1 it is one penalty for
  all wrong responses of a group, which the normalisation takes out: the advantages are those of
  GRPO but for the 1e-6 added to the standard deviation.
- "length" (rho = gamma^length): (1 / length) * p / (gamma - p), at most 1, and 1 where p >= gamma.
  The paper has gamma "properly tuned"; 1 is the smallest that no confidence exceeds. Ignores
  difficulty and max_factor.

With max_factor of at least 2, penalties stay within 1 (1/G where scaled). With 1/G besides, wrong
responses of mixed groups are below 0 and correct ones above, for every preference. With a smaller
factor or without 1/G neither is sure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import (
    RolloutBatch,
    centered,
    group_logsumexp,
    group_max,
    group_mean,
    is_all_wrong,
    log_confidence,
    sequence_confidence,
    to_tokens,
)
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, choice, number, switch
from lens_impl.identity import stable_hash

PAPER = Paper("Feng et al.", 2025, "2510.08696")


@dataclass(frozen=True)
class LensOptions(Options):
    """Options of LENS and of its two ablations."""

    alpha: float = number(0.25, "weight of all-wrong groups", at_least=0)
    difficulty: str = choice(
        "length_normalized", "raw", "max_only", help="how D_imp of mixed groups is read (eq. 14)"
    )
    preference: str = choice(
        "geometric_mean",
        "none",
        "policy",
        "length",
        help="what counts as a response's confidence (section 5.1; the others: appendix C)",
    )
    gamma: float = number(
        1.0, "of preference `length`: the confidence at which the penalty is largest", above=0
    )
    scale_by_group: bool | str = switch(
        True, "whether penalties are scaled by 1/G; mixed: those of mixed groups alone", "mixed"
    )
    max_factor: float = number(2.0, "the factor in front of the largest confidence in D", above=1)
    negative_normalization: str = choice(
        "center", "standardize", help="all-wrong groups: mean taken off, or also divided by the std"
    )
    negative_share: float | None = number(
        None,
        "share of the sum of abs(A) that all-wrong groups carry; sets alpha per batch",
        at_least=0,
        below=1,
    )
    penalties: str = choice(
        "own",
        "shuffled",
        "rotated",
        "reversed",
        "uniform",
        help="all-wrong groups: who gets which penalty; all but `own` are controls",
    )


@method(
    "LENS",
    PAPER,
    LensOptions,
    all_wrong="alpha (r~ - mean r~)",
    mixed="(r~ - mean r~) / (std r~ + 1e-6)",
    all_correct="0",
    group_of_one="0 if wrong, else as `grpo`",
)
def lens(batch: RolloutBatch, options: LensOptions) -> torch.Tensor:
    """[B, T] float32 advantages of LENS (section 5.1, "Final Objective").

    Mixed groups: GRPO's normalisation of the calibrated rewards. All-wrong groups:
    alpha * (r~ - group mean of r~); equal confidences give 0. Dose and controls: see above.
    """
    calibrated = _calibrate(batch, options)
    return _to_advantages(batch, calibrated, calibrated, options)


@method(
    "LENS with only mixed groups",
    PAPER,
    LensOptions,
    without=("alpha", "negative_normalization", "negative_share", "penalties"),
    all_wrong="0",
    mixed="as `lens`",
    all_correct="0",
    group_of_one="as `lens`",
)
def lens_mixed_only(batch: RolloutBatch, options: LensOptions) -> torch.Tensor:
    """[B, T] float32 advantages of the ablation "LENS with only mixed groups" (appendix D.2)."""
    return lens(batch, replace(options, alpha=0.0))


@method(
    "LENS with only negative groups",
    PAPER,
    LensOptions,
    without=("difficulty",),
    all_wrong="as `lens`",
    mixed="as `grpo`",
    all_correct="0",
    group_of_one="as `lens`",
)
def lens_negative_only(batch: RolloutBatch, options: LensOptions) -> torch.Tensor:
    """[B, T] float32 advantages of the ablation "LENS with only negative groups" (appendix D.2).

    Mixed groups: GRPO on the plain rewards. In all-wrong groups D_imp is undefined, so there is no
    difficulty to choose.
    """
    calibrated = _calibrate(batch, replace(options, difficulty="max_only"))
    return _to_advantages(batch, calibrated, batch.exact_rewards, options)


def calibrated_rewards(batch: RolloutBatch, **options: Any) -> torch.Tensor:
    """[B] float32 calibrated rewards r~ = r - (1 - r) * penalty (section 5.1, "Calibrated Reward").

    options: fields of LensOptions by name; UserError for a wrong value.
    """
    return _calibrate(batch, LensOptions(**options)).float()


def _calibrate(batch: RolloutBatch, options: LensOptions) -> torch.Tensor:
    """[B] float64 calibrated rewards."""
    if options.preference == "policy":
        penalty = _odds_of_correct(batch)
    elif options.preference == "length":
        penalty = _length_penalty(batch, options.gamma)
    else:
        penalty = _confidence_penalty(batch, options)
    if options.scale_by_group == "mixed":
        penalty = torch.where(is_all_wrong(batch), penalty, penalty / batch.group_size)
    elif options.scale_by_group:
        penalty = penalty / batch.group_size
    # Confidences that differ only by the rounding of their sums count as equal.
    penalty = penalty.round(decimals=12)
    return batch.exact_rewards - (1 - batch.exact_rewards) * penalty


def _confidence_penalty(batch: RolloutBatch, options: LensOptions) -> torch.Tensor:
    """[B] float64: p / (D - p), p the geometric-mean or the raw sequence probability."""
    of_sequence = batch.sequence_log_probs
    log_p = of_sequence if options.preference == "none" else log_confidence(batch)
    log_d = math.log(options.max_factor) + group_max(log_p, batch)
    if options.difficulty != "max_only":
        log_d_imp = _log_d_imp(batch, of_sequence if options.difficulty == "raw" else log_p)
        log_d = torch.where(is_all_wrong(batch), log_d, torch.maximum(log_d_imp, log_d))
    # p / (D - p) = 1 / (D/p - 1); D > p keeps it finite, also where p and D underflow.
    return 1 / torch.expm1(log_d - log_p)


def _log_d_imp(batch: RolloutBatch, log_p: torch.Tensor) -> torch.Tensor:
    """[B] float64: log of the group's D_imp (eq. 14); without meaning in all-wrong groups."""
    rewards = batch.exact_rewards
    # Far below any log(r / p), and finite: a wrong response adds nothing to the sum.
    terms = torch.where(rewards > 0, rewards.log() - log_p, -1e30)
    return batch.group_size.log() - group_logsumexp(terms, batch)


def _odds_of_correct(batch: RolloutBatch) -> torch.Tensor:
    """[B] float64: 1 / (D - 1) with D = 1 / mean reward; 0 where no response takes a penalty."""
    correct = group_mean(batch.exact_rewards, batch)
    wrong = group_mean(1 - batch.exact_rewards, batch)
    return torch.where(wrong > 0, correct / wrong, 0.0)


def _length_penalty(batch: RolloutBatch, gamma: float) -> torch.Tensor:
    """[B] float64: (1 / length) * p / (gamma - p), at most 1; 1 where p >= gamma."""
    log_ratio = math.log(gamma) - log_confidence(batch)
    penalty = 1 / torch.expm1(log_ratio) / batch.lengths.clamp(min=1)
    return torch.where(log_ratio > 0, penalty.clamp(max=1), 1.0)


def _to_advantages(
    batch: RolloutBatch, negative: torch.Tensor, others: torch.Tensor, options: LensOptions
) -> torch.Tensor:
    """[B, T] float32: the rewards `negative` [B] in all-wrong groups, `others` [B] elsewhere."""
    compared = _compare_confidences(negative, batch, options)
    normalized = normalize_in_group(others, batch)
    alpha = options.alpha
    if options.negative_share is not None:
        alpha = _alpha_of_share(options.negative_share, compared, normalized, batch)
    return to_tokens(torch.where(is_all_wrong(batch), alpha * compared, normalized), batch)


def _alpha_of_share(
    share: float, negative: torch.Tensor, others: torch.Tensor, batch: RolloutBatch
) -> float:
    """The alpha under which all-wrong groups carry this share of the mass; 0 where none can."""
    wrong, counted = is_all_wrong(batch), batch.lengths > 0
    of_negative = negative[wrong & counted].abs().sum().item()
    of_others = others[~wrong & counted].abs().sum().item()
    return share / (1 - share) * of_others / of_negative if of_negative > 0 else 0.0


def _compare_confidences(
    calibrated: torch.Tensor, batch: RolloutBatch, options: LensOptions
) -> torch.Tensor:
    """[B] float64: calibrated rewards of a negative group against each other, or a control."""
    if options.penalties == "uniform":
        return torch.full_like(calibrated, -1.0)
    differences = centered(calibrated, batch)
    if options.negative_normalization == "standardize":
        # Where the differences are 0, a group of one among them, they stay 0.
        normalized = normalize_in_group(calibrated, batch)
        differences = torch.where(differences == 0, 0.0, normalized)
    return _reassigned(differences, batch, options.penalties)


def _reassigned(values: torch.Tensor, batch: RolloutBatch, penalties: str) -> torch.Tensor:
    """[B]: each response's value [B], or that of another response of its group."""
    if penalties == "own":
        return values
    by_value = values.argsort(stable=True)
    # Rows group by group, from the smallest value, which is the largest penalty.
    rows = by_value[batch.groups[by_value].argsort(stable=True)]
    sizes = torch.bincount(batch.groups, minlength=batch.number_of_groups)
    size = sizes[batch.groups[rows]]
    start = (sizes.cumsum(0) - sizes)[batch.groups[rows]]
    rank = torch.arange(len(rows), device=rows.device) - start
    if penalties == "rotated":
        rank = (rank - 1) % size
    elif penalties == "reversed":
        rank = size - 1 - rank
    else:
        rank = _shuffled_ranks(rows, sizes, batch)
    reassigned = torch.empty_like(values)
    reassigned[rows] = values[rows[start + rank]]
    return reassigned


def _shuffled_ranks(rows: torch.Tensor, sizes: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] int64: for rows group by group, a random order of 0..G-1 in each, the same every time."""
    import numpy as np  # not earlier: a dry run needs no arrays

    confidences = sequence_confidence(batch.old_log_probs, batch.response_mask)
    ranks = torch.empty_like(rows)
    groups = sizes.tolist()
    for of_group, into in zip(rows.split(groups), ranks.split(groups), strict=True):
        seed = stable_hash("shuffled penalties", *sorted(confidences[of_group].tolist()))
        into.copy_(torch.from_numpy(np.random.default_rng(seed).permutation(len(of_group))))
    return ranks
