"""How the base model does before any reinforcement learning.

python -m lens_impl.evaluation.baseline --model ... --mix ... --eval ... --config ... --out ...
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open

from lens_impl.errors import run_cli
from lens_impl.evaluation.passk import pass_at_k
from lens_impl.files import write_json
from lens_impl.grading.grader import grade_many
from lens_impl.identity import stable_hash
from lens_impl.models.sampling import Sampler, sampler


def samples_of(
    generate: Sampler, frame: pd.DataFrame, config: dict
) -> tuple[np.ndarray, float, float]:
    """Grades [problems, n] of n samples for each row of a prepared frame.

    Also the share of finished responses and their mean length in tokens.
    """
    n = config["n"]
    ids = [info["problem_id"] for info in frame["extra_info"]]
    seeds = [stable_hash("regime", config["seed"], i, k) for i in ids for k in range(n)]
    samples = generate(frame["prompt"].tolist(), seeds)
    golds = [reward["ground_truth"] for reward in frame["reward_model"] for _ in range(n)]
    # Most samples of the toy repeat each other, and a repeated pair has one grade.
    pairs = list(dict.fromkeys(zip(golds, samples["response"], strict=True)))
    grades = grade_many([gold for gold, _ in pairs], [text for _, text in pairs])
    correct = {pair: grade.correct for pair, grade in zip(pairs, grades, strict=True)}
    pairs = zip(golds, samples["response"], strict=True)
    grid = np.array([correct[pair] for pair in pairs]).reshape(-1, n)
    return grid, float(samples["finished"].mean()), float(samples["length"].mean())


def pass_by_level(grid: np.ndarray, levels: np.ndarray) -> dict[str, dict[str, float]]:
    """level -> Pass@k for k = 1, 2, 4, ... n, from grades [problems, n]."""
    n = grid.shape[1]
    ks = [2**i for i in range(n.bit_length())]
    chosen = {"all": levels >= 0} | {str(level): levels == level for level in np.unique(levels)}
    return {
        level: {str(k): round(float(np.mean(pass_at_k(n, grid[rows].sum(1), k))), 4) for k in ks}
        for level, rows in chosen.items()
    }


def measure_regime(
    generate: Sampler, parameters: int, mixes: dict, evaluation: pd.DataFrame, config: dict
) -> dict:
    """How the base model does: Pass@k on the evaluation set, all-wrong groups on each mix.

    config: n samples a problem (the group size), problems (at most so many of each set), seed.
    """

    def some(frame: pd.DataFrame) -> pd.DataFrame:
        size = min(config["problems"], len(frame))
        return frame.sample(size, random_state=config["seed"])

    frame = some(evaluation)
    grid, finished, length = samples_of(generate, frame, config)
    levels = np.array([info["level"] for info in frame["extra_info"]])
    regime = {
        "settings": config,
        "parameters": parameters,
        "evaluation": {
            "problems": len(frame),
            "pass_at_k": pass_by_level(grid, levels),
            "finished": finished,
            "response_length": length,
        },
        "mixes": {},
    }
    for name, mix in mixes.items():
        grid, finished, length = samples_of(generate, some(mix), config)
        regime["mixes"][name] = {
            "problems": len(grid),
            "reward": float(grid.mean()),
            "groups_all_wrong": float((~grid.any(1)).mean()),
            "groups_all_correct": float(grid.all(1).mean()),
            "finished": finished,
            "response_length": length,
        }
    return regime


def parameters(folder: Path) -> int:
    """How many numbers a model folder holds; weights that two layers share count once."""
    count = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="numpy") as tensors:
            count += sum(math.prod(tensors.get_slice(k).get_shape()) for k in tensors.keys())
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="regime as JSON")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--mix", type=Path, nargs="+", required=True, help="training mixes")
    parser.add_argument("--eval", type=Path, required=True, help="evaluation set")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    mixes = {path.stem: pd.read_parquet(path) for path in arguments.mix}
    regime = measure_regime(
        sampler(arguments.model, arguments.config),
        parameters(arguments.model),
        mixes,
        pd.read_parquet(arguments.eval),
        arguments.config,
    )
    write_json(arguments.out, regime)


if __name__ == "__main__":
    run_cli(main)
