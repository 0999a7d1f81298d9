"""The run's files, from those of its checkpoint folder."""

import os
from pathlib import Path

import pandas as pd

from lens_impl.experiments.settings import checkpoint_hash
from lens_impl.files import read_json, read_jsonl, write_json, write_jsonl, write_parquet
from lens_impl.provenance import versions
from lens_impl.training.checkpoints import finished_training


def write_results(folder: Path, run_dir: Path, settings: dict, schedule: dict, about: dict) -> None:
    """Write config.json, metrics.jsonl, curves.parquet and, last, manifest.json into run_dir.

    about: what the manifest says of this attempt (times, commit, host). A run that was finished
    before keeps the manifest it got then. RuntimeError if steps or the model are missing.
    """
    steps = schedule["steps"]
    lines = read_jsonl(folder / "metrics.jsonl")
    if [line["step"] for line in lines] != list(range(1, steps + 1)):
        raise RuntimeError(
            f"{folder}/metrics.jsonl does not contain the steps 1 to {steps}, each once"
        )
    model = folder / f"global_step_{steps}" / "actor" / "huggingface"
    if not (model / "config.json").exists():
        raise RuntimeError(f"{model} is missing")
    write_json(run_dir / "config.json", _config(folder, settings, schedule))
    write_jsonl(run_dir / "metrics.jsonl", lines)
    write_parquet(run_dir / "curves.parquet", _curves(folder))
    done = finished_training(folder)
    manifest = (
        done["manifest"]
        if done
        else {
            "run": run_dir.name,
            **{key: settings[key] for key in ("model", "mix", "method", "seed")},
            "model_dir": os.path.relpath(model),
            "checkpoints": os.path.relpath(folder),
            "steps": steps,
            "config_hash": checkpoint_hash(settings),
            "versions": versions(),
            **about,
        }
    )
    write_json(run_dir / "manifest.json", manifest)
    write_json(folder / "finished.json", {"schedule": schedule, "manifest": manifest})


def _config(folder: Path, settings: dict, schedule: dict) -> dict:
    request = read_json(folder / "request.json")
    overrides = [
        override
        for override in request["overrides"]
        # Where this attempt resumed is no property of the run.
        if not override.startswith("trainer.resume_")
    ]
    # A run that ended before verl's configuration was kept has none.
    resolved = folder / "verl_config.json"
    return {
        "settings": settings,
        "schedule": schedule,
        "verl_overrides": overrides,
        "verl_config": read_json(resolved) if resolved.exists() else None,
    }


def _curves(folder: Path) -> pd.DataFrame:
    """One row per validation and problem, in order of step."""
    files = sorted(
        folder.glob("validation/*.parquet"), key=lambda file: int(file.stem.removeprefix("step_"))
    )
    return pd.concat(map(pd.read_parquet, files), ignore_index=True)
