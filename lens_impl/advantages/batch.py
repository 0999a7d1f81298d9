"""A rollout batch and the group statistics that the methods share.

Open choices:
- Group statistics are computed in float64 from float32 values, and relative to the group's largest
  one: a group of equal values gives exactly 0.
- A response without tokens has confidence 1, the empty product. Its advantages are all masked, and
  in LENS a larger confidence only raises the difficulty D, the side on which the paper errs too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lens_impl import lazy_torch as torch
from lens_impl.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# exp() of it is 0, while differences of two of them stay finite.
LOG_ZERO = -1e9
# Rounding may lift log 1 a little above 0, and an entropy of 0 a little below; a value passed by
# mistake is far outside.
ROUNDING = 1e-2
# Elements that are summed at once: all that is made on the way stays in a CPU's cache.
CHUNK = 2**16


@dataclass(frozen=True)
class RolloutBatch:
    """Responses of one rollout: B samples, at most T tokens, in any order.

    rewards: [B] float, outcome reward in [0, 1].
    group_ids: [B] int tensor, or array or list of int or str; same value = same prompt.
    response_mask: [B, T] bool (or 0/1), True at the response's tokens.
    old_log_probs: [B, T] float, log pi_old of each sampled token; masked places are ignored.
    entropies: [B, T] float or None, entropy of pi_old at each token in nats; masked places are
        ignored.
    max_length: tokens at which a response was cut off, or None; only an overlong penalty needs it.
    UserError (a ValueError) for shapes that do not fit, rewards outside [0, 1], impossible
    log-probabilities and entropies.
    """

    rewards: torch.Tensor
    group_ids: torch.Tensor | np.ndarray | Sequence[int] | Sequence[str]
    response_mask: torch.Tensor
    old_log_probs: torch.Tensor
    entropies: torch.Tensor | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_values(self)

    @classmethod
    def from_dump(cls, dump: pd.DataFrame) -> RolloutBatch:
        """The batch of a dumped rollout (checkpoints/<hash>/rollouts/step_N.parquet)."""
        lengths = torch.tensor([len(row) for row in dump["old_log_probs"]])
        return cls(
            rewards=torch.tensor(dump["reward"].to_numpy()),
            group_ids=dump["group"].to_numpy(),
            response_mask=torch.arange(int(lengths.max())) < lengths[:, None],
            old_log_probs=padded(dump["old_log_probs"]),
            entropies=padded(dump["entropies"]),
        )

    @cached_property
    def mask(self) -> torch.Tensor:
        """[B, T] bool, response_mask."""
        return self.response_mask.bool()

    @cached_property
    def log_prob_stats(self) -> TokenStats:
        """Of old_log_probs. Probability 0 counts as LOG_ZERO in the sums, which stay finite."""
        return token_statistics(self.old_log_probs, self.mask, LOG_ZERO, 0.0)

    @cached_property
    def entropy_stats(self) -> TokenStats:
        """Of entropies; UserError where the batch has none."""
        if self.entropies is None:
            raise UserError("RolloutBatch: entropies are missing; this needs them, [B, T] in nats")
        return token_statistics(self.entropies, self.mask)

    @property
    def sequence_log_probs(self) -> torch.Tensor:
        """[B] float64, log pi_old of each whole response; finite."""
        return self.log_prob_stats.sums

    @cached_property
    def groups(self) -> torch.Tensor:
        """[B] int64, the group's number 0..number_of_groups-1 of each response."""
        import numpy as np  # not earlier: a dry run needs no arrays

        if isinstance(self.group_ids, torch.Tensor):
            return torch.unique(self.group_ids, return_inverse=True)[1]
        inverse = np.unique(np.asarray(self.group_ids), return_inverse=True)[1]
        return torch.from_numpy(inverse.astype(np.int64)).to(self.rewards.device)

    @cached_property
    def number_of_groups(self) -> int:
        return int(self.groups.max()) + 1 if len(self.groups) else 0

    @cached_property
    def group_size(self) -> torch.Tensor:
        """[B] float64, the number of responses in each response's own group."""
        return group_sum(torch.ones_like(self.rewards, dtype=torch.float64), self)

    @cached_property
    def exact_rewards(self) -> torch.Tensor:
        """[B] float64 of the float32 rewards."""
        return self.rewards.float().double()

    @cached_property
    def lengths(self) -> torch.Tensor:
        """[B] int64, tokens of each response."""
        # The sum of a whole mask would first make it eight times as large.
        chunks = self.mask.split(_rows_at_once(self.mask))
        return torch.cat([chunk.sum(1, dtype=torch.int32) for chunk in chunks]).long()


