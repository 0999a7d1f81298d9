import numpy as np
import pandas as pd
import torch
from support.rollout_batches import random_batch

from lens_impl.advantages import METHODS, RolloutBatch, compute_advantages
from lens_impl.advantages.batch import padded, token_statistics


def test_token_statistics_by_hand():
    values = torch.tensor([[-1.0, -2.0, 9.0], [-torch.inf, -3.0, 0.5], [7.0, 7.0, 7.0]])
    mask = torch.tensor([[True, True, False], [True, False, True], [False] * 3])
    stats = token_statistics(values, mask, low=-100.0, high=0.0)
    assert stats.sums.tolist() == [-3.0, -100.0, 0.0]  # -inf counts as -100, 0.5 as 0
    assert (stats.smallest, stats.largest) == (-np.inf, 0.5)  # as they are, masked ones left out


def test_from_dump_gives_the_batch_that_was_dumped():
    batch = random_batch(5)
    rows = zip(batch.old_log_probs, batch.entropies, batch.lengths.tolist(), strict=True)
    cut = [(log_probs[:n].tolist(), entropies[:n].tolist()) for log_probs, entropies, n in rows]
    dump = pd.DataFrame(cut, columns=["old_log_probs", "entropies"])
    dump = dump.assign(reward=batch.rewards.tolist(), group=[f"uid-{g}" for g in batch.group_ids])
    again = RolloutBatch.from_dump(dump)
    width = int(batch.lengths.max())
    assert torch.equal(again.mask, batch.mask[:, :width])
    for name in METHODS:
        advantages = compute_advantages(name, batch)[:, :width]
        torch.testing.assert_close(compute_advantages(name, again), advantages)


def test_padded():
    assert padded([[1.0, 2.0], [], [3.0]]).tolist() == [[1, 2], [0, 0], [3, 0]]
