"""From raw sets to the parquet files that training and evaluation read.

    python -m lens_impl.data.prepare mix ...         MATH plus a second source, with its data card
    python -m lens_impl.data.prepare evaluation ...  one evaluation set, with a report

Choices the paper leaves open: which rows are dropped (all reasons are counted in the report), what
counts as a repeat (matching.py), a problem with two answers is dropped whole, an answer that
Math-Verify does not accept as its own equal is no training signal and is dropped, and a source
smaller than the asked size is used whole with a warning (DAPO-Math-17k holds about 17.4 thousand
different problems, the paper samples 17,500).
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lens_impl.data.card import card, provenance
from lens_impl.data.matching import EvaluationIndex
from lens_impl.data.sources import LANGUAGES, TRAINING, Problem, read_problems, set_files
from lens_impl.data.unique import same_answer, sample, unique, unusable_answers
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
    """(data source, problem) pairs as the columns that verl reads, one row a problem.

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


class PromptLengths:
    """Tokens of a problem's prompt for each model that is trained on it.

    models: name -> Hugging Face folder, whose tokenizer carries the model's template.
    """

    def __init__(self, models: dict[str, str], instruction: str):
        self.instruction = instruction
        self.tokenizers = {}
        if models:
            from transformers import AutoTokenizer

            self.tokenizers = {
                name: AutoTokenizer.from_pretrained(folder) for name, folder in models.items()
            }

    def count(self, problem: Problem) -> dict[str, int]:
        prompt = messages(problem, self.instruction)
        return {name: len(prompt_ids(t, prompt)) for name, t in self.tokenizers.items()}

    def of(self, problems: list[Problem]) -> pd.DataFrame:
        """One row a problem, one column a model."""
        return pd.DataFrame(
            [self.count(problem) for problem in problems], columns=list(self.tokenizers)
        )


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
    folder: Path, name: str, instruction: str = "", models: dict[str, str] | None = None
) -> tuple[pd.DataFrame, dict]:
    """The evaluation set `name` in file order, and its report.

    `unparseable_answers` of the report: problems that no response can solve for the grader.
    """
    problems = read_evaluation(folder, name)
    unusable = unusable_answers(problem.answer for problem in problems)
    report = {
        "set": name,
        "provenance": provenance(folder, [f"{name}_test"]),
        "rows": len(problems),
        "levels": _counts(problem.level for problem in problems),
        "types": _counts(problem.type for problem in problems),
        "prompt_tokens": describe_lengths(PromptLengths(models or {}, instruction).of(problems)),
        "unparseable_answers": [
            {"problem_id": problem.id, "answer": problem.answer, "status": unusable[problem.answer]}
            for problem in problems
            if problem.answer in unusable
        ],
    }
    return to_frame([(name, row) for row in problems], "test", instruction), report


