"""Completions of an evaluation from either engine: Hugging Face `generate`, or vLLM.

A sampler is made once, with its model, and called with any number of problems at a time.
"""

import json
from pathlib import Path

from lens_impl.errors import UserError
from lens_impl.models.prompts import Sampler


def model_folder(model: Path) -> Path:
    """The Hugging Face folder of `--model`: the folder itself, or the one that a manifest names.

    UserError if it has no config.json.
    """
    if model.suffix == ".json":
        model = Path(json.loads(model.read_text(encoding="utf-8"))["model_dir"])
    if not (model / "config.json").is_file():
        raise UserError(
            f"{model} is not a Hugging Face model folder: it has no config.json. Give --model a "
            "model folder or a run's manifest.json, from the folder the run was started in."
        )
    return model


def sampler(model: Path, config: dict) -> Sampler:
    """The sampler of a model folder or a run's manifest.

    config: engine, n, batch_size, max_response_tokens, temperature, top_p, threads, and for vllm
    device and gpus.
    """
    # Imported here, since each engine's libraries take seconds to load.
    if config["engine"] == "vllm":
        from lens_impl.models.sampling_vllm import load_vllm as load
    else:
        from lens_impl.models.sampling_hf import load_hf as load
    return load(model_folder(model), config)
