"""verl's queue for a rollout in the trainer's own process: dictionaries in place of two processes.

The TransferQueue hands rows from agent loops on many machines to a trainer. The engine `hf` samples
in a call of the trainer, so that nothing has to travel. Deviations: rows are held by reference; no
checkpoints of the queue, which verl writes for its asynchronous trainers alone.
"""

from collections import defaultdict

import torch
from tensordict import TensorDict


class LocalQueue:
    """The calls of `transfer_queue` that verl's synchronous trainer makes.

    partition -> key -> tag, and partition -> key -> column -> row.
    """

    def __init__(self):
        self.tags: dict[str, dict[str, dict]] = defaultdict(dict)
        self.rows: dict[str, dict[str, dict[str, torch.Tensor]]] = defaultdict(dict)

    def init(self, config) -> None:
        pass

    def close(self) -> None:
        pass

    def kv_list(self, partition_id: str | None = None) -> dict[str, dict[str, dict]]:
        names = list(self.tags) if partition_id is None else [partition_id]
        return {name: {key: dict(tag) for key, tag in self.tags[name].items()} for name in names}

    def kv_batch_put(
        self,
        keys: list[str],
        partition_id: str,
        fields: TensorDict | None = None,
        tags: list[dict] | None = None,
    ) -> None:
        for key, tag in zip(keys, tags or [{}] * len(keys), strict=True):
            self.tags[partition_id].setdefault(key, {}).update(tag)
        for name, column in fields.items() if fields is not None else []:
            for key, row in zip(keys, _rows(column), strict=True):
                self.rows[partition_id].setdefault(key, {})[name] = row

    def kv_batch_get(
        self, keys: list[str], partition_id: str, select_fields: list[str]
    ) -> TensorDict:
        """Columns of numbers are [rows], those of vectors nested [rows, ragged]."""
        held = self.rows[partition_id]
        columns = {name: [held[key][name] for key in keys] for name in select_fields}
        return TensorDict({name: _column(rows) for name, rows in columns.items()}, len(keys))

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        for key in keys:
            self.tags[partition_id].pop(key, None)
            self.rows[partition_id].pop(key, None)


def _rows(column: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Each row; a nested tensor's own unbind checks every one of them and takes longer."""
    if not column.is_nested:
        return column.unbind()
    return column.values().split(column.offsets().diff().tolist())


def _column(rows: list[torch.Tensor]) -> torch.Tensor:
    if rows[0].ndim == 0:
        return torch.stack(rows)
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)
