"""Methods that train on responses of one sign: the others are dropped from the mean in the loss.

verl's token-mean loss divides by the number of tokens that `loss_mask` marks in an update, and sums
over `response_mask`. A dropped response has advantage 0 and an empty loss mask.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# Option `keep` of a method: rewards [B] -> [B] bool, the responses that it trains on.
KEEP: dict[str, Callable[[Tensor], Tensor]] = {
    "all": lambda rewards: torch.ones_like(rewards, dtype=torch.bool),
    "correct": lambda rewards: rewards > 0,
    "wrong": lambda rewards: rewards < 1,
}


def kept_tokens(
    kept: Tensor, response_mask: Tensor, rows_per_update: int, ranks: int = 1
) -> Tensor:
    """The loss mask [B, T] bool: response_mask [B, T] in the rows where kept [B] is True.

    An update that keeps no row has all its tokens, so that its loss is 0 and not 0 / 0. verl gives
    every rank B / ranks consecutive rows, and an update is rows_per_update / ranks rows of each.
    """
    rows = torch.arange(len(kept), device=kept.device)
    update = rows % (len(kept) // ranks) // (rows_per_update // ranks)
    kept_in_update = torch.zeros_like(rows).index_add_(0, update, kept.long())[update]
    return response_mask.bool() & (kept | (kept_in_update == 0))[:, None]
