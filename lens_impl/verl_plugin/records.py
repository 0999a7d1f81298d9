"""What the trainer writes per step: a line of metrics, validation counts, a dumped rollout."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from tensordict import TensorDict
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lens_impl.advantages import RolloutBatch
from lens_impl.verl_plugin.nested import split_rows

# Our names of the phases of a step that verl times.
PHASES = {
    "rollout": "gen",
    "old_log_prob": "old_log_prob",
    "advantage": "adv",
    "update": "update_actor",
    "weights": "update_weights",
    "validation": "testing",
    "step": "step",
}


def metrics_line(
    step: int,
    diagnostics: dict[str, Any],
    verl_metrics: dict[str, Any],
    prompts: int,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The line of one step in metrics.jsonl.

    diagnostics: see advantages/diagnostics.py; prompts: per step; seconds: see phase_seconds.
    validation_accuracy is None in a step without validation.
    """
    line = {
        "step": step,
        **diagnostics,
        **sampled_groups(verl_metrics, prompts),
        "clip_fraction": verl_metrics["actor/pg_clipfrac"],
        "grad_norm": verl_metrics["actor/grad_norm"],
        "loss": verl_metrics["actor/pg_loss"],
        "learning_rate": verl_metrics["actor/lr"],
        "validation_accuracy": verl_metrics.get("validation/accuracy"),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
    }
    return {name: _plain(value) for name, value in line.items()}


def phase_seconds(timing: dict[str, float]) -> dict[str, float]:
    """Seconds per phase of a step, from verl's timers; without the phases that did not run."""
    return {name: timing[key] for name, key in PHASES.items() if key in timing}


def sampled_groups(verl_metrics: dict[str, Any], prompts: int) -> dict[str, int]:
    """Groups that were sampled for a step, and how many of them dynamic sampling dropped.

    The others were trained on (`prompts` of them), or left over when the batch was full.
    """
    dropped = int(verl_metrics.get("training/filter_groups/evicted_samples", 0))
    left_over = int(verl_metrics.get("training/filter_groups/discarded_surplus_samples", 0))
    return {"groups_sampled": prompts + dropped + left_over, "groups_dropped": dropped}


def validation_counts(samples: pd.DataFrame, step: int) -> pd.DataFrame:
    """One row per problem: step, problem_id, level, n (samples), correct (of them).

    samples: problem_id, level, reward; one row per sample.
    """
    problems = samples.groupby("problem_id", sort=True).agg(
        level=("level", "first"), n=("reward", "size"), correct=("reward", "sum")
    )
    frame = problems.reset_index().assign(step=step)
    frame["correct"] = frame["correct"].astype(int)
    return frame[["step", "problem_id", "level", "n", "correct"]]


def rollout_dump(
    rows: TensorDict,
    rollout: RolloutBatch,
    advantages: Tensor,
    infos: Sequence[dict[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
) -> pd.DataFrame:
    """One row per response, for notebooks and for checks of the advantages.

    group, problem_id, level, response (text), reward; old_log_probs, entropies and advantages are
    lists of one number per token. rows: see Step in trainer.py; advantages: [B, T]; infos: the
    `extra_info` of every training problem.
    """
    by_index = {info["index"]: info for info in infos}
    problems = [by_index[int(index)] for index in rows["index"]]
    lengths = rollout.lengths.tolist()
    return pd.DataFrame(
        {
            "group": rollout.group_ids,
            "problem_id": [problem["problem_id"] for problem in problems],
            "level": [problem["level"] for problem in problems],
            "response": [
                tokenizer.decode(tokens, skip_special_tokens=True)
                for tokens in split_rows(rows["responses"])
            ],
            "reward": rollout.rewards.tolist(),
            "old_log_probs": _unpadded(rollout.old_log_probs, lengths),
            "entropies": _unpadded(rollout.entropies, lengths),
            "advantages": _unpadded(advantages, lengths),
        }
    )


def _unpadded(matrix: Tensor, lengths: list[int]) -> list[list[float]]:
    return [row[:length].tolist() for row, length in zip(matrix, lengths, strict=True)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, (np.generic, torch.Tensor)) else value
