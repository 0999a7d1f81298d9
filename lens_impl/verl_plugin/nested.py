"""Rows and the columns that verl keeps them in.

A column is a tensor [B], a jagged tensor [B, ragged] (one sequence per row, no padding), or a
NonTensorStack of B Python values.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import torch
from tensordict import NonTensorStack, TensorDict
from torch import Tensor


def jagged(rows: Sequence[Sequence[float]]) -> Tensor:
    """Sequences of numbers as a jagged tensor, without a tensor for each of them."""
    lengths = [len(row) for row in rows]
    return torch.nested.nested_tensor_from_jagged(
        torch.tensor(list(chain.from_iterable(rows))),
        torch.tensor([0, *accumulate(lengths)]),
        min_seqlen=min(lengths),
        max_seqlen=max(lengths),
    )


def split_rows(column: Tensor | NonTensorStack) -> Sequence[Any]:
    """The B rows of a column."""
    if not isinstance(column, Tensor):
        return column.tolist()
    if not column.is_nested:
        return column.unbind()
    # A jagged tensor's own unbind checks every row and takes longer.
    return column.values().split(column.offsets().diff().tolist())


def join_rows(rows: Sequence[Any]) -> Tensor | NonTensorStack:
    """The column of B rows: numbers [B], sequences of numbers [B, ragged], or Python values."""
    if not isinstance(rows[0], Tensor):
        return NonTensorStack(*rows)
    if rows[0].ndim == 0:
        return torch.stack(list(rows))
    return torch.nested.as_nested_tensor(list(rows), layout=torch.jagged)


def select_rows(batch: TensorDict, indices: Tensor | Sequence[int]) -> TensorDict:
    """The rows `indices` of a batch, in that order."""
    indices = torch.as_tensor(indices)
    columns = {}
    for name, column in batch.items():
        if isinstance(column, Tensor) and column.is_nested:
            columns[name] = _select_jagged(column, indices)
        else:
            # Settings of the whole batch have no row dimension.
            columns[name] = column[indices] if column.shape else column
    return TensorDict(columns, batch_size=len(indices))


def chunk(batch: TensorDict, chunks: int) -> list[TensorDict]:
    """A batch in `chunks` equal parts, in order; RuntimeError if its size is no multiple."""
    if chunks == 1:
        return [batch]
    return [select_rows(batch, rows) for rows in torch.arange(len(batch)).view(chunks, -1)]


def _select_jagged(column: Tensor, indices: Tensor) -> Tensor:
    starts, lengths = column.offsets()[indices], column.offsets().diff()[indices]
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    # Place of each chosen element in the values: its row's start plus its place in the row.
    places = torch.arange(int(offsets[-1])) + (starts - offsets[:-1]).repeat_interleave(lengths)
    # Without the longest row's length padding goes up to the number of all elements.
    return torch.nested.nested_tensor_from_jagged(
        column.values()[places],
        offsets,
        min_seqlen=int(lengths.min()),
        max_seqlen=int(lengths.max()),
    )
