"""Rows and columns: jagged tensors, numbers, and Python values."""

import pytest
import torch
from tensordict import NonTensorStack, TensorDict

from lens_impl.verl_plugin.nested import chunk, jagged, join_rows, select_rows, split_rows

LISTS = [[1, 2, 3], [4], [5, 6], [7, 8]]


@pytest.fixture
def batch():
    return TensorDict(
        {
            "tokens": jagged(LISTS),
            "index": torch.arange(4),
            "uid": NonTensorStack("p", "p", "q", "q"),
        },
        batch_size=4,
    )


def contents(batch: TensorDict) -> list[list]:
    tokens = [row.tolist() for row in split_rows(batch["tokens"])]
    return [tokens, batch["index"].tolist(), batch.get("uid").tolist()]


def test_sequences_become_one_jagged_tensor():
    column = jagged(LISTS)
    assert column.dtype == torch.int64
    assert [row.tolist() for row in column.unbind()] == LISTS
    padded = TensorDict({"c": column}, batch_size=4).to_padded_tensor()["c"]
    assert padded.tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 0], [7, 8, 0]]
    assert jagged([[0.5], [1.0, 2.0]]).dtype == torch.float32


@pytest.mark.parametrize("name", ["tokens", "index", "uid"])
def test_a_column_is_split_into_rows_and_joined_again(batch, name):
    rows = split_rows(batch.get(name))
    assert len(rows) == 4
    again = TensorDict({name: join_rows(rows)}, batch_size=4)
    for row, other in zip(rows, split_rows(again.get(name)), strict=True):
        assert torch.equal(row, other) if isinstance(row, torch.Tensor) else row == other


def test_rows_are_selected_from_every_column_in_the_given_order(batch):
    assert contents(select_rows(batch, [2, 0, 2])) == [
        [[5, 6], [1, 2, 3], [5, 6]],
        [2, 0, 2],
        ["q", "p", "q"],
    ]


def test_a_batch_in_equal_parts(batch):
    first, second = chunk(batch, 2)
    assert contents(first) == [LISTS[:2], [0, 1], ["p", "p"]]
    assert contents(second) == [LISTS[2:], [2, 3], ["q", "q"]]
    assert chunk(batch, 1) == [batch]
    with pytest.raises(RuntimeError):
        chunk(batch, 3)
