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
from lens_impl.evaluation.counts import problem_counts
from lens_impl.evaluation.evaluate import completions, graded
from lens_impl.evaluation.levels import HARD, level_masks
from lens_impl.evaluation.passk import pass_at_k
from lens_impl.files import write_json
from lens_impl.models.sampling import Sampler, sampler


def measure(
    generate: Sampler, problems: pd.DataFrame, config: dict
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Sample and grade n responses to each prepared problem.

    Returns the counts per problem (see `problem_counts`), in the order of the problems, since a
    mean is rounded; and the share of finished responses with their mean length in tokens.
    """
    samples = graded(completions(generate, problems, config, "regime"), config["threads"])
    responses = {
        "finished": float(samples["finished"].mean()),
        "response_length": float(samples["length"].mean()),
    }
    return problem_counts(samples).loc[samples["problem_id"].unique()], responses


def pass_by_level(counts: pd.DataFrame) -> dict[str, dict[str, float]]:
    """ "all" and each level -> Pass@k for k = 1, 2, 4, ... n, from counts per problem."""
    n = int(counts["n"].iloc[0])
    ks = [2**i for i in range(n.bit_length())]
    correct = counts["correct"].to_numpy()
    return {
        level: {str(k): round(float(np.mean(pass_at_k(n, correct[mask], k))), 4) for k in ks}
        for level, mask in level_masks(counts["level"]).items()
        if level != HARD
    }


def measure_regime(
    generate: Sampler, parameters: int, mixes: dict, evaluation: pd.DataFrame, config: dict
) -> dict:
    """How the base model does: Pass@k on the evaluation set, all-wrong groups on each mix.

    config: n samples per problem (the group size), problems (at most so many of each set), seed,
    threads.
    """

    def some(frame: pd.DataFrame) -> pd.DataFrame:
        size = min(config["problems"], len(frame))
        return frame.sample(size, random_state=config["seed"])

    counts, responses = measure(generate, some(evaluation), config)
    passes = {"problems": len(counts), "pass_at_k": pass_by_level(counts)}
    groups = {}
    for name, mix in mixes.items():
        of_mix, responses_of_mix = measure(generate, some(mix), config)
        groups[name] = {
            "problems": len(of_mix),
            "reward": float(of_mix["correct"].sum() / of_mix["n"].sum()),
            "groups_all_wrong": float((of_mix["correct"] == 0).mean()),
            "groups_all_correct": float((of_mix["correct"] == of_mix["n"]).mean()),
            **responses_of_mix,
        }
    return {
        "settings": config,
        "parameters": parameters,
        "evaluation": passes | responses,
        "mixes": groups,
    }


def parameters(folder: Path) -> int:
    """The number of parameters in a model folder; weights that two layers share count once."""
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
