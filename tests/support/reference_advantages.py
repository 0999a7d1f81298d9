"""The methods once more, from their papers, with plain loops in float64; to compare with.

A new method adds one function here, under its own name and with `@loop`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lens_impl.identity import stable_hash


@dataclass(frozen=True)
class Group:
    """One group: rewards, and for each response the values at its tokens."""

    rewards: list[float]
    log_probs: list[list[float]]
    entropies: list[list[float]] | None
    max_length: int | None


LOOPS: dict[str, Callable] = {}  # from all groups of a batch to the values of each
OPTIONS: dict[str, list[dict]] = {}  # of each method, the options under which it is compared


def loop(*options: dict) -> Callable:
    """Register the loop of a method: from a Group to a value per response, or per token of each."""

    def register(function: Callable) -> Callable:
        LOOPS[function.__name__] = lambda groups, **given: [function(g, **given) for g in groups]
        OPTIONS[function.__name__] = list(options)
        return function

    return register


def loop_over_batch(*options: dict) -> Callable:
    """The same for a method that looks across groups: from all Groups to the values of each."""

    def register(function: Callable) -> Callable:
        LOOPS[function.__name__] = function
        OPTIONS[function.__name__] = list(options)
        return function

    return register


def reference_advantages(
    name, rewards, group_ids, mask, old_log_probs, entropies=None, max_length=None, **options
) -> np.ndarray:
    """[B, T] float64 advantages; mask, old_log_probs and entropies [B, T], anything numpy takes."""
    rewards = [float(np.float32(reward)) for reward in rewards]
    mask = np.asarray(mask, bool)
    log_probs = _tokens(mask, old_log_probs)
    entropies = None if entropies is None else _tokens(mask, entropies)
    members: dict = {}
    for i, group in enumerate(np.asarray(group_ids).tolist()):
        members.setdefault(group, []).append(i)

    groups = [
        Group(
            [rewards[i] for i in rows],
            [log_probs[i] for i in rows],
            None if entropies is None else [entropies[i] for i in rows],
            max_length,
        )
        for rows in members.values()
    ]
    advantages = np.zeros(mask.shape)
    for rows, values in zip(members.values(), LOOPS[name](groups, **options), strict=True):
        for i, value in zip(rows, values, strict=True):
            advantages[i, mask[i]] = value
    return advantages


def reference(name, batch, **options) -> np.ndarray:
    """reference_advantages of a RolloutBatch."""
    return reference_advantages(
        name,
        batch.rewards,
        batch.group_ids,
        batch.response_mask,
        batch.old_log_probs,
        batch.entropies,
        batch.max_length,
        **options,
    )


def _tokens(mask, values):
    values = np.asarray(values, np.float64)
    return [row[kept].tolist() for row, kept in zip(values, mask, strict=True)]


@loop()
def grpo(group):
    return _standardize(group.rewards)


@loop()
def dr_grpo(group):
    r = group.rewards
    return list(r) if len(r) == 1 else [x - np.mean(r) for x in r]


@loop(
    {"overlong_buffer": 0.5, "overlong_factor": 0.7},
    {"overlong_buffer": 1},
)
def dapo(group, overlong_buffer=0.0, overlong_factor=1.0):
    r = group.rewards
    if len(r) > 1 and len(set(r)) == 1:
        return [0.0] * len(r)
    if overlong_buffer:
        buffer = overlong_buffer * group.max_length
        exceeds = [len(tokens) - (group.max_length - buffer) for tokens in group.log_probs]
        shares = [min(max(x / buffer, 0.0), 1.0) for x in exceeds]
        published = [2 * x - 1 for x in r]
        penalised = [x - overlong_factor * s for x, s in zip(published, shares, strict=True)]
        r = [(x + 1) / 2 for x in penalised]
    return _standardize(r)


@loop()
def ngrpo(group):
    pool = [*group.rewards, 1.0]
    deviation = float(np.std(pool, ddof=1))
    return [(x - float(np.mean(pool))) / (deviation + 1e-6) for x in group.rewards]


@loop()
def psr(group):
    return group.rewards


@loop()
def nsr(group):
    return [r - 1 for r in group.rewards]


@loop({"positive_weight": 0.5})
def w_reinforce(group, positive_weight=0.1):
    return [positive_weight * r - (1 - r) for r in group.rewards]


@loop({"alpha": 0.3})
def rl_zvp(group, alpha=0.1):
    r = group.rewards
    if set(r) == {1.0}:
        return [[alpha * h for h in entropies] for entropies in group.entropies]
    if set(r) == {0.0}:
        return [[-alpha * (max(hs) - h) for h in hs] for hs in group.entropies]
    return _standardize(r)


@loop({"delta": -0.4})
def asym_re(group, delta=-0.1):
    return [r - (float(np.mean(group.rewards)) + delta) for r in group.rewards]


@loop_over_batch(
    {"alpha": 1.5},
    {"difficulty": "raw"},
    {"difficulty": "max_only"},
    {"preference": "none"},
    {"preference": "none", "difficulty": "max_only"},
    {"preference": "policy"},
    {"preference": "length"},
    {"preference": "length", "gamma": 0.6},
    {"scale_by_group": False},
    {"scale_by_group": "mixed"},
    {"negative_share": 0.1},
    {"negative_share": 0, "alpha": 1},
    {"negative_share": 0.6, "negative_normalization": "standardize", "penalties": "reversed"},
    {"penalties": "shuffled"},
    {"penalties": "rotated", "negative_normalization": "standardize"},
    {"penalties": "reversed"},
    {"penalties": "uniform"},
    {"penalties": "uniform", "negative_share": 0.2},
    {"max_factor": 1.2},
    {"max_factor": 4},
    {"negative_normalization": "standardize"},
    {"preference": "none", "max_factor": 3, "scale_by_group": False, "alpha": 1},
)
def lens(groups, negative_share=None, alpha=0.25, **options):
    return _dosed(groups, _lens_group, negative_share, alpha, options)


def _dosed(groups, of_group, share, alpha, options):
    values = [of_group(group, **options) for group in groups]
    if share is not None:
        mass = {True: 0.0, False: 0.0}
        for group, of_responses in zip(groups, values, strict=True):
            for value, tokens in zip(of_responses, group.log_probs, strict=True):
                mass[any(group.rewards)] += abs(value) if tokens else 0.0
        alpha = 0.0
        if mass[False] > 1e-9:  # what is left of equal confidences
            alpha = share / (1 - share) * mass[True] / mass[False]
    return [
        of_responses if any(group.rewards) else [alpha * value for value in of_responses]
        for group, of_responses in zip(groups, values, strict=True)
    ]


def _lens_group(group, negative_normalization="center", penalties="own", **calibration):
    """With an alpha of 1."""
    calibrated = _calibrate(group, **calibration)
    if any(group.rewards):
        return _standardize(calibrated)
    if penalties == "uniform":
        return [-1.0] * len(calibrated)
    mean = sum(calibrated) / len(calibrated)
    deviation = 1.0
    if negative_normalization == "standardize" and len(calibrated) > 1:
        deviation = float(np.std(calibrated, ddof=1)) + 1e-6
    values = [(value - mean) / deviation for value in calibrated]
    return _exchanged(values, group, penalties)


def _exchanged(values, group, penalties):
    ranking = sorted(range(len(values)), key=lambda i: values[i])
    if penalties == "rotated":
        sources = [ranking[k - 1] for k in range(len(ranking))]
    elif penalties == "reversed":
        sources = ranking[::-1]
    elif penalties == "shuffled":
        means = [sum(tokens) / max(len(tokens), 1) for tokens in group.log_probs]
        confidences = sorted(float(np.float32(np.exp(mean))) for mean in means)
        seed = stable_hash("shuffled penalties", *confidences)
        sources = [ranking[k] for k in np.random.default_rng(seed).permutation(len(values))]
    else:
        sources = ranking
    exchanged = list(values)
    for response, source in zip(ranking, sources, strict=True):
        exchanged[response] = values[source]
    return exchanged


@loop(
    {"difficulty": "raw", "max_factor": 3.0},
    {"preference": "length", "gamma": 0.6, "scale_by_group": False},
)
def lens_mixed_only(group, **calibration):
    if not any(group.rewards):
        return [0.0] * len(group.rewards)
    return _standardize(_calibrate(group, **calibration))


@loop_over_batch(
    {"preference": "length", "gamma": 0.9, "alpha": 1},
    {"negative_normalization": "standardize"},
    {"max_factor": 1.5, "scale_by_group": False},
    {"negative_share": 0.1, "penalties": "uniform"},
    {"negative_share": 0.3},
)
def lens_negative_only(groups, negative_share=None, alpha=0.25, **options):
    def of_group(group, **options):
        negative = not any(group.rewards)
        return _lens_group(group, **options) if negative else _standardize(group.rewards)

    return _dosed(groups, of_group, negative_share, alpha, options)


@loop_over_batch()
def grpo_live(groups):
    rows = sum(len(group.rewards) for group in groups)
    live = sum(len(group.rewards) for group in groups if len(set(group.rewards)) > 1)
    return [
        [rows / live * value for value in _standardize(group.rewards)]
        if len(set(group.rewards)) > 1
        else [0.0] * len(group.rewards)
        for group in groups
    ]


@loop()
def rloo(group):
    r = group.rewards
    return [
        r[i] - float(np.mean(r[:i] + r[i + 1 :])) if len(r) > 1 else r[0] for i in range(len(r))
    ]


@loop_over_batch()
def reinforce_pp(groups):
    return _whitened(groups, [group.rewards for group in groups])


@loop_over_batch()
def reinforce_pp_baseline(groups):
    return _whitened(groups, [dr_grpo(group) for group in groups])


def _whitened(groups, values):
    tokens = [
        value
        for group, of_responses in zip(groups, values, strict=True)
        for value, log_probs in zip(of_responses, group.log_probs, strict=True)
        for _ in log_probs
    ]
    mean, variance = np.mean(tokens), np.var(tokens, ddof=1)
    return [[(v - mean) / math.sqrt(variance + 1e-8) for v in of_group] for of_group in values]


@loop_over_batch()
def lite_ppo(groups):
    rewards = [r for group in groups for r in group.rewards]
    deviation = float(np.std(rewards, ddof=1)) if len(rewards) > 1 else 0.0
    return [
        [(r - float(np.mean(group.rewards))) / (deviation + 1e-6) for r in group.rewards]
        for group in groups
    ]


@loop()
def maxrl(group):
    mean = float(np.mean(group.rewards))
    return [(r - mean) / (mean + 1e-6) for r in group.rewards]


@loop({"k": 1}, {"k": 2})
def pass_at_k_training(group, k=4):
    """Over all sets of k responses: the mean of the standardised rewards of a response's sets."""
    n, correct = len(group.rewards), [r == 1 for r in group.rewards]
    if n <= k:
        return [0.0] * n
    c = sum(correct)
    mean = 1 - math.comb(n - c, k) / math.comb(n, k)
    deviation = math.sqrt(mean * (1 - mean)) + 1e-6
    wrong_set = math.comb(n - c - 1, k - 1) / math.comb(n - 1, k - 1) if c < n else 0.0
    of_correct, of_wrong = (1 - mean) / deviation, (1 - wrong_set - mean) / deviation
    return [of_correct if right else of_wrong for right in correct]


