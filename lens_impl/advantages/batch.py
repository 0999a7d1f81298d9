"""A rollout batch and the group statistics that the methods share.

Open choices:
- Group statistics are computed in float64 from float32 values, and relative to the group's largest
  one: a group of equal values gives exactly 0.
- A response without tokens has confidence 1, the empty product. Its advantages are all masked, and
  in LENS a larger confidence only raises the difficulty D, the side on which the paper errs too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lens_impl.errors import UserError

# exp() of it is 0, while differences of two of them stay finite.
LOG_ZERO = -1e9
# Elements that are summed at once: all that is made on the way stays in a processor's cache.
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
    sequence_log_probs: [B] float64, log pi_old of each whole response; finite (probability 0 gives
        LOG_ZERO). Made here, as one pass over [B, T] serves the check and the sum.
    entropy_sums: [B] float64 or None, sum of the token entropies of each response.
    UserError (a ValueError) for shapes that do not fit, rewards outside [0, 1], impossible
    log-probabilities and entropies.
    """

    rewards: Tensor
    group_ids: Tensor | np.ndarray | Sequence[int] | Sequence[str]
    response_mask: Tensor
    old_log_probs: Tensor
    entropies: Tensor | None = None
    max_length: int | None = None
    sequence_log_probs: Tensor = field(init=False, repr=False)
    entropy_sums: Tensor | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        _check_tensor("rewards", self.rewards, dimensions=1)
        _check_tensor("old_log_probs", self.old_log_probs, dimensions=2)
        _check_mask(self.response_mask)
        object.__setattr__(self, "response_mask", self.response_mask.bool())
        shape = self.response_mask.shape
        for name in ("old_log_probs", "entropies"):
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise UserError(
                    f"RolloutBatch: {name} has shape {list(values.shape)}, "
                    f"response_mask {list(shape)}; both must be [B, T]"
                )
        for name in ("rewards", "group_ids"):
            if len(getattr(self, name)) != shape[0]:
                raise UserError(
                    f"RolloutBatch: {name} has {len(getattr(self, name))} entries for "
                    f"{shape[0]} responses; one per response is needed"
                )
        if self.entropies is not None:
            _check_tensor("entropies", self.entropies, dimensions=2)
        if not ((self.rewards >= 0) & (self.rewards <= 1)).all():
            raise UserError(
                f"RolloutBatch: rewards must lie in [0, 1], got {self.rewards.tolist()[:8]}"
            )
        sums, _, largest = _sum_tokens(self.old_log_probs, self.response_mask, LOG_ZERO, 0.0)
        # Rounding may lift log 1 a little above 0; a probability passed by mistake is far above it.
        if not largest <= 1e-2:
            tokens = self.old_log_probs[self.response_mask]
            raise UserError(
                "RolloutBatch: old_log_probs must be log-probabilities, at most 0 and not nan, "
                f"got {tokens[~(tokens <= 1e-2)][0].item()}"
            )
        object.__setattr__(self, "sequence_log_probs", sums)
        if self.entropies is not None:
            sums, smallest, largest = _sum_tokens(self.entropies, self.response_mask)
            if not (smallest >= -1e-2 and largest < math.inf):
                tokens = self.entropies[self.response_mask]
                impossible = ~((tokens >= -1e-2) & tokens.isfinite())
                raise UserError(
                    "RolloutBatch: entropies must be at least 0 and finite, "
                    f"got {tokens[impossible][0].item()}"
                )
            object.__setattr__(self, "entropy_sums", sums)

    @cached_property
    def groups(self) -> Tensor:
        """[B] int64, the group's number 0..number_of_groups-1 of each response."""
        if isinstance(self.group_ids, Tensor):
            return torch.unique(self.group_ids, return_inverse=True)[1]
        inverse = np.unique(np.asarray(self.group_ids), return_inverse=True)[1]
        return torch.from_numpy(inverse.astype(np.int64)).to(self.rewards.device)

    @cached_property
    def number_of_groups(self) -> int:
        return int(self.groups.max()) + 1 if len(self.groups) else 0

    @cached_property
    def group_size(self) -> Tensor:
        """[B] float64, the number of responses in each response's own group."""
        return group_sum(torch.ones_like(self.rewards, dtype=torch.float64), self)

    @cached_property
    def exact_rewards(self) -> Tensor:
        """[B] float64 of the float32 rewards."""
        return self.rewards.float().double()

    @cached_property
    def lengths(self) -> Tensor:
        """[B] int64, tokens of each response."""
        # The sum of a whole mask would first make it eight times as large.
        chunks = self.response_mask.split(_rows_at_once(self.response_mask))
        return torch.cat([chunk.sum(1, dtype=torch.int32) for chunk in chunks]).long()


def group_sum(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] float64: for each response the sum of values [B] over its group."""
    totals = torch.zeros(batch.number_of_groups, dtype=torch.float64, device=values.device)
    return totals.index_add_(0, batch.groups, values.double())[batch.groups]


def group_max(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] float64: for each response the largest of values [B] in its group."""
    largest = torch.zeros(batch.number_of_groups, dtype=torch.float64, device=values.device)
    largest.scatter_reduce_(0, batch.groups, values.double(), "amax", include_self=False)
    return largest[batch.groups]


