"""Completions of an evaluation from either engine: Hugging Face `generate`, or vLLM.

A sampler is made once, with its model, and called with as many problems as one likes at a time.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from lens_impl.errors import UserError

# (messages of P problems, P x n seeds) -> P x n rows response, length, log_prob, finished.
Sampler = Callable[[Sequence, Sequence[int]], pd.DataFrame]


def model_folder(model: Path) -> Path:
    """The Hugging Face folder of `--model`: the folder itself, or the one a manifest names."""
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
    make = {"hf": _load_hf, "vllm": vllm_sampler}[config["engine"]]
    return make(model_folder(model), config)


def _repeated_prompts(tokenizer, messages: Iterable, n: int) -> list[list[int]]:
    from lens_impl.data.prompts import prompt_ids

    return [ids for message in messages for ids in [prompt_ids(tokenizer, message)] * n]


def _load_hf(folder: Path, config: dict) -> Sampler:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(config["threads"])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return hf_sampler(model, AutoTokenizer.from_pretrained(folder), config)


def hf_sampler(model, tokenizer, config: dict) -> Sampler:
    """Batched Hugging Face sampling (`lens_impl.generation`): a seed decides its completion."""
    from lens_impl.generation import sample

    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def generate(messages: Sequence, seeds: Sequence[int]) -> pd.DataFrame:
        prompts = _repeated_prompts(tokenizer, messages, config["n"])
        completions = []
        for start in range(0, len(prompts), config["batch_size"]):
            chosen = slice(start, start + config["batch_size"])
            completions += sample(
                model,
                prompts[chosen],
                seeds[chosen],
                max_new_tokens=config["max_response_tokens"],
                temperature=config["temperature"],
                top_p=config["top_p"],
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=pad,
                batch_size=config["batch_size"],
            )
        texts = [
            tokenizer.decode(completion.token_ids, skip_special_tokens=True)
            for completion in completions
        ]
        return pd.DataFrame(
            {
                "response": texts,
                "length": [len(completion.token_ids) for completion in completions],
                "log_prob": [float(sum(completion.log_probs)) for completion in completions],
                "finished": [completion.finished for completion in completions],
            }
        )

    return generate


def vllm_sampler(folder: Path, config: dict) -> Sampler:
    """vLLM, with a seed a request. vLLM schedules dynamically, so its samples are reproducible only
    up to the rounding of its batches. config also: device, gpus."""
    try:
        from vllm import LLM, SamplingParams
    except ImportError as error:
        raise UserError(
            "Evaluation with engine vllm needs vLLM, which this environment lacks. Use the "
            "environment train_gpu, or set train.engine to hf."
        ) from error
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    # As in training: vLLM's own choice for a float32 checkpoint is another precision.
    cuda = config["device"] == "cuda"
    # On a processor vLLM is only tested: a cache of 1 GiB, not of all memory, and no compiler.
    small = {"kv_cache_memory_bytes": 2**30, "enforce_eager": True}
    # vllm/v1/worker/gpu_model_runner.py rewinds the random numbers of a request whose prompt it has
    # split, and a processor's generator cannot go back.
    small["enable_chunked_prefill"] = False
    llm = LLM(
        model=str(folder),
        dtype="bfloat16" if cuda else "float32",
        tensor_parallel_size=config["gpus"] if cuda else 1,
        logprobs_mode="processed_logprobs",
        **({} if cuda else small),
    )

    def generate(messages: Sequence, seeds: Sequence[int]) -> pd.DataFrame:
        prompts = _repeated_prompts(tokenizer, messages, config["n"])
        params = [
            SamplingParams(
                temperature=config["temperature"],
                top_p=config["top_p"],
                max_tokens=config["max_response_tokens"],
                seed=seed,
                logprobs=0,  # the sampled token's own log-probability
            )
            for seed in seeds
        ]
        requests = llm.generate([{"prompt_token_ids": ids} for ids in prompts], params)
        outputs = [request.outputs[0] for request in requests]
        return pd.DataFrame(
            {
                "response": [output.text for output in outputs],
                "length": [len(output.token_ids) for output in outputs],
                "log_prob": [output.cumulative_logprob for output in outputs],
                "finished": [output.finish_reason == "stop" for output in outputs],
            }
        )

    return generate