def group_sum(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] float64: for each response the sum of values [B] over its group."""
    totals = torch.zeros(batch.number_of_groups, dtype=torch.float64, device=values.device)
    return totals.index_add_(0, batch.groups, values.double())[batch.groups]


def group_max(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] float64: for each response the largest of values [B] in its group."""
    largest = torch.zeros(batch.number_of_groups, dtype=torch.float64, device=values.device)
    largest.scatter_reduce_(0, batch.groups, values.double(), "amax", include_self=False)
    return largest[batch.groups]


def group_mean(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] float64: for each response the mean of values [B] over its group."""
    return group_sum(values, batch) / batch.group_size


def centered(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] float64: values [B] minus the mean of the group; exactly 0 in a group of equal ones."""
    # Relative to one of the group's own values, the mean of equal ones has no rounding.
    relative = values.double() - group_max(values, batch)
    return relative - group_mean(relative, batch)


def group_logsumexp(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] float64: for each response log sum exp of values [B], all finite, over its group."""
    largest = group_max(values, batch)
    return largest + group_sum((values - largest).exp(), batch).log()


def group_kind(rewards: torch.Tensor, group_ids) -> list[str]:
    """Per response its group's kind: all_wrong (every reward 0), all_correct (every 1) or mixed."""
    empty = torch.zeros(len(rewards), 0)
    batch = RolloutBatch(rewards, group_ids, empty.bool(), empty)
    wrong, correct = is_all_wrong(batch).tolist(), is_all_correct(batch).tolist()
    return [
        "all_wrong" if w else "all_correct" if c else "mixed"
        for w, c in zip(wrong, correct, strict=True)
    ]


def is_all_wrong(batch: RolloutBatch) -> torch.Tensor:
    """[B] bool: the response's group is a negative group, every reward in it 0."""
    return group_max(batch.exact_rewards, batch) == 0


def is_all_correct(batch: RolloutBatch) -> torch.Tensor:
    """[B] bool: every reward in the response's group is 1."""
    return -group_max(-batch.exact_rewards, batch) == 1


def rewards_differ(batch: RolloutBatch) -> torch.Tensor:
    """[B] bool: the rewards in the response's group are not all equal."""
    rewards = batch.exact_rewards
    return group_max(rewards, batch) != -group_max(-rewards, batch)


def log_confidence(batch: RolloutBatch) -> torch.Tensor:
    """[B] float64, mean token log-probability, the log of sequence_confidence."""
    return batch.sequence_log_probs / batch.lengths.clamp(min=1)


def sequence_confidence(old_log_probs: torch.Tensor, response_mask: torch.Tensor) -> torch.Tensor:
    """[B] float32, geometric-mean token probability pi_old(o|q)^(1/|o|) (section 5.1).

    1 for a response without tokens.
    """
    mask = response_mask.bool()
    sums = token_statistics(old_log_probs, mask, LOG_ZERO, 0.0).sums
    return (sums / mask.sum(1).clamp(min=1)).exp().float()


def sequence_entropy(batch: RolloutBatch) -> torch.Tensor:
    """[B] float64, mean token entropy of each response in nats; 0 for one without tokens."""
    return batch.entropy_stats.sums / batch.lengths.clamp(min=1)


@dataclass(frozen=True)
class TokenStats:
    """Sums of values over each response's tokens, and the extremes over all tokens.

    sums: [B] float64. smallest, largest: 0 if nothing is beyond it, nan if a value is.
    """

    sums: torch.Tensor
    smallest: float
    largest: float


