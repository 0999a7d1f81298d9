"""The run's files from its checkpoint folder's."""

import json
import os
from pathlib import Path

import pandas as pd

from lens_impl.experiments.settings import checkpoint_hash
from lens_impl.files import read_jsonl, write_json, write_jsonl, write_parquet
from lens_impl.provenance import versions
from lens_impl.training.checkpoints import finished_training


def write_results(folder: Path, run_dir: Path, settings: dict, schedule: dict, about: dict) -> None:
    """The run's files from the checkpoint folder's; the manifest last.

    Of a training that had ended before, the manifest is the one it got then.
    """
    steps = schedule["steps"]
    lines = read_jsonl(folder / "metrics.jsonl")
    if [line["step"] for line in lines] != list(range(1, steps + 1)):
        raise RuntimeError(
            f"{folder}/metrics.jsonl does not hold the steps 1 to {steps}, each once"
        )
    model = folder / f"global_step_{steps}" / "actor" / "huggingface"
    if not (model / "config.json").exists():
        raise RuntimeError(f"{model} is missing")
    request = json.loads((folder / "request.json").read_text())
    validations = sorted(
        folder.glob("validation/*.parquet"), key=lambda file: int(file.stem.removeprefix("step_"))
    )
    # Where this attempt resumed is no property of the run.
    overrides = [o for o in request["overrides"] if not o.startswith("trainer.resume_")]
    # A training that ended before verl's configuration was kept has none.
    resolved = folder / "verl_config.json"
    write_json(
        run_dir / "config.json",
        {
            "settings": settings,
            "schedule": schedule,
            "verl_overrides": overrides,
            "verl_config": json.loads(resolved.read_text()) if resolved.exists() else None,
        },
    )
    write_jsonl(run_dir / "metrics.jsonl", lines)
    write_parquet(
        run_dir / "curves.parquet", pd.concat(map(pd.read_parquet, validations), ignore_index=True)
    )
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
