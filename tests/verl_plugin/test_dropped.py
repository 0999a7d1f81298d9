"""Responses of the dropped sign leave the token mean, and nothing divides by zero."""

import pytest
import torch

from lens_impl.verl_plugin.dropped import KEEP, kept_tokens


def test_dropped_rows_have_no_tokens_in_the_mean():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0]]).bool()
    kept = torch.tensor([True, False, False, True])
    assert kept_tokens(kept, mask, rows_per_update=2).sum(1).tolist() == [2, 0, 0, 2]


def test_an_update_with_nothing_kept_keeps_its_tokens():
    mask = torch.ones(6, 2)
    kept = torch.tensor([False, False, True, False, False, False])
    assert kept_tokens(kept, mask, rows_per_update=2).sum(1).tolist() == [2, 2, 2, 0, 2, 2]


def test_updates_of_two_ranks():
    """Rank 0 has rows 0 to 3, rank 1 rows 4 to 7; an update of 4 rows takes 2 of each."""
    kept = torch.tensor([True, False, False, False, False, False, False, False])
    tokens = kept_tokens(kept, torch.ones(8, 1), rows_per_update=4, ranks=2)
    assert tokens[:, 0].tolist() == [True, False, True, True, False, False, True, True]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", [True, True, True]),
        ("correct", [False, True, True]),
        ("wrong", [True, True, False]),
    ],
)
def test_which_responses_are_kept(keep, expected):
    assert KEEP[keep](torch.tensor([0.0, 0.5, 1.0])).tolist() == expected


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "method"), [("correct", "psr"), ("wrong", "nsr")])
def test_verls_loss_is_the_token_mean_over_the_kept(keep, method):
    """What verl's actor computes from the masks, against the mean written out."""
    from verl.trainer.ppo.core_algos import agg_loss

    from lens_impl.advantages import RolloutBatch, compute_advantages

    generator = torch.Generator().manual_seed(0)
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0])
    mask = torch.arange(7) < torch.tensor([3, 7, 1, 5, 2])[:, None]
    batch = RolloutBatch(rewards, [0] * 5, mask, torch.zeros(5, 7))
    losses = -compute_advantages(method, batch) * torch.rand(5, 7, generator=generator)
    loss_mask = kept_tokens(KEEP[keep](rewards), mask, rows_per_update=5)
    theirs = agg_loss(losses, mask, "token-mean", batch_num_tokens=loss_mask.sum())
    assert theirs == pytest.approx(losses[loss_mask].mean().item())
    assert theirs != pytest.approx(losses[mask].mean().item())
