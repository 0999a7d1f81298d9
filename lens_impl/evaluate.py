"""Evaluation: n samples of every problem, one grader, and the unbiased Pass@k (section 6).

The paper evaluates as it trains: temperature 1, top-p 1, Math-Verify, n = 16.

    python -m lens_impl.evaluate sample   one shard of problems -> completions
    python -m lens_impl.evaluate score    all shards -> graded samples and Pass@k by level
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from lens_impl.errors import UserError, run_cli
from lens_impl.files import stable_hash, write_csv, write_parquet
from lens_impl.grading import grade_many
from lens_impl.passk import pass_at_k
from lens_impl.statistics import bootstrap_interval

HARD_LEVELS = (4, 5)  # the paper's hard subset, "Levels 4-5"
UNJUDGED = ("timeout", "bad_gold", "error")  # counted as not correct, and always reported


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


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """pandas.read_parquet; a UserError where there is no such file."""
    if not path.is_file():
        raise UserError(f"{path} does not exist. Hint: make it with `snakemake {path}`.")
    return pd.read_parquet(path, columns=columns)


def sample_problems(
    model: Path, problems: pd.DataFrame, config: dict, shard: int, shards: int
) -> pd.DataFrame:
    """n completions of each problem of one shard, one row a sample.

    A sample's seed depends on the evaluation seed, its problem and its index, so the number of
    shards does not change the samples (up to the rounding of batched matrix products).
    """
    if not 0 <= shard < shards:
        raise UserError(f"--shard {shard} is not a shard of {shards}: use 0 to {shards - 1}.")
    _check_n(config)
    problems = problems.iloc[shard::shards]
    info = pd.DataFrame(problems["extra_info"].tolist())
    rows = pd.DataFrame(
        {
            "problem_id": info["problem_id"].astype(str),
            "level": info["level"].astype(int),
            "type": info["type"],
            "gold": [reward_model["ground_truth"] for reward_model in problems["reward_model"]],
        }
    )
    rows = rows.loc[rows.index.repeat(config["n"])]
    rows.insert(1, "sample", np.tile(np.arange(config["n"]), len(problems)))
    seeds = [
        stable_hash("evaluate", config["seed"], problem_id, index)
        for problem_id, index in zip(rows["problem_id"], rows["sample"], strict=True)
    ]
    generate = {"hf": _generate_hf, "vllm": _generate_vllm}[config["engine"]]
    generated = generate(model_folder(model), problems["prompt"], seeds, config)
    return pd.concat([rows.reset_index(drop=True), generated], axis=1)


def _repeated_prompts(tokenizer, messages: Iterable, n: int) -> list[list[int]]:
    from lens_impl.data.prompts import prompt_ids

    return [ids for message in messages for ids in [prompt_ids(tokenizer, message)] * n]


def _generate_hf(folder: Path, messages: Iterable, seeds: list[int], config: dict) -> pd.DataFrame:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lens_impl.generation import sample

    torch.set_num_threads(config["threads"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    prompts = _repeated_prompts(tokenizer, messages, config["n"])
    completions = []
    started = time.monotonic()
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
        seconds = time.monotonic() - started
        print(f"sampled {len(completions)}/{len(prompts)} in {seconds:.0f} s", file=sys.stderr)
    return pd.DataFrame(
        {
            "response": [
                tokenizer.decode(completion.token_ids, skip_special_tokens=True)
                for completion in completions
            ],
            "length": [len(completion.token_ids) for completion in completions],
            "log_prob": [float(sum(completion.log_probs)) for completion in completions],
            "finished": [completion.finished for completion in completions],
        }
    )


def _generate_vllm(
    folder: Path, messages: Iterable, seeds: list[int], config: dict
) -> pd.DataFrame:
    """vLLM on a GPU, with a seed a request. vLLM schedules dynamically, so its samples are
    reproducible only up to the rounding of its batches."""
    try:
        from vllm import LLM, SamplingParams
    except ImportError as error:
        raise UserError(
            "Evaluation with engine vllm needs vLLM, which this environment lacks. Use the "
            "environment train_gpu, or set train.engine to hf."
        ) from error
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [
        {"prompt_token_ids": ids} for ids in _repeated_prompts(tokenizer, messages, config["n"])
    ]
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
    outputs = [request.outputs[0] for request in LLM(model=str(folder)).generate(prompts, params)]
    return pd.DataFrame(
        {
            "response": [output.text for output in outputs],
            "length": [len(output.token_ids) for output in outputs],
            "log_prob": [output.cumulative_logprob for output in outputs],
            "finished": [output.finish_reason == "stop" for output in outputs],
        }
    )


def score_samples(samples: pd.DataFrame, config: dict) -> pd.DataFrame:
    """Add extracted, correct and status; rows in the order of problem and sample.

    Raises UserError unless every problem has exactly the samples 0 to n - 1.
    """
    samples = samples.sort_values(["problem_id", "sample"], ignore_index=True)
    n = config["n"]
    complete = samples.groupby("problem_id")["sample"].agg(list).map(list(range(n)).__eq__)
    if not complete.all():
        raise UserError(
            f"problem {complete.index[~complete][0]} does not have the samples 0 to {n - 1} once "
            f"each. Give --shards every shard of one evaluation once, sampled with n = {n}."
        )
    grades = grade_many(
        samples["gold"].tolist(), samples["response"].tolist(), workers=config["threads"]
    )
    return samples.assign(
        extracted=[grade.extracted for grade in grades],
        correct=[grade.correct for grade in grades],
        status=[grade.status for grade in grades],
    )


def problem_counts(samples: pd.DataFrame) -> pd.DataFrame:
    """Index problem_id; columns level, n (samples) and correct (how many are right)."""
    return samples.groupby("problem_id").agg(
        level=("level", "first"), n=("correct", "size"), correct=("correct", "sum")
    )


def level_subsets(levels: pd.Series) -> dict[str, pd.Series]:
    """Masks by name: all, each level that occurs (0 = unknown is left out), and Levels 4-5."""
    subsets = {"all": pd.Series(True, index=levels.index)}
    subsets |= {str(level): levels == level for level in sorted(set(levels) - {0})}
    if levels.isin(HARD_LEVELS).any():
        subsets["4-5"] = levels.isin(HARD_LEVELS)
    return subsets


def pass_at_k_by_level(samples: pd.DataFrame, config: dict) -> pd.DataFrame:
    """Columns level, k, n, problems, estimate, low, high (fractions; 95 % interval over problems).

    Raises UserError where n is smaller than the largest k.
    """
    _check_n(config)
    counts = problem_counts(samples)
    rows = []
    for level, mask in level_subsets(counts["level"]).items():
        subset = counts[mask]
        for k in config["k"]:
            values = pass_at_k(subset["n"].to_numpy(), subset["correct"].to_numpy(), k)
            interval = bootstrap_interval(values, seed=config["seed"])
            size = {"k": k, "n": config["n"], "problems": len(subset)}
            rows.append({"level": level} | size | asdict(interval))
    return pd.DataFrame(rows)


def _check_n(config: dict) -> None:
    if config["n"] < max(config["k"]):
        raise UserError(
            f"Pass@{max(config['k'])} cannot be estimated from evaluate.n = {config['n']} samples "
            f"a problem. Raise evaluate.n to at least {max(config['k'])}, or shorten evaluate.k."
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lens_impl.evaluate", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    sample = verbs.add_parser("sample", help="sample one shard of an evaluation set")
    sample.add_argument("--model", type=Path, required=True, help="model folder or manifest.json")
    sample.add_argument("--data", type=Path, required=True, help="eval_{set}.parquet")
    sample.add_argument("--shard", type=int, required=True, help="0 to shards - 1")
    sample.add_argument("--shards", type=int, required=True)
    sample.add_argument("--out", type=Path, required=True, help="parquet, one row a sample")
    score = verbs.add_parser("score", help="grade all shards and estimate Pass@k")
    score.add_argument("--shards", type=Path, nargs="+", required=True, help="outputs of sample")
    score.add_argument("--out", type=Path, required=True, help="samples_{set}.parquet")
    score.add_argument("--pass-at-k", type=Path, required=True, help="pass_at_k_{set}.csv")
    for verb in (sample, score):
        verb.add_argument(
            "--config",
            type=json.loads,
            required=True,
            help="JSON: n, k, seed, batch_size, max_response_tokens, temperature, top_p, engine, "
            "threads",
        )
    return parser.parse_args()


def main() -> None:
    args = _parse()
    if args.verb == "sample":
        problems = read_parquet(args.data)
        samples = sample_problems(args.model, problems, args.config, args.shard, args.shards)
        write_parquet(args.out, samples)
        return
    samples = score_samples(pd.concat(map(read_parquet, args.shards)), args.config)
    passes = pass_at_k_by_level(samples, args.config)
    write_parquet(args.out, samples)
    write_csv(args.pass_at_k, passes)
    statuses = samples["status"].value_counts()
    print(", ".join(f"{count} {status}" for status, count in statuses.items()), file=sys.stderr)


if __name__ == "__main__":
    run_cli(main)
