"""Rollout batches for tests."""

import numpy as np
import torch

from lens_impl.advantages import RolloutBatch, compute_advantages


def per_response(name, batch, **options):
    """The advantage of each response, which is the same at all its tokens."""
    return compute_advantages(name, batch, **options)[:, 0].tolist()


def batch_of(rewards, confidences, group_ids=None, length=3, entropies=0.5):
    """Responses of one length whose geometric-mean probabilities are `confidences`."""
    log_probs = torch.tensor(confidences, dtype=torch.float64).log()[:, None].expand(-1, length)
    return RolloutBatch(
        torch.tensor(rewards, dtype=torch.float32),
        ["one"] * len(rewards) if group_ids is None else group_ids,
        torch.ones(len(rewards), length, dtype=torch.bool),
        log_probs,
        torch.full((len(rewards), length), entropies),
    )


def random_batch(seed, sizes=None, fractional=False, low=-2.0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 17, rng.integers(1, 20)) if sizes is None else sizes
    group_ids = rng.permutation(np.repeat(np.arange(len(sizes)) * 7 - 3, sizes))
    samples, width = len(group_ids), 12
    rate = rng.choice([0.0, 0.2, 0.6, 1.0], len(sizes))[(group_ids + 3) // 7]
    rewards = (rng.random(samples) < rate).astype(np.float32)
    if fractional:
        rewards *= rng.choice([0.25, 0.5, 1.0], samples).astype(np.float32)
    mask = np.arange(width) < rng.integers(1, width + 1, samples)[:, None]
    log_probs = rng.uniform(low, 0.0, (samples, width)).astype(np.float32)
    entropies = rng.uniform(0, 3, (samples, width)).astype(np.float32)
    return RolloutBatch(
        torch.from_numpy(rewards),
        group_ids,
        torch.from_numpy(mask),
        torch.from_numpy(log_probs),
        torch.from_numpy(entropies),
        max_length=width,
    )


def with_groups(batch, order=None, group_ids=None):
    order = torch.arange(len(batch.rewards)) if order is None else order
    ids = np.asarray(batch.group_ids if group_ids is None else group_ids)[order.numpy()]
    return RolloutBatch(
        batch.rewards[order],
        ids,
        batch.response_mask[order],
        batch.old_log_probs[order],
        batch.entropies[order],
        batch.max_length,
    )
