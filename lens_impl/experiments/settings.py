"""What each job is given: settings of a run and their hash, schedule, sampling, GPUs."""

import hashlib
import json
from dataclasses import asdict

from lens_impl.experiments.runs import Run

# The keys of `train` that do not decide the trajectory of a run: its length and what it writes.
_SCHEDULE = ("steps", "validate_every", "validation", "checkpoint_every", "dump_every")
# Part of a run's settings only where there is more than one process.
_RANKS = ("nodes", "gpus_per_node")


def training_settings(config: dict, run: Run) -> dict:
    """Everything but data and model files that decides the trajectory of a run.

    Its length and how often it validates and saves are left out, so that a finished run can be
    lengthened from its checkpoint.
    """
    train = config["train"]
    ranks = {key: train[key] for key in _RANKS}
    others = {key: value for key, value in train.items() if key not in (*_SCHEDULE, *_RANKS, "gpu")}
    return {
        **asdict(run),
        "recipe": config["methods"][run.method],
        "learning_rate": config["models"][run.model]["learning_rate"],
        **others,
        **(ranks if set(ranks.values()) != {1} else {}),
    }


def checkpoint_hash(settings: dict) -> str:
    """12 hex digits that name the checkpoint folder of these settings."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def training_schedule(config: dict) -> dict:
    """How long a run is, and how often it validates, saves and dumps its rollouts."""
    return {key: config["train"][key] for key in _SCHEDULE}


def gpus_of(config: dict, job: str) -> int:
    """GPUs of one job, `train` or `sample`; 0 on the CPU."""
    if config["train"]["device"] == "cpu":
        return 0
    if job == "train":
        return config["train"]["nodes"] * config["train"]["gpus_per_node"]
    return config["evaluate"]["gpus"]


def training_resources(config: dict) -> dict:
    """Node and GPU requests of a training run, as resources of Snakemake's Slurm executor."""
    train = config["train"]
    if train["nodes"] == 1:
        return {"gpu": gpus_of(config, "train")}
    # `mpi` means: no job step around the job, which starts its own on all nodes
    # (lens_impl.verl_plugin.ray_cluster).
    several = {"nodes": train["nodes"], "tasks": train["nodes"], "mpi": "srun", "tasks_per_gpu": 0}
    on_gpu = train["device"] == "cuda"
    return several | ({"gres": f"gpu:{train['gpus_per_node']}"} if on_gpu else {})


def evaluation_config(config: dict, evaluation_set: str | None = None) -> dict:
    """--config of `lens_impl.evaluation.evaluate`: sampling as in training; n and k of a set.

    None: n and k of the sets that have none of their own in `evaluate.sets`.
    """
    evaluate, train = config["evaluate"], config["train"]
    own = evaluate["sets"].get(evaluation_set, {})
    chosen = {key: evaluate[key] for key in ("n", "k", "seed", "batch_size", "threads")} | own
    as_trained = ("max_response_tokens", "temperature", "top_p", "engine", "device")
    on_gpu = {"gpus": gpus_of(config, "sample")} if train["device"] == "cuda" else {}
    return {**chosen, **{key: train[key] for key in as_trained}, **on_gpu}


def regime_config(config: dict) -> dict:
    """--config of `lens_impl.evaluation.baseline`: groups of the size that training has."""
    sampling = evaluation_config(config)
    del sampling["k"]
    problems = config["evaluate"]["regime_problems"]
    return {**sampling, "n": config["train"]["group_size"], "problems": problems}


def tracking_uri(config: dict) -> str:
    """Address of the MLflow store."""
    return config["mlflow"]["tracking_uri"] or "sqlite:///results/mlflow.db"
