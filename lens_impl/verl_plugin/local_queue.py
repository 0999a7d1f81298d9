"""verl's queue for a rollout in the trainer's own process: dictionaries in place of two processes.

The TransferQueue carries rows from agent loops on many machines to a trainer. The engine `hf`
samples in a call of the trainer, so nothing has to travel. Deviations: rows are stored by
reference; no checkpoints of the queue, which verl writes for its asynchronous trainers alone.
"""

from collections import defaultdict
from typing import Any

from tensordict import TensorDict

from lens_impl.verl_plugin.nested import join_rows, split_rows


class LocalQueue:
    """The calls of `transfer_queue` that verl's synchronous trainer makes.

    tags: partition -> key -> tag. rows: partition -> key -> column -> value of this row.
    """

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, dict]] = defaultdict(dict)
        self.rows: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)

    def init(self, config: object) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to end."""

    def kv_list(self, partition_id: str | None = None) -> dict[str, dict[str, dict]]:
        """Partition -> key -> tag, copied; of one partition or of all."""
        names = list(self.tags) if partition_id is None else [partition_id]
        return {name: {key: dict(tag) for key, tag in self.tags[name].items()} for name in names}

    def kv_batch_put(
        self,
        keys: list[str],
        partition_id: str,
        fields: TensorDict | None = None,
        tags: list[dict] | None = None,
    ) -> None:
        """Update the tags and the columns of some rows, one of each per key."""
        for key, tag in zip(keys, tags or [{}] * len(keys), strict=True):
            self.tags[partition_id].setdefault(key, {}).update(tag)
        for name, column in fields.items() if fields is not None else []:
            for key, row in zip(keys, split_rows(column), strict=True):
                self.rows[partition_id].setdefault(key, {})[name] = row

    def kv_batch_get(
        self, keys: list[str], partition_id: str, select_fields: list[str]
    ) -> TensorDict:
        """The columns `select_fields` of some rows, in the order of the keys (see nested.py)."""
        rows = [self.rows[partition_id][key] for key in keys]
        columns = {name: join_rows([row[name] for row in rows]) for name in select_fields}
        return TensorDict(columns, batch_size=len(keys))

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        """Forget some rows and their tags; keys that are unknown are ignored."""
        for key in keys:
            self.tags[partition_id].pop(key, None)
            self.rows[partition_id].pop(key, None)
