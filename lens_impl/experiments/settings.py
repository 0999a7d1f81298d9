"""What one job is given: settings of a run, schedule, sampling, GPUs, and the hash that names its
checkpoints."""

import hashlib
import json
import math
from dataclasses import asdict

from lens_impl.experiments.runs import Run

# The train settings that do not decide the trajectory of a run: its length and what it writes.
_SCHEDULE = ("steps", "validate_every", "validation", "checkpoint_every", "dump_every")
# Named in a run's settings only where there is more than one process.
_RANKS = ("nodes", "gpus_per_node")


def training_settings(config: dict, run: Run) -> dict:
    """Everything but data and model files that decides the trajectory of a training.

    How long it goes on and how often it validates and saves are left out, so that a training
    can be lengthened from its checkpoint.
    """
    train = {
        key: value
        for key, value in config["train"].items()
        if key not in (*_SCHEDULE, *_RANKS, "gpu")
    }
    ranks = {key: config["train"][key] for key in _RANKS}
    return {
        **asdict(run),
        "recipe": config["methods"][run.method],
        "learning_rate": config["models"][run.model]["learning_rate"],
        **train,
        **(ranks if math.prod(ranks.values()) > 1 else {}),
    }


def gpus_of(config: dict, job: str) -> int:
    """GPUs of one job, `train` or `sample`: none on the processor."""
    if config["train"]["device"] == "cpu":
        return 0
    if job == "train":
        return config["train"]["nodes"] * config["train"]["gpus_per_node"]
    return config["evaluate"]["gpus"]


def training_resources(config: dict) -> dict:
    """What Slurm must know of a training's nodes and GPUs, in the words of Snakemake's plugin."""
    train = config["train"]
    if train["nodes"] == 1:
        return {"gpu": gpus_of(config, "train")}
    # `mpi`: no step around the job, which starts its own over all nodes (verl_plugin.ray_cluster).
    several = {"nodes": train["nodes"], "tasks": train["nodes"], "mpi": "srun", "tasks_per_gpu": 0}
    on_gpu = train["device"] == "cuda"
    return several | ({"gres": f"gpu:{train['gpus_per_node']}"} if on_gpu else {})


def checkpoint_hash(settings: dict) -> str:
    """12 hex digits that name the checkpoint folder of these settings."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def training_schedule(config: dict) -> dict:
    """How long a training goes on, and how often it validates, saves and dumps its rollouts."""
    return {key: config["train"][key] for key in _SCHEDULE}


def evaluation_config(config: dict) -> dict:
    """--config of `lens_impl.evaluation.evaluate`: sampling as in training, n and k."""
    as_trained = ["max_response_tokens", "temperature", "top_p", "engine", "device"]
    chosen = {key: config["evaluate"][key] for key in ("n", "k", "seed", "batch_size", "threads")}
    on_gpu = {"gpus": gpus_of(config, "sample")} if config["train"]["device"] == "cuda" else {}
    return {**chosen, **{key: config["train"][key] for key in as_trained}, **on_gpu}


def regime_config(config: dict) -> dict:
    """What `lens_impl.models.toy regime` is given as --config: groups as in training."""
    sampling = evaluation_config(config)
    del sampling["k"]
    problems = config["evaluate"]["regime_problems"]
    return {**sampling, "n": config["train"]["group_size"], "problems": problems}


def tracking_uri(config: dict) -> str:
    """Address of the MLflow store."""
    return config["mlflow"]["tracking_uri"] or "sqlite:///results/mlflow.db"
