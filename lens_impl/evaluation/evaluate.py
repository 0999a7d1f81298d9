"""Evaluation: n samples of every problem, one grader, and the unbiased Pass@k (section 6).

The paper evaluates as it trains: temperature 1, top-p 1, Math-Verify, n = 16.

An evaluation set can have its own n and k: both commands are given them in --config.

    python -m lens_impl.evaluation.evaluate sample   one shard of problems -> completions
    python -m lens_impl.evaluation.evaluate score    all shards -> graded samples and Pass@k
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from lens_impl.errors import UserError, run_cli
from lens_impl.evaluation.counts import incomplete, problem_counts
from lens_impl.evaluation.intervals import pass_at_k_interval
from lens_impl.evaluation.levels import level_masks
from lens_impl.experiments.samples import check_samples
from lens_impl.files import read_parquet, write_csv, write_parquet
from lens_impl.grading.grader import grade_many
from lens_impl.identity import fingerprint, stable_hash
from lens_impl.models.sampling import Sampler, model_folder, sampler

UNJUDGED = ("timeout", "bad_gold", "error")  # counted as not correct, and always reported


def sample_problems(
    sample: Callable[[], Sampler],
    problems: pd.DataFrame,
    config: dict,
    shard: int,
    shards: int,
    parts: Path,
) -> pd.DataFrame:
    """n completions of each problem of one shard, one row per sample.

    Sample k of a problem depends on the evaluation seed, the problem and k, so the number of shards
    does not change the samples (up to the rounding of batched matrix products). Completions are
    saved to `parts` every `batch_size`, so a killed job resumes there; the caller deletes the
    folder. sample: loads the model; not called where nothing is left to do.
    """
    if not 0 <= shard < shards:
        raise UserError(f"--shard {shard} is not a shard of {shards}: use 0 to {shards - 1}.")
    check_samples(config["n"], config["k"])
    problems = problems.iloc[shard::shards]
    at_once = max(1, config["batch_size"] // config["n"])
    starts = range(0, len(problems), at_once)
    files = [parts / f"{start:06}.parquet" for start in starts]
    missing = [part for part in zip(starts, files, strict=True) if not part[1].exists()]
    if missing:
        generate = sample()
        for start, file in missing:
            chosen = problems.iloc[start : start + at_once]
            write_parquet(file, completions(generate, chosen, config))
            print(f"sampled problem {start + len(chosen)}/{len(problems)}", file=sys.stderr)
    return pd.concat(map(pd.read_parquet, files), ignore_index=True)


def completions(
    generate: Sampler, problems: pd.DataFrame, config: dict, purpose: str = "evaluate"
) -> pd.DataFrame:
    """n completions of each prepared problem, one row per sample.

    Columns problem_id, sample, level, type, gold, response, length, log_prob, finished.
    purpose: another one draws other samples of the same problems.
    """
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
        stable_hash(purpose, config["seed"], problem_id, index)
        for problem_id, index in zip(rows["problem_id"], rows["sample"], strict=True)
    ]
    generated = generate(problems["prompt"].tolist(), seeds)
    return pd.concat([rows.reset_index(drop=True), generated], axis=1)


def parts_folder(out: Path, model: Path, data: Path, config: dict, shards: int) -> Path:
    """The folder for the parts of a shard: another one for other samples."""
    inputs = fingerprint(data, model_folder(model))
    digest = stable_hash(json.dumps([config, shards, inputs], sort_keys=True))
    return out.with_name(f"{out.stem}.parts") / f"{digest:016x}"


def score_samples(samples: pd.DataFrame, config: dict) -> pd.DataFrame:
    """Graded samples, sorted by problem and sample.

    UserError unless every problem has exactly the samples 0 to n - 1.
    """
    samples = samples.sort_values(["problem_id", "sample"], ignore_index=True)
    n = config["n"]
    if problems := incomplete(samples, n):
        raise UserError(
            f"problem {problems[0]} does not have the samples 0 to {n - 1} once "
            f"each. Give --shards every shard of one evaluation once, sampled with n = {n}."
        )
    return graded(samples, config["threads"])


def graded(samples: pd.DataFrame, workers: int) -> pd.DataFrame:
    """The samples with the columns extracted, correct and status."""
    grades = grade_many(samples["gold"].tolist(), samples["response"].tolist(), workers=workers)
    return samples.assign(
        extracted=[grade.extracted for grade in grades],
        correct=[grade.correct for grade in grades],
        status=[grade.status for grade in grades],
    )


def pass_at_k_by_level(samples: pd.DataFrame, config: dict) -> pd.DataFrame:
    """Columns level, k, n, problems, estimate, low, high (fractions; 95 % interval over problems).

    UserError where n is smaller than the largest k.
    """
    check_samples(config["n"], config["k"])
    counts = problem_counts(samples)
    rows = []
    for level, mask in level_masks(counts["level"]).items():
        subset = counts[mask]
        for k in config["k"]:
            interval = pass_at_k_interval(subset["n"], subset["correct"], k)
            size = {"k": k, "n": config["n"], "problems": len(subset)}
            rows.append({"level": level} | size | asdict(interval))
    return pd.DataFrame(rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lens_impl.evaluation.evaluate", description=__doc__
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    sample = verbs.add_parser("sample", help="sample one shard of an evaluation set")
    sample.add_argument("--model", type=Path, required=True, help="model folder or manifest.json")
    sample.add_argument("--data", type=Path, required=True, help="eval_{set}.parquet")
    sample.add_argument("--shard", type=int, required=True, help="0 to shards - 1")
    sample.add_argument("--shards", type=int, required=True)
    sample.add_argument("--out", type=Path, required=True, help="parquet, one row per sample")
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
        parts = parts_folder(args.out, args.model, args.data, args.config, args.shards)
        load = partial(sampler, args.model, args.config)
        samples = sample_problems(load, problems, args.config, args.shard, args.shards, parts)
        write_parquet(args.out, samples)
        shutil.rmtree(parts.parent)
        return
    samples = score_samples(pd.concat(map(read_parquet, args.shards)), args.config)
    passes = pass_at_k_by_level(samples, args.config)
    write_parquet(args.out, samples)
    write_csv(args.pass_at_k, passes)
    statuses = samples["status"].value_counts()
    print(", ".join(f"{count} {status}" for status, count in statuses.items()), file=sys.stderr)


if __name__ == "__main__":
    run_cli(main)
