"""A results folder with the files and columns of the real one, drawn from known probabilities."""

from pathlib import Path

import numpy as np
import pandas as pd

from lens_impl.evaluation.evaluate import pass_at_k_by_level
from lens_impl.experiments.runs import Run, base_name
from lens_impl.files import write_csv, write_json, write_jsonl, write_parquet
from lens_impl.identity import stable_hash
from lens_impl.results import Results

LEVELS = (1, 2, 3, 4, 5)
GAIN = {"base": 0.0, "grpo": 1.0, "lens-mixed-only": 1.2, "lens-negative-only": 1.3, "lens": 1.5}
REGIME = {
    "settings": {"n": 16, "problems": 200, "seed": 0},
    "parameters": 101_376,
    "evaluation": {
        "problems": 200,
        "pass_at_k": {"all": {"1": 0.31, "16": 0.71}, "5": {"1": 0.0625, "16": 0.4}},
        "finished": 0.99,
        "response_length": 21.5,
    },
    "mixes": {
        "math-dapo": {
            "problems": 200,
            "reward": 0.28,
            "groups_all_wrong": 0.401,
            "groups_all_correct": 0.02,
            "finished": 0.98,
            "response_length": 25.0,
        }
    },
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def synthetic_runs(model="tiny", mixes=("math-dapo", "math-numina"), seeds=(1, 2)) -> list[Run]:
    """GRPO and LENS on every mix and seed; on math-numina also the two ablations."""
    runs = []
    for mix in mixes:
        methods = ["grpo", "lens"]
        if mix == "math-numina":
            methods += ["lens-mixed-only", "lens-negative-only"]
        for method in methods:
            for seed in seeds:
                runs.append(Run(model, mix, method, seed))
    return runs


def synthetic_results(
    folder: Path, runs: list[Run], *, problems: int = 40, n: int = 16, steps: int = 30
) -> Results:
    """Write runs/*, the base models' evaluations and models/*.regime.json into results/{scale}."""
    for run in runs:
        _write_training(folder / "runs" / run.name, run, steps, problems, n)
        _write_evaluation(folder / "runs" / run.name, run.method, problems, n)
    for mix in {run.mix for run in runs}:
        _write_prompts(folder, mix)
    for model in {run.model for run in runs}:
        _write_evaluation(folder / "runs" / base_name(model), "base", problems, n)
        write_json(folder / "models" / f"{model}.regime.json", REGIME)
    return Results(folder, tuple(runs))


def metrics_line(step: int, steps: int, method: str) -> dict:
    """One line of metrics.jsonl: the share of all-wrong groups falls from .45 to .35."""
    progress = step / steps
    lens = method.startswith("lens")
    return {
        "step": step,
        "reward": 0.3 + 0.2 * progress,
        "groups_all_wrong": 0.45 - 0.1 * progress,
        "groups_mixed": 0.45,
        "groups_all_correct": 0.1 + 0.1 * progress,
        "confidence_correct": 0.8,
        "confidence_wrong": None if step == 1 else 0.6,
        "advantage_mixed": 0.9,
        "advantage_negative": 0.003 if lens else 0.0,
        "gradient_relevant": 0.9 if lens else 0.45,
        "entropy": 0.5 - 0.1 * progress,
        "clip_fraction": 0.01,
        "grad_norm": 0.4,
        "response_length": 30.0,
        "tokens": 61440,
        "log_prob_difference": 1e-6,
        "loss": -0.01,
        "learning_rate": 3e-4,
        "seconds": {"step": 1.5, "rollout": 0.5, "reward": 0.2, "update": 0.8},
    }


def _write_training(run_dir: Path, run: Run, steps: int, problems: int, n: int) -> None:
    settings = {**vars(run), "recipe": {"advantage": run.method}, "learning_rate": 3e-4}
    settings |= {"group_size": 16, "prompts_per_rollout": 32}
    schedule = {"steps": steps, "validate_every": 10}
    config = {"settings": settings, "schedule": schedule, "verl_overrides": ["a=1"]}
    write_json(run_dir / "config.json", config)
    lines = [metrics_line(step, steps, run.method) for step in range(1, steps + 1)]
    write_jsonl(run_dir / "metrics.jsonl", lines)
    curves = []
    for step in range(0, steps + 1, 10):
        share = step / steps
        counts = _correct_counts(problems, n, share * GAIN[run.method], run.seed, step)
        curves.append(counts.assign(step=step, n=n))
    columns = ["step", "problem_id", "level", "n", "correct"]
    write_parquet(run_dir / "curves.parquet", pd.concat(curves)[columns])
    write_parquet(run_dir / "rollouts.parquet", _rollouts(run, steps))
    checkpoints = run_dir / "checkpoints" / "abc123"
    checkpoints.mkdir(parents=True, exist_ok=True)
    manifest = {
        "run": run.name,
        **vars(run),
        "model_dir": str(checkpoints / "model"),
        "checkpoints": str(checkpoints),
        "steps": steps,
        "git": {"commit": COMMIT, "dirty": False},
        "versions": {"torch": "2.13.0"},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "seconds": 60.0,
        "mlflow_run_id": None,
        "config_hash": "abc123",
    }
    write_json(run_dir / "manifest.json", manifest)


def _rollouts(run: Run, steps: int) -> pd.DataFrame:
    """Dumps of 4 groups of 8: the first all wrong, the second all correct, the others mixed."""
    rows = pd.DataFrame(
        [(s, g, i) for s in range(10, steps + 1, 10) for g in range(4) for i in range(8)],
        columns=["step", "group", "sample"],
    )
    rng = np.random.default_rng(run.seed)
    rows["problem_id"] = "train-" + rows["group"].astype(str)
    rows["level"] = 1 + rows["group"]
    rows["reward"] = np.select([rows["group"] == 0, rows["group"] == 1], [0, 1], rows["sample"] % 2)
    rows["confidence"] = rng.uniform(0.5, 0.99, len(rows))
    rows["advantage"] = rng.normal(0, 0.01, len(rows))
    return rows.assign(length=5, response=r"\boxed{1}").astype({"reward": float})


def _write_prompts(results: Path, mix: str) -> None:
    frame = pd.DataFrame(
        {
            "prompt": [[{"role": "user", "content": f"What is ${i}+1$?"}] for i in range(4)],
            "reward_model": [{"style": "rule", "ground_truth": str(i + 1)} for i in range(4)],
            "extra_info": [{"problem_id": f"train-{i}", "level": i + 1} for i in range(4)],
        }
    )
    write_parquet(results / "data" / f"{mix}.parquet", frame)


def _correct_counts(problems: int, n: int, gain: float, *seed: object) -> pd.DataFrame:
    """Correct answers of n by problem; a problem's own difficulty is the same in every run."""
    index = np.arange(problems)
    level = np.array(LEVELS)[index % len(LEVELS)]
    difficulty = np.random.default_rng(0).normal(0, 1.5, problems)
    probability = 1 / (1 + np.exp(-(2 - level + gain + difficulty)))
    correct = np.random.default_rng(stable_hash(*seed)).binomial(n, probability)
    ids = [f"math-test-{i}" for i in index]
    return pd.DataFrame({"problem_id": ids, "level": level, "correct": correct})


def write_evaluations(
    results: Results, evaluation_set: str, *, problems: int, n: int, ks: tuple[int, ...]
) -> None:
    """Evaluations of all runs and base models on a set whose problems have no level."""
    methods = {run.name: run.method for run in results.runs}
    for name in results.evaluated:
        counts = _correct_counts(problems, n, GAIN[methods.get(name, "base")], "evaluate", name)
        _write_samples(results.file(name, ""), counts.assign(level=0), n, evaluation_set, ks)


def _write_evaluation(run_dir: Path, method: str, problems: int, n: int) -> None:
    counts = _correct_counts(problems, n, GAIN[method], "evaluate", run_dir.name)
    _write_samples(run_dir, counts, n, "math", (1, 2, 4, 8, 16))


def _write_samples(
    run_dir: Path, counts: pd.DataFrame, n: int, evaluation_set: str, ks: tuple[int, ...]
) -> None:
    rows = counts.loc[counts.index.repeat(n)].reset_index(drop=True)
    sample = np.tile(np.arange(n), len(counts))
    correct = sample < rows["correct"]
    samples = pd.DataFrame(
        {
            "problem_id": rows["problem_id"],
            "sample": sample,
            "level": rows["level"],
            "type": np.where(rows["level"] % 2, "Algebra", "Geometry"),
            "gold": "1",
            "response": np.where(correct, r"\boxed{1}", r"\boxed{2}"),
            "extracted": np.where(correct, "1", "2"),
            "correct": correct,
            "status": np.where(correct, "correct", "wrong"),
            "length": 5,
            "log_prob": -1.0,
            "finished": True,
        }
    )
    write_parquet(run_dir / f"samples_{evaluation_set}.parquet", samples)
    config = {"n": n, "k": [k for k in ks if k <= n], "seed": 0}
    passes = pass_at_k_by_level(samples, config)
    write_csv(run_dir / f"pass_at_k_{evaluation_set}.csv", passes)