def token_statistics(
    values: torch.Tensor, mask: torch.Tensor, low: float | None = None, high: float | None = None
) -> TokenStats:
    """Of values [B, T] where mask, in one pass. The sums are of values within low, high."""
    sums = torch.empty(len(values), dtype=torch.float64, device=values.device)
    rows = _rows_at_once(values)
    # A masked token counts as 0, so 0 is among the values from the start.
    extremes = [torch.zeros(2, dtype=torch.float64, device=values.device)]
    chunks = (values.split(rows), mask.split(rows), sums.split(rows))
    with torch.no_grad():
        for chunk, kept, total in zip(*chunks, strict=True):
            # In float16 the limits would be others.
            exact = chunk.to(torch.promote_types(chunk.dtype, torch.float32))
            tokens = torch.where(kept, exact, 0.0)
            if tokens.numel():
                extremes.append(torch.stack(tokens.aminmax()).double())
            if low is not None:
                tokens.clamp_(min=low, max=high)
            torch.sum(tokens, 1, dtype=torch.float64, out=total)
    smallest, largest = torch.stack(extremes).unbind(1)
    return TokenStats(sums, smallest.min().item(), largest.max().item())


def padded(rows: Iterable[Sequence[float]]) -> torch.Tensor:
    """[B, T] float64: rows of different lengths, filled up with 0."""
    tensors = [torch.tensor(row, dtype=torch.float64) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)


def _rows_at_once(matrix: torch.Tensor) -> int:
    return max(1, CHUNK // max(1, matrix.shape[1]))


def to_tokens(values: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
    """[B] or [B, T] values -> [B, T] float32 advantages, 0 where masked."""
    columns = values[:, None] if values.ndim == 1 else values
    return torch.where(batch.mask, columns.float(), 0.0)


def _check_shapes(batch: RolloutBatch) -> None:
    _check_tensor("rewards", batch.rewards, dimensions=1)
    _check_tensor("old_log_probs", batch.old_log_probs, dimensions=2)
    _check_mask(batch.response_mask)
    if batch.entropies is not None:
        _check_tensor("entropies", batch.entropies, dimensions=2)
    shape = batch.response_mask.shape
    for name, values in (("old_log_probs", batch.old_log_probs), ("entropies", batch.entropies)):
        if values is not None and values.shape != shape:
            raise UserError(
                f"RolloutBatch: {name} has shape {list(values.shape)}, "
                f"response_mask {list(shape)}; both must be [B, T]"
            )
    for name, entries in (("rewards", batch.rewards), ("group_ids", batch.group_ids)):
        if len(entries) != shape[0]:
            raise UserError(
                f"RolloutBatch: {name} has {len(entries)} entries for "
                f"{shape[0]} responses; one per response is needed"
            )


def _check_values(batch: RolloutBatch) -> None:
    if not ((batch.rewards >= 0) & (batch.rewards <= 1)).all():
        raise UserError(
            f"RolloutBatch: rewards must lie in [0, 1], got {batch.rewards.tolist()[:8]}"
        )
    if not batch.log_prob_stats.largest <= ROUNDING:
        tokens = batch.old_log_probs[batch.mask]
        raise UserError(
            "RolloutBatch: old_log_probs must be log-probabilities, at most 0 and not nan, "
            f"got {tokens[~(tokens <= ROUNDING)][0].item()}"
        )
    if batch.entropies is not None:
        stats = batch.entropy_stats
        if not (stats.smallest >= -ROUNDING and stats.largest < math.inf):
            tokens = batch.entropies[batch.mask]
            impossible = ~((tokens >= -ROUNDING) & tokens.isfinite())
            raise UserError(
                "RolloutBatch: entropies must be at least 0 and finite, "
                f"got {tokens[impossible][0].item()}"
            )


def _check_tensor(name: str, values: torch.Tensor, dimensions: int) -> None:
    if not isinstance(values, torch.Tensor) or not values.is_floating_point():
        kind = values.dtype if isinstance(values, torch.Tensor) else type(values).__name__
        raise UserError(f"RolloutBatch: {name} must be a floating-point tensor, got {kind}")
    if values.ndim != dimensions:
        raise UserError(
            f"RolloutBatch: {name} must have {dimensions} dimension(s), "
            f"got shape {list(values.shape)}"
        )


def _check_mask(mask: torch.Tensor) -> None:
    if not isinstance(mask, torch.Tensor) or mask.ndim != 2:
        raise UserError("RolloutBatch: response_mask must be a [B, T] tensor of bool")
    if mask.dtype != torch.bool and not ((mask == 0) | (mask == 1)).all():
        raise UserError("RolloutBatch: response_mask must contain bool or 0 and 1 only")
