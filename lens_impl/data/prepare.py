"""From raw sets to the parquet files that training and evaluation read.

    python -m lens_impl.data.prepare mix ...         MATH plus a second source, with its data card
    python -m lens_impl.data.prepare evaluation ...  one evaluation set, with a report

Choices that the paper leaves open:
- which rows are dropped: every reason is counted in the report;
- what counts as a repeat: see matching.py;
- a problem with two different answers is dropped, with all its rows;
- an answer that Math-Verify does not accept as its own equal gives no reward and is dropped, and so
  is one that it accepts in its own spelling only;
- a source with fewer problems than asked is used whole, with a warning: DAPO-Math-17k has about
  17.4 thousand different problems, and the paper samples 17,500.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lens_impl.data.card import card, provenance
from lens_impl.data.matching import EvaluationIndex
from lens_impl.data.sources import (
    TRAINING,
    Problem,
    check_languages,
    check_sources,
    read_problems,
    set_files,
)
from lens_impl.data.unique import (
    MISREAD,
    Usable,
    same_answer,
    sample,
    unique,
    unusable_answers,
)
from lens_impl.errors import UserError, run_cli
from lens_impl.files import write_json, write_parquet, write_text
from lens_impl.identity import stable_hash
from lens_impl.models.prompts import prompt_ids

QUANTILES = {"min": 0, "5%": 0.05, "median": 0.5, "mean": None, "95%": 0.95, "99%": 0.99, "max": 1}


def messages(problem: Problem, instruction: str = "") -> list[dict]:
    """One user message: the problem, and the instruction after a blank line."""
    text = f"{problem.text}\n\n{instruction}" if instruction else problem.text
    return [{"role": "user", "content": text}]


def to_frame(
    problems: list[tuple[str, Problem]], split: str, instruction: str = ""
) -> pd.DataFrame:
    """(data source, problem) pairs as the columns that verl reads, one row per problem.

    instruction: text put after each problem, with a blank line between.
    """
    return pd.DataFrame(
        {
            "data_source": source,
            "prompt": messages(problem, instruction),
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": problem.answer},
            "extra_info": {
                "problem_id": problem.id,
                "level": problem.level,
                "type": problem.type,
                "split": split,
                "index": index,
            },
        }
        for index, (source, problem) in enumerate(problems)
    )


class Prompts:
    """How problems are asked: the instruction, and the length in tokens for each model.

    models: name -> Hugging Face folder, whose tokenizer has the model's template. limit: the
    longest prompt in tokens, None for any length.
    """

    def __init__(
        self,
        models: Mapping[str, str | Path] | None = None,
        instruction: str = "",
        limit: int | None = None,
    ):
        self.instruction = instruction
        self.limit = limit
        self.tokenizers = {}
        if models:
            from transformers import AutoTokenizer

            self.tokenizers = {
                name: AutoTokenizer.from_pretrained(folder) for name, folder in models.items()
            }

    def lengths(self, problems: list[Problem]) -> pd.DataFrame:
        """Tokens of each prompt: one row per problem, one column per model."""
        prompts = [messages(problem, self.instruction) for problem in problems]
        return pd.DataFrame(
            {
                name: [len(prompt_ids(tokenizer, prompt)) for prompt in prompts]
                for name, tokenizer in self.tokenizers.items()
            },
            index=range(len(problems)),
            dtype=int,
        )

    def fit(self, lengths: pd.DataFrame) -> pd.Series:
        """For each row of lengths, whether no model has a prompt above the limit."""
        limit = np.inf if self.limit is None else self.limit
        return (lengths <= limit).all(axis=1)


def describe_lengths(lengths: pd.DataFrame) -> dict[str, dict[str, float]]:
    """model -> quantiles of its prompt lengths in tokens; nothing for no problems."""
    return {
        name: {
            label: round(float(column.mean() if q is None else column.quantile(q)), 1)
            for label, q in QUANTILES.items()
        }
        for name, column in lengths.items()
        if len(column)
    }


def read_evaluation(folder: Path, name: str) -> list[Problem]:
    """All problems of {name}_test; an evaluation set loses no row in silence."""
    problems = []
    for number, row in enumerate(read_problems(folder, f"{name}_test"), start=1):
        if isinstance(row, str):
            raise UserError(
                f"row {number} of {set_files(folder, f'{name}_test')[0]} cannot be evaluated: "
                f"{row}. Hint: every row needs an answer (a box in `solution`, or `answer`) and, "
                "where it has one, a level from 1 to 5; correct or remove it."
            )
        problems.append(row)
    return problems


def prepare_evaluation(
    folder: Path, name: str, prompts: Prompts | None = None
) -> tuple[pd.DataFrame, dict]:
    """The evaluation set `name` in file order, and its report.

    `unparseable_answers` of the report: problems that no response can solve for the grader, and
    those that a right answer solves in the gold answer's own spelling only (status `misread`).
    UserError where a prompt is too long, since an evaluation set loses no problem.
    """
    prompts = prompts or Prompts()
    problems = read_evaluation(folder, name)
    unusable = unusable_answers(problem.answer for problem in problems)
    lengths = prompts.lengths(problems)
    if not prompts.fit(lengths).all():
        longest = lengths.max().max()
        raise UserError(
            f"evaluation set {name!r} has a prompt of {longest} tokens, but "
            f"train.max_prompt_tokens is {prompts.limit} and no evaluation problem is dropped. "
            f"Hint: set it to at least {longest}."
        )
    report = {
        "set": name,
        "provenance": provenance(folder, [f"{name}_test"]),
        "rows": len(problems),
        "levels": _counts(problem.level for problem in problems),
        "types": _counts(problem.type for problem in problems),
        "prompt_tokens": describe_lengths(lengths),
        "unparseable_answers": [
            {"problem_id": problem.id, "answer": problem.answer, "status": unusable[problem.answer]}
            for problem in problems
            if problem.answer in unusable
        ],
    }
    return to_frame([(name, row) for row in problems], "test", prompts.instruction), report


@dataclass(frozen=True)
class Prepared:
    """One source of a mix.

    usable: its problems before sampling; problems: the sampled ones; lengths: prompt tokens of
    `usable`, one column per model.
    """

    usable: list[Problem]
    problems: list[Problem]
    lengths: pd.DataFrame
    report: dict


def prepare_source(found: Usable, size: int | None, seed: int, prompts: Prompts) -> Prepared:
    """Sample `size` problems (None: all) from those with a prompt that is short enough."""
    lengths = prompts.lengths(found.problems)
    fits = prompts.fit(lengths)
    usable = [problem for problem, fit in zip(found.problems, fits, strict=True) if fit]
    problems = sample(usable, size, seed)
    drops = found.drops + Counter(
        prompt_too_long=len(found.problems) - len(usable),
        not_sampled=len(usable) - len(problems),
    )
    report = {
        "rows_in": len(problems) + drops.total(),
        "dropped": dict(sorted(drops.items())),
        "rows_out": len(problems),
        "asked": size,
        "levels": _counts(problem.level for problem in problems),
        "types": _counts(problem.type for problem in problems),
        "near_evaluation_problems": found.near,
    }
    return Prepared(usable, problems, lengths[fits], report)


def prepare_mix(
    sizes: Mapping[str, int | None],
    folder: Path,
    evaluation_sets: list[str],
    seed: int,
    *,
    strict: bool = False,
    languages: list[str] | None = None,
    prompts: Prompts | None = None,
) -> tuple[pd.DataFrame, dict]:
    """The training mix in shuffled order, and its report.

    sizes: source -> number of problems (None: all), in order of precedence among duplicates.
    A prompt that is too long for one model is dropped for all, so that all train on the same
    problems. For each source and in total, the report's rows_in = rows_out + the sum of dropped.
    """
    check_sources(sizes)
    check_languages(languages)
    prompts = prompts or Prompts()
    evaluation = EvaluationIndex(
        (row for name in evaluation_sets for row in read_evaluation(folder, name)), same_answer
    )
    parts: dict[str, Prepared] = {}
    earlier_keys: set[str] = set()
    for source, size in sizes.items():
        rows = read_problems(folder, TRAINING[source], strict)
        found = unique(rows, evaluation, earlier_keys, languages)
        part = prepare_source(found, size, stable_hash("sample", seed, source), prompts)
        earlier_keys |= {problem.key for problem in part.usable}
        parts[source] = part
    pairs = [(source, problem) for source, part in parts.items() for problem in part.problems]
    order = np.random.default_rng(stable_hash("mix order", seed)).permutation(len(pairs))
    pairs = [pairs[i] for i in order]
    sets = [TRAINING[source] for source in sizes] + [f"{name}_test" for name in evaluation_sets]
    report = {
        "seed": seed,
        "evaluation_sets": evaluation_sets,
        "languages": languages,
        "instruction": prompts.instruction,
        "max_prompt_tokens": prompts.limit,
        "provenance": provenance(folder, sets),
        **_total(parts),
    }
    return to_frame(pairs, "train", prompts.instruction), report


def _total(parts: dict[str, Prepared]) -> dict:
    """The part of a mix's report that adds up its sources."""
    problems = [problem for part in parts.values() for problem in part.problems]
    dropped = sum((Counter(part.report["dropped"]) for part in parts.values()), Counter[str]())
    return {
        "rows_in": len(problems) + dropped.total(),
        "dropped": dict(sorted(dropped.items())),
        "rows_out": len(problems),
        "levels": _counts(problem.level for problem in problems),
        "types": _counts(problem.type for problem in problems),
        "prompt_tokens": describe_lengths(pd.concat([part.lengths for part in parts.values()])),
        "sources": {source: part.report for source, part in parts.items()},
        "warnings": [
            f"{source}: {size} problems asked, {len(part.usable)} usable, all of them taken"
            for source, part in parts.items()
            if (size := part.report["asked"]) is not None and size > len(part.usable)
        ],
    }


