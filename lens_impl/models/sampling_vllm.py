"""Completions by vLLM, reproducible up to the rounding of its batches."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lens_impl.errors import UserError
from lens_impl.models.prompts import Sampler, repeated_prompts


def load_vllm(folder: Path, config: dict) -> Sampler:
    """The vLLM sampler of a model folder, with one seed per request.

    vLLM schedules dynamically, so samples are reproducible only up to the rounding of its batches.
    config: n, max_response_tokens, temperature, top_p, device, gpus. UserError without vLLM.
    """
    try:
        from vllm import LLM, SamplingParams
    except ImportError as error:
        raise UserError(
            "Evaluation with engine vllm needs vLLM, which this environment lacks. Use the "
            "environment train_gpu, or set train.engine to hf."
        ) from error
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    # The precision of training; vLLM itself would load a float32 checkpoint in another one.
    cuda = config["device"] == "cuda"
    # On a CPU vLLM serves for tests only: a cache of 1 GiB instead of all memory, no compiler.
    small = {"kv_cache_memory_bytes": 2**30, "enforce_eager": True}
    # vllm/v1/worker/gpu_model_runner.py rewinds the random numbers of a request whose prompt it has
    # split, and a CPU's generator cannot go back.
    small["enable_chunked_prefill"] = False
    llm = LLM(
        model=str(folder),
        dtype="bfloat16" if cuda else "float32",
        tensor_parallel_size=config["gpus"] if cuda else 1,
        logprobs_mode="processed_logprobs",
        **({} if cuda else small),
    )

    def generate(messages: Sequence, seeds: Sequence[int]) -> pd.DataFrame:
        prompts = repeated_prompts(tokenizer, messages, config["n"])
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
