"""A training run of the smoke scale from nothing: its inputs, its command, its trajectory."""

import json
import os
import subprocess
import sys
from pathlib import Path

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import Run
from lens_impl.experiments.settings import checkpoint_hash, training_settings
from lens_impl.files import ROOT, read_jsonl

CONFIG = load("smoke")
STEPS = 6
LENS = CONFIG["methods"]["lens"]
SCHEDULE = {
    "steps": STEPS,
    "validate_every": 3,
    "validation": {"n": 4, "problems": 10},
    "checkpoint_every": 2,
    "dump_every": 1,
}


def call(*command: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a module of the project, which must succeed, with more environment variables."""
    result = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def make_inputs(folder: Path, config: dict = CONFIG) -> Path:
    """Make data, base model and tracking database of a scale with toy problems in a folder."""
    raw, data = folder / "raw", config["data"]
    call("lens_impl.data.toy", "--config", json.dumps(config["tiny_problems"]), "--out", raw)
    sizes = json.dumps(data["mixes"]["math-dapo"])
    call(
        *("lens_impl.data.prepare", "mix", "--mix", "math-dapo", "--sizes", sizes, "--raw", raw),
        *("--evaluation-sets", '["math"]', "--seed", 0, "--languages", json.dumps(["en"])),
        *("--out", folder / "mix.parquet", "--report", folder / "mix.report.json"),
        *("--out-md", folder / "mix.card.md"),
    )
    call(
        *("lens_impl.data.prepare", "evaluation", "--set", "math", "--raw", raw),
        *("--out", folder / "eval.parquet", "--report", folder / "eval.report.json"),
    )
    call(
        *("lens_impl.models.toy", "train", "--config"),
        json.dumps(config["models"]["tiny"]["pretrain"]),
        *("--corpus", raw / "pretrain.jsonl", "--threads", 2, "--out", folder / "model"),
    )
    call(
        *("lens_impl.tracking.mirror", "init", "--tracking-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--experiment", "test", "--out", folder / "mlflow.json"),
    )
    return folder


def train_command(
    inputs: Path, run_dir: Path, seed: int = 1, steps: int = STEPS, method: dict = LENS
) -> list[str]:
    """The supervisor of a smoke run; method: a value of CONFIG["methods"]."""
    run = Run("tiny", "math-dapo", "lens", seed)
    settings = training_settings(CONFIG, run) | {"group_size": 8, "recipe": method}
    return supervisor_command(settings, SCHEDULE | {"steps": steps}, inputs, run_dir)


def supervisor_command(settings: dict, schedule: dict, inputs: Path, run_dir: Path) -> list[str]:
    """Module and arguments of a run's supervisor; inputs: see make_inputs."""
    values = {
        "--config": json.dumps(settings),
        "--schedule": json.dumps(schedule),
        "--train": inputs / "mix.parquet",
        "--validation": inputs / "eval.parquet",
        "--model": inputs / "model",
        "--run-dir": run_dir,
        "--checkpoints": run_dir / "checkpoints" / checkpoint_hash(settings),
        "--tracking-uri": f"sqlite:///{inputs}/mlflow.db",
        "--experiment": "test",
    }
    return [
        "lens_impl.training.supervisor",
        *(str(part) for pair in values.items() for part in pair),
    ]


def trajectory(run_dir: Path) -> list[dict]:
    """metrics.jsonl without the times."""
    lines = read_jsonl(run_dir / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
