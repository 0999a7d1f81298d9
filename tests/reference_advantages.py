"""The methods once more, from the paper, with plain loops in float64; to compare with."""

import math

import numpy as np


def reference_advantages(name, rewards, group_ids, mask, old_log_probs, **options) -> np.ndarray:
    """[B, T] float64 advantages; mask and old_log_probs [B, T], anything numpy can hold."""
    rewards = [float(np.float32(reward)) for reward in rewards]
    mask, log_probs = np.asarray(mask, bool), np.asarray(old_log_probs, np.float64)
    members: dict = {}
    for i, group in enumerate(np.asarray(group_ids).tolist()):
        members.setdefault(group, []).append(i)

    token_log_probs = [
        [log_probs[i, t] for t in range(mask.shape[1]) if mask[i, t]] for i in range(len(rewards))
    ]
    advantages = np.zeros(mask.shape)
    for group in members.values():
        r = [rewards[i] for i in group]
        per_response = _group_advantages(name, r, [token_log_probs[i] for i in group], **options)
        for i, value in zip(group, per_response, strict=True):
            for t in range(mask.shape[1]):
                if mask[i, t]:
                    advantages[i, t] = value
    return advantages


def _group_advantages(name, r, log_probs, **options):
    negative = all(reward == 0 for reward in r)
    alpha = options.pop("alpha", 0.25)
    if name == "grpo":
        return _standardize(r)
    if name == "lens_mixed_only":
        return [0.0] * len(r) if negative else _standardize(_calibrate(r, log_probs, **options))
    if name == "lens_negative_only" and not negative:
        return _standardize(r)
    if name in ("lens", "lens_negative_only"):
        calibrated = _calibrate(r, log_probs, **options)
        if not negative:
            return _standardize(calibrated)
        mean = sum(calibrated) / len(calibrated)
        return [alpha * (value - mean) for value in calibrated]
    raise KeyError(name)


def _calibrate(r, log_probs, difficulty="length_normalized", scale_by_group=True):
    size = len(r)
    p = [math.exp(sum(tokens) / len(tokens)) if tokens else 1.0 for tokens in log_probs]
    whole = [math.exp(sum(tokens)) for tokens in log_probs]
    d = 2 * max(p)
    q = {"length_normalized": p, "raw": whole, "max_only": None}[difficulty]
    if q is not None and any(r):
        d_imp = 1 / (sum(reward / x for reward, x in zip(r, q, strict=True)) / size)
        d = max(d, d_imp)
    scale = 1 / size if scale_by_group else 1.0
    return [reward - (1 - reward) * scale * x / (d - x) for reward, x in zip(r, p, strict=True)]


def _standardize(values):
    if len(values) == 1:
        mean, deviation = 0.0, 1.0
    else:
        mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    return [(value - mean) / (deviation + 1e-6) for value in values]
