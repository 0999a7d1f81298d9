"""The rollouts that a run dumped, as one file of bounded size in its run directory.

A dump (checkpoints/<hash>/rollouts/step_N.parquet, every `train.dump_every` rollout batches)
contains every token's log-probability and advantage. Here a response is one row of numbers, and the
text is kept for the first KEPT_GROUPS groups of each step.

    python -m lens_impl.training.dumps --manifest manifest.json --out rollouts.parquet
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from lens_impl.errors import run_cli
from lens_impl.files import read_json, write_parquet

KEPT_GROUPS = 16  # groups per step whose responses are kept as text
COLUMNS = ["step", "group", "problem_id", "level", "sample", "reward", "confidence"]
COLUMNS += ["advantage", "length", "response"]


def collect(folder: Path) -> pd.DataFrame:
    """One row per response of all dumps of a checkpoint folder, in order of step and group.

    step; group: number within the step; problem_id, level; sample: number within the group; reward;
    confidence: geometric-mean token probability (paper, section 5.1); advantage: mean over the
    tokens; length: tokens; response: text, None beyond the first KEPT_GROUPS groups of a step.
    """
    steps = [_rows(path) for path in folder.glob("rollouts/step_*.parquet")]
    if not steps:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(steps).sort_values(["step", "group", "sample"], ignore_index=True)


def _rows(path: Path) -> pd.DataFrame:
    dump = pd.read_parquet(path)
    group, _ = pd.factorize(dump["group"])
    frame = dump[["problem_id", "level", "reward"]].assign(
        step=int(path.stem.removeprefix("step_")),
        group=group,
        confidence=[_mean(row) for row in dump["old_log_probs"]],
        advantage=[_mean(row) for row in dump["advantages"]],
        length=dump["old_log_probs"].map(len),
        response=dump["response"].where(group < KEPT_GROUPS, None),
    )
    frame["confidence"] = np.exp(frame["confidence"])
    frame["sample"] = frame.groupby("group").cumcount()
    return frame[COLUMNS]


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=np.float64)) if len(values) else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lens_impl.training.dumps", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.json of the run")
    parser.add_argument("--out", type=Path, required=True, help="parquet, one row per response")
    arguments = parser.parse_args()
    write_parquet(arguments.out, collect(Path(read_json(arguments.manifest)["checkpoints"])))


if __name__ == "__main__":
    run_cli(main)
