"""Methods that train on responses of one sign: the others leave the mean that is the loss.

verl's token-mean loss divides by the number of tokens that `loss_mask` marks in an update, and sums
over `response_mask`. A dropped response has advantage 0 and an empty loss mask.
"""

import torch
from torch import Tensor

KEEP = {
    "all": lambda rewards: torch.ones_like(rewards, dtype=torch.bool),
    "correct": lambda rewards: rewards > 0,
    "wrong": lambda rewards: rewards < 1,
}


def kept_tokens(
    kept: Tensor, response_mask: Tensor, rows_per_update: int, ranks: int = 1
) -> Tensor:
    """[B, T] bool: response_mask [B, T] at the rows that are kept [B].

    An update of which nothing is kept has all its tokens, so that its loss is 0 and not 0 / 0. verl
    gives every rank B / ranks consecutive rows and takes rows_per_update / ranks of each in turn.
    """
    rows = torch.arange(len(kept), device=kept.device)
    update = rows % (len(kept) // ranks) // (rows_per_update // ranks)
    kept_in_update = torch.zeros_like(rows).index_add_(0, update, kept.long())[update]
    return response_mask.bool() & (kept | (kept_in_update == 0))[:, None]