@loop({"k": 1}, {"k": 2})
def pkpo(group, k=4):
    n, correct = len(group.rewards), [r == 1 for r in group.rewards]
    if n < max(k, 2):
        return [0.0] * n
    chance = math.comb(n - sum(correct), k - 1) / math.comb(n - 1, k - 1)
    b = [chance * right for right in correct]
    return [b[i] - (sum(b) - b[i]) / (n - 1) for i in range(n)]


@loop()
def best_of_group(group):
    r = group.rewards
    if len(r) == 1:
        return [0.0]
    second, best = sorted(r)[-2:]
    return [best - second if x == best else 0.0 for x in r]


@loop({"weight": 0.2})
def ds_grpo(group, weight=0.05):
    r = group.rewards
    deviation = float(np.std(r)) + 1e-6
    means = [sum(tokens) / max(len(tokens), 1) for tokens in group.log_probs]
    return [
        (x - float(np.mean(r))) / deviation - weight * mean * x + weight * mean * (1 - x)
        for x, mean in zip(r, means, strict=True)
    ]


@loop({"wrong": 0})
def reinforce_rej(group, wrong=-1):
    r = group.rewards
    if len(r) > 1 and len(set(r)) == 1:
        return [0.0] * len(r)
    return [x + (1 - x) * wrong for x in r]