def prepare_mix(
    sizes: dict[str, int | None],
    folder: Path,
    evaluation_sets: list[str],
    seed: int,
    *,
    strict: bool = False,
    languages: list[str] | None = None,
    instruction: str = "",
    models: dict[str, str] | None = None,
    max_prompt_tokens: int | None = None,
) -> tuple[pd.DataFrame, dict]:
    """The training mix in shuffled order, and its report.

    sizes: source -> number of problems (None: all), in order of precedence among duplicates.
    models: name -> folder; a prompt longer than max_prompt_tokens for one of them is dropped, so
    that all train on the same problems. For each source and in total, the report's rows_in =
    rows_out + the sum of dropped.
    """
    if unknown := set(sizes) - set(TRAINING):
        raise UserError(
            f"unknown source {sorted(unknown)[0]!r} in data.mixes. "
            f"Hint: the sources are {', '.join(TRAINING)}."
        )
    if unknown := set(languages or ()) - set(LANGUAGES):
        raise UserError(
            f"unknown language {sorted(unknown)[0]!r} in data.languages. "
            f"Hint: the languages are {', '.join(LANGUAGES)}; null keeps all."
        )
    evaluation = EvaluationIndex(
        (row for name in evaluation_sets for row in read_evaluation(folder, name)), same_answer
    )
    measure = PromptLengths(models or {}, instruction)
    taken: set[str] = set()
    pairs: list[tuple[str, Problem]] = []
    lengths = []
    reports, warnings = {}, []
    for source, size in sizes.items():
        rows = read_problems(folder, TRAINING[source], strict)
        problems, drops, near = unique(rows, evaluation, taken, languages)
        tokens = measure.of(problems)
        if max_prompt_tokens is not None:
            fits = (tokens <= max_prompt_tokens).all(axis=1).tolist()
            drops["prompt_too_long"] = len(problems) - sum(fits)
            problems = [problem for problem, fit in zip(problems, fits, strict=True) if fit]
            tokens = tokens[fits]
        chosen = sample(problems, size, stable_hash("sample", seed, source))
        if size is not None and size > len(problems):
            warnings.append(
                f"{source}: {size} problems asked, {len(problems)} usable, all of them taken"
            )
        drops["not_sampled"] = len(problems) - len(chosen)
        taken |= {problem.key for problem in problems}
        pairs += [(source, problem) for problem in chosen]
        lengths.append(tokens)
        reports[source] = {
            "rows_in": len(chosen) + drops.total(),
            "dropped": dict(sorted((+drops).items())),
            "rows_out": len(chosen),
            "asked": size,
            "levels": _counts(problem.level for problem in chosen),
            "types": _counts(problem.type for problem in chosen),
            "near_evaluation_problems": near,
        }
    order = np.random.default_rng(stable_hash("mix order", seed)).permutation(len(pairs))
    pairs = [pairs[i] for i in order]
    dropped = sum((Counter(part["dropped"]) for part in reports.values()), Counter())
    report = {
        "seed": seed,
        "evaluation_sets": evaluation_sets,
        "languages": languages,
        "instruction": instruction,
        "provenance": provenance(
            folder,
            [TRAINING[name] for name in sizes] + [f"{name}_test" for name in evaluation_sets],
        ),
        "rows_in": sum(part["rows_in"] for part in reports.values()),
        "dropped": dict(sorted(dropped.items())),
        "rows_out": len(pairs),
        "levels": _counts(problem.level for _, problem in pairs),
        "types": _counts(problem.type for _, problem in pairs),
        "max_prompt_tokens": max_prompt_tokens,
        "prompt_tokens": describe_lengths(pd.concat(lengths)),
        "sources": reports,
        "warnings": warnings,
    }
    return to_frame(pairs, "train", instruction), report


def _counts(values: Iterable[object]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, values)).items()))


def mix_command(arguments: argparse.Namespace) -> None:
    frame, report = prepare_mix(
        arguments.sizes,
        arguments.raw,
        arguments.evaluation_sets,
        arguments.seed,
        strict=arguments.strict,
        languages=arguments.languages,
        instruction=arguments.instruction,
        models=arguments.models,
        max_prompt_tokens=arguments.max_prompt_tokens,
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
    frame, report = prepare_evaluation(
        arguments.raw, arguments.set, arguments.instruction, arguments.models
    )
    longest = {name: round(tokens["max"]) for name, tokens in report["prompt_tokens"].items()}
    limit = arguments.max_prompt_tokens
    if limit is not None and any(length > limit for length in longest.values()):
        raise UserError(
            f"evaluation set {arguments.set!r} has a prompt of {max(longest.values())} tokens, but "
            f"train.max_prompt_tokens is {limit} and no evaluation problem is dropped. "
            f"Hint: set it to at least {max(longest.values())}."
        )
    for problem in report["unparseable_answers"]:
        print(f"warning: {arguments.set}: no response can be graded: {problem}", file=sys.stderr)
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
        command.add_argument("--instruction", default="", help="text put after each problem")
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
