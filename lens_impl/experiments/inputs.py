"""Where the models, tokenizers and checkpoints of a configuration are, relative to the project."""

from pathlib import Path
from typing import Any

from lens_impl.experiments.runs import Run, base_name
from lens_impl.experiments.settings import checkpoint_hash, training_settings
from lens_impl.files import read_json


def data_models(config: dict, models: list[str], data: str) -> list[str]:
    """The models that some data must suit: {mix} or eval_{set}, below results/<scale>/data/.

    These are `models`, those of the runs, and the ones that existing data already suit: an
    experiment with fewer models then changes neither the data nor what was trained on them.
    """
    report = Path("results", config["scale"], "data", f"{data}.report.json")
    before = read_json(report)["prompt_tokens"] if report.is_file() else {}
    return [model for model in config["models"] if model in models or model in before]


def tokenizers(config: dict, models: list[str], data: str) -> dict[str, str]:
    """Model -> folder with its tokenizer, for the models that some data must suit.

    The tokenizer of a model that is pre-trained here exists before its weights, so that the
    preparation of data need not wait for them.
    """
    folders = {"pretrain": "tokenizers", "hub": "models"}
    return {
        model: f"results/{config['scale']}/{folders[config['models'][model]['source']]}/{model}"
        for model in data_models(config, models, data)
    }


def model_of(config: dict, run: str) -> str:
    """What is evaluated under a run's name: a base model's folder, or the manifest of a run."""
    bases = {base_name(model): model for model in config["models"]}
    if run in bases:
        return f"results/{config['scale']}/models/{bases[run]}"
    return f"results/{config['scale']}/runs/{run}/manifest.json"


def run_of(wildcards: Any) -> Run:
    """The run that the wildcards of a file's name give: model, mix, method, seed."""
    return Run(wildcards.model, wildcards.mix, wildcards.method, int(wildcards.seed))


def checkpoint_folder(config: dict, run: Run) -> str:
    """Where a run keeps the state from which it resumes: other settings, another folder."""
    digest = checkpoint_hash(training_settings(config, run))
    return f"results/{config['scale']}/runs/{run.name}/checkpoints/{digest}"