def group_mean(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] float64: for each response the mean of values [B] over its group."""
    return group_sum(values, batch) / batch.group_size


def centered(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] float64: values [B] minus the mean of the group; exactly 0 in a group of equal ones."""
    # Relative to one of the group's own values, the mean of equal ones has no rounding.
    relative = values.double() - group_max(values, batch)
    return relative - group_mean(relative, batch)


def group_logsumexp(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] float64: for each response log sum exp of values [B], all finite, over its group."""
    largest = group_max(values, batch)
    return largest + group_sum((values - largest).exp(), batch).log()


def group_kind(rewards: Tensor, group_ids) -> list[str]:
    """Per response its group's kind: all_wrong (every reward 0), all_correct (every 1) or mixed."""
    empty = torch.zeros(len(rewards), 0)
    batch = RolloutBatch(rewards, group_ids, empty.bool(), empty)
    wrong, correct = is_all_wrong(batch).tolist(), is_all_correct(batch).tolist()
    return [
        "all_wrong" if w else "all_correct" if c else "mixed"
        for w, c in zip(wrong, correct, strict=True)
    ]


def is_all_wrong(batch: RolloutBatch) -> Tensor:
    """[B] bool: the response's group is a negative group, every reward in it 0."""
    return group_max(batch.exact_rewards, batch) == 0


def is_all_correct(batch: RolloutBatch) -> Tensor:
    """[B] bool: every reward in the response's group is 1."""
    return -group_max(-batch.exact_rewards, batch) == 1


def log_confidence(batch: RolloutBatch) -> Tensor:
    """[B] float64, mean token log-probability, the log of sequence_confidence."""
    return batch.sequence_log_probs / batch.lengths.clamp(min=1)


def sequence_confidence(old_log_probs: Tensor, response_mask: Tensor) -> Tensor:
    """[B] float32, geometric-mean token probability pi_old(o|q)^(1/|o|) (section 5.1).

    1 for a response without tokens.
    """
    mask = response_mask.bool()
    sums, _, _ = _sum_tokens(old_log_probs, mask, LOG_ZERO, 0.0)
    return (sums / mask.sum(1).clamp(min=1)).exp().float()


def sequence_entropy(batch: RolloutBatch) -> Tensor:
    """[B] float64, mean token entropy of each response in nats; 0 for one without tokens."""
    if batch.entropy_sums is None:
        raise UserError("RolloutBatch: entropies are missing; this needs them, [B, T] in nats")
    return batch.entropy_sums / batch.lengths.clamp(min=1)


def _rows_at_once(matrix: Tensor) -> int:
    return max(1, CHUNK // max(1, matrix.shape[1]))


@torch.no_grad()
def _sum_tokens(
    values: Tensor, mask: Tensor, low: float | None = None, high: float | None = None
) -> tuple[Tensor, float, float]:
    """[B] float64 sums of values [B, T] where mask; the smallest and the largest of those values.

    Values are clamped to low and high before they are summed. The extremes are of the values as
    they are, with 0 for masked ones, and nan if one of them is.
    """
    sums = torch.empty(len(values), dtype=torch.float64, device=values.device)
    rows = _rows_at_once(values)
    extremes = [torch.zeros(2, dtype=torch.float64, device=values.device)]
    chunks = (values.split(rows), mask.split(rows), sums.split(rows))
    for chunk, kept, total in zip(*chunks, strict=True):
        # In float16 the limits would be others.
        tokens = torch.where(kept, chunk.to(torch.promote_types(chunk.dtype, torch.float32)), 0.0)
        if tokens.numel():
            extremes.append(torch.stack(tokens.aminmax()).double())
        if low is not None:
            tokens.clamp_(min=low, max=high)
        torch.sum(tokens, 1, dtype=torch.float64, out=total)
    all_extremes = torch.stack(extremes)
    return sums, all_extremes[:, 0].min().item(), all_extremes[:, 1].max().item()


def to_tokens(values: Tensor, batch: RolloutBatch) -> Tensor:
    """[B] or [B, T] values -> [B, T] float32 advantages, 0 where masked."""
    columns = values[:, None] if values.ndim == 1 else values
    return torch.where(batch.response_mask, columns.float(), 0.0)


def _check_tensor(name: str, values: Tensor, dimensions: int) -> None:
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise UserError(f"RolloutBatch: {name} must be a floating-point tensor, got {kind}")
    if values.ndim != dimensions:
        raise UserError(
            f"RolloutBatch: {name} must have {dimensions} dimension(s), "
            f"got shape {list(values.shape)}"
        )


def _check_mask(mask: Tensor) -> None:
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        raise UserError("RolloutBatch: response_mask must be a [B, T] tensor of bool")
    if mask.dtype != torch.bool and not ((mask == 0) | (mask == 1)).all():
        raise UserError("RolloutBatch: response_mask must hold bool or 0 and 1 only")