def _counts(values: Iterable[object]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, values)).items()))


def _prompts(arguments: argparse.Namespace) -> Prompts:
    return Prompts(arguments.models, arguments.instruction, arguments.max_prompt_tokens)


def mix_command(arguments: argparse.Namespace) -> None:
    """Write a mix, its report and its data card. UserError where no problem is left."""
    frame, report = prepare_mix(
        arguments.sizes,
        arguments.raw,
        arguments.evaluation_sets,
        arguments.seed,
        strict=arguments.strict,
        languages=arguments.languages,
        prompts=_prompts(arguments),
    )
    if frame.empty:
        raise UserError(
            f"no problem is left in {arguments.mix}: {report['dropped']}. "
            "Hint: check data.languages and the files of data.local_dir."
        )
    for warning in report["warnings"]:
        print(f"warning: {arguments.mix}: {warning}", file=sys.stderr)
    write_parquet(arguments.out, frame)
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    report = {"mix": arguments.mix, "sha256": digest} | report
    write_json(arguments.report, report)
    write_text(arguments.out_md, card(report))


def evaluation_command(arguments: argparse.Namespace) -> None:
    """Write an evaluation set and its report."""
    frame, report = prepare_evaluation(arguments.raw, arguments.set, _prompts(arguments))
    for problem in report["unparseable_answers"]:
        what = "right answers can be wrong" if problem["status"] == MISREAD else "no grade"
        print(f"warning: {arguments.set}: {what} for {problem}", file=sys.stderr)
    write_parquet(arguments.out, frame)
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    write_json(arguments.report, {"sha256": digest} | report)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    mix = commands.add_parser("mix", help="a training mix, its report and its data card")
    mix.add_argument("--mix", required=True, help="name of the mix")
    mix.add_argument("--sizes", type=json.loads, required=True, help="JSON: source -> size or null")
    mix.add_argument("--evaluation-sets", type=json.loads, required=True, help="JSON list")
    mix.add_argument("--seed", type=int, required=True)
    mix.add_argument("--strict", action="store_true", help="stop at a row without usable answer")
    mix.add_argument("--languages", type=json.loads, help="JSON list of en, zh; null: all")
    mix.add_argument("--out-md", type=Path, required=True, help="data card")
    mix.set_defaults(command=mix_command)

    evaluation = commands.add_parser("evaluation", help="an evaluation set and its report")
    evaluation.add_argument("--set", required=True, help="name; reads {name}_test")
    evaluation.set_defaults(command=evaluation_command)

    for command in (mix, evaluation):
        command.add_argument("--raw", type=Path, required=True, help="folder with the sets")
        command.add_argument("--instruction", default="", help="text after each problem")
        command.add_argument(
            "--models", type=json.loads, default={}, help="JSON: model -> folder with its tokenizer"
        )
        command.add_argument("--max-prompt-tokens", type=int, help="longest prompt for any model")
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--report", type=Path, required=True, help="json")
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    run_cli(main)
