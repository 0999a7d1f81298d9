"""Dumped rollouts as one small table."""

import pandas as pd
import pytest

from lens_impl.files import write_parquet
from lens_impl.training import dumps


def test_rollouts_are_bounded_and_averaged(tmp_path):
    folder = tmp_path / "checkpoints"
    rows = [
        {
            "group": f"uid{group}",
            "problem_id": f"p{group}",
            "level": 3,
            "response": f"answer {group}",
            "reward": float(sample),
            "old_log_probs": [-0.2, -0.4] if sample else [],
            "advantages": [1.0, 3.0] if sample else [],
        }
        for group in range(dumps.KEPT_GROUPS + 2)
        for sample in range(2)
    ]
    for step in (10, 5):
        write_parquet(folder / "rollouts" / f"step_{step}.parquet", pd.DataFrame(rows))
    frame = dumps.collect(folder)
    assert list(frame.columns) == dumps.COLUMNS and list(frame["step"].unique()) == [5, 10]
    first = frame[(frame["step"] == 5) & (frame["group"] == 0)]
    assert list(first["confidence"]) == pytest.approx([1.0, 0.740818], abs=1e-6)  # exp(0), exp(-.3)
    assert list(first["advantage"]) == [0.0, 2.0] and list(first["length"]) == [0, 2]
    assert frame["response"].isna().sum() == 2 * 2 * 2
    assert dumps.collect(tmp_path).empty