@loop({"alpha": 1}, {"kappa": 5})
def entropy_shaped(group, alpha=0.4, kappa=2.0):
    advantages = _standardize(group.rewards)
    return [
        [a + min(alpha * h, abs(a) / kappa) for h in entropies]
        for a, entropies in zip(advantages, group.entropies, strict=True)
    ]


@loop()
def confidence_reward(group):
    return _standardize([math.exp(float(np.mean(tokens))) for tokens in group.log_probs])


@loop()
def rent(group):
    return _standardize([-float(np.mean(entropies)) for entropies in group.entropies])


def _calibrate(
    group,
    difficulty="length_normalized",
    preference="geometric_mean",
    gamma=1.0,
    scale_by_group=True,
    max_factor=2.0,
):
    r, log_probs, size = group.rewards, group.log_probs, len(group.rewards)
    lengths = [max(len(tokens), 1) for tokens in log_probs]
    whole = [math.exp(sum(tokens)) for tokens in log_probs]
    p = [x ** (1 / n) for x, n in zip(whole, lengths, strict=True)]
    if preference == "policy":
        wrong = sum(1 - x for x in r)
        penalties = [sum(r) / wrong if wrong else 0.0] * size
    elif preference == "length":
        penalties = [
            min(x / (gamma - x) / n, 1.0) if x < gamma else 1.0
            for x, n in zip(p, lengths, strict=True)
        ]
    else:
        p = whole if preference == "none" else p
        d = max_factor * max(p)
        q = {"length_normalized": p, "raw": whole, "max_only": None}[difficulty]
        if q is not None and any(r):
            d = max(d, 1 / (sum(reward / x for reward, x in zip(r, q, strict=True)) / size))
        penalties = [x / (d - x) for x in p]
    scaled = any(r) if scale_by_group == "mixed" else scale_by_group
    scale = 1 / size if scaled else 1.0
    return [x - (1 - x) * scale * penalty for x, penalty in zip(r, penalties, strict=True)]


def _standardize(values):
    if len(values) == 1:
        mean, deviation = 0.0, 1.0
    else:
        mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    return [(value - mean) / (deviation + 1e-6) for value in values]
