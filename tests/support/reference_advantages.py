"""The methods once more, from their papers, with plain loops in float64; to compare with."""

import math

import numpy as np

REWARD_ONLY = {
    "psr": lambda r: r,
    "nsr": lambda r: r - 1,
    "w_reinforce": lambda r, positive_weight=0.1: positive_weight * r - (1 - r),
}


def reference_advantages(
    name, rewards, group_ids, mask, old_log_probs, entropies=None, max_length=None, **options
) -> np.ndarray:
    """[B, T] float64 advantages; mask, old_log_probs and entropies [B, T], anything numpy holds."""
    rewards = [float(np.float32(reward)) for reward in rewards]
    mask = np.asarray(mask, bool)
    log_probs = _tokens(mask, old_log_probs)
    entropies = None if entropies is None else _tokens(mask, entropies)
    members: dict = {}
    for i, group in enumerate(np.asarray(group_ids).tolist()):
        members.setdefault(group, []).append(i)

    advantages = np.zeros(mask.shape)
    for group in members.values():
        r = [rewards[i] for i in group]
        if name == "rl_zvp" and len(set(r)) == 1 and r[0] in (0, 1):
            values = [_zero_variance(r[0], entropies[i], **options) for i in group]
        else:
            values = _group_advantages(name, r, [log_probs[i] for i in group], max_length, options)
            values = [[v] * len(log_probs[i]) for i, v in zip(group, values, strict=True)]
        for i, of_tokens in zip(group, values, strict=True):
            advantages[i, mask[i]] = of_tokens
    return advantages


def _tokens(mask, values):
    values = np.asarray(values, np.float64)
    return [row[kept].tolist() for row, kept in zip(values, mask, strict=True)]


def _group_advantages(name, r, log_probs, max_length, options):
    options = dict(options)
    if name in REWARD_ONLY:
        return [REWARD_ONLY[name](x, **options) for x in r]
    if name in ("grpo", "rl_zvp"):
        return _standardize(r)
    if name == "dr_grpo":
        return list(r) if len(r) == 1 else [x - np.mean(r) for x in r]
    if name == "dapo":
        buffer = options.get("overlong_buffer", 0.0)
        if buffer:
            factor = options.get("overlong_factor", 1.0)
            r = [
                x - factor * _overlong(len(tokens), max_length, buffer)
                for x, tokens in zip(r, log_probs, strict=True)
            ]
        return _standardize(r)
    if name == "ngrpo":
        pool = [*r, 1.0]
        deviation = float(np.std(pool, ddof=1))
        return [(x - float(np.mean(pool))) / (deviation + 1e-6) for x in r]
    if name == "asym_re":
        return [x - (float(np.mean(r)) + options.get("delta", -0.1)) for x in r]

    negative = all(reward == 0 for reward in r)
    alpha = options.pop("alpha", 0.25)
    normalization = options.pop("negative_normalization", "center")
    if name == "lens_mixed_only":
        return [0.0] * len(r) if negative else _standardize(_calibrate(r, log_probs, **options))
    if name == "lens_negative_only" and not negative:
        return _standardize(r)
    if name in ("lens", "lens_negative_only"):
        calibrated = _calibrate(r, log_probs, **options)
        if not negative:
            return _standardize(calibrated)
        mean = sum(calibrated) / len(calibrated)
        deviation = 1.0
        if normalization == "standardize" and len(r) > 1:
            deviation = float(np.std(calibrated, ddof=1)) + 1e-6
        return [alpha * (value - mean) / deviation for value in calibrated]
    raise KeyError(name)


def _zero_variance(reward, entropies, alpha=0.1):
    if reward == 1:
        return [alpha * h for h in entropies]
    return [-alpha * (max(entropies) - h) for h in entropies]


def _overlong(length, max_length, buffer):
    exceeds = length - (max_length - buffer * max_length)
    return min(max(exceeds / (buffer * max_length), 0.0), 1.0)


def _calibrate(
    r,
    log_probs,
    difficulty="length_normalized",
    preference="geometric_mean",
    gamma=1.0,
    scale_by_group=True,
    max_factor=2.0,
):
    size = len(r)
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
    scale = 1 / size if scale_by_group else 1.0
    return [x - (1 - x) * scale * penalty for x, penalty in zip(r, penalties, strict=True)]


def _standardize(values):
    if len(values) == 1:
        mean, deviation = 0.0, 1.0
    else:
        mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    return [(value - mean) / (deviation + 1e-6) for value in values]
