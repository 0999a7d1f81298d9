"""From raw sets to the parquet files that training and evaluation read.

    python -m lens_impl.data.prepare mix ...         MATH plus a second source, with a report
    python -m lens_impl.data.prepare evaluation ...  one evaluation set

Choices the paper leaves open: which rows are dropped (all reasons are counted in the report), two
spellings of a problem are one when they agree without white space and $, a problem with two
answers is dropped whole, and a source smaller than the asked size is used whole with a warning
(DAPO-Math-17k holds about 17.4 thousand different problems, the paper samples 17,500).
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

from lens_impl.data.sources import (
    LANGUAGES,
    SOURCES,
    Problem,
    find_file,
    parse_math,
    read_problems,
)
from lens_impl.errors import UserError, run_cli
from lens_impl.files import stable_hash, write_json, write_parquet
from lens_impl.grading import grade


def same_answer(first: str, second: str) -> bool:
    r"""Equal as text, or for the grader: \frac13 and \frac{1}{3}."""
    return first == second or grade(first, f"\\boxed{{{second}}}").correct


def unique(
    rows: Iterable[Problem | str],
    evaluation_keys: set[str],
    earlier_keys: set[str],
    languages: list[str] | None = None,
) -> tuple[list[Problem], Counter]:
    """The usable problems of one source in file order, each once, and the drops by reason.

    evaluation_keys, earlier_keys: normalised texts of evaluation problems and of the sources
    before this one. languages: those to keep, None for all.
    """
    drops: Counter = Counter()
    first: dict[str, Problem] = {}
    copies: Counter = Counter()
    conflicting = set()
    for row in rows:
        if isinstance(row, str):
            drops[row] += 1
            continue
        key = row.key
        if languages is not None and row.language not in languages:
            drops["language"] += 1
        elif key in evaluation_keys:
            drops["in_evaluation_set"] += 1
        elif key in earlier_keys:
            drops["duplicate_across_sources"] += 1
        else:
            if not same_answer(first.setdefault(key, row).answer, row.answer):
                conflicting.add(key)
            copies[key] += 1
    for key, count in copies.items():
        if key in conflicting:
            drops["conflicting_answers"] += count
        elif count > 1:
            drops["duplicate"] += count - 1
    return [problem for key, problem in first.items() if key not in conflicting], drops


def sample(problems: list[Problem], size: int | None, seed: int) -> list[Problem]:
    """A random subset in the given order; all problems where size is None or not smaller."""
    if size is None or size >= len(problems):
        return problems
    chosen = np.random.default_rng(seed).choice(len(problems), size, replace=False)
    return [problems[i] for i in sorted(chosen)]


def to_frame(
    problems: list[tuple[str, Problem]], split: str, instruction: str = ""
) -> pd.DataFrame:
    """(data source, problem) pairs as the columns that verl reads, one row a problem.

    instruction: text put after each problem, with a blank line between.
    """
    return pd.DataFrame(
        {
            "data_source": source,
            "prompt": [
                {
                    "role": "user",
                    "content": f"{problem.text}\n\n{instruction}" if instruction else problem.text,
                }
            ],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": problem.answer},
            "extra_info": {
                "problem_id": hashlib.sha256(problem.key.encode()).hexdigest()[:16],
                "level": problem.level,
                "type": problem.type,
                "split": split,
                "index": index,
            },
        }
        for index, (source, problem) in enumerate(problems)
    )


def read_evaluation(folder: Path, name: str) -> list[Problem]:
    """All problems of {name}_test; an evaluation set loses no row in silence."""
    problems = []
    for number, row in enumerate(read_problems(folder, f"{name}_test", parse_math), start=1):
        if isinstance(row, str):
            raise UserError(
                f"row {number} of {find_file(folder, f'{name}_test')} cannot be evaluated: {row}. "
                "Hint: every row needs an answer (a box in `solution`, or `answer`) and, where "
                "it has one, a level from 1 to 5; correct or remove it."
            )
        problems.append(row)
    return problems


def prepare_evaluation(folder: Path, name: str, instruction: str = "") -> pd.DataFrame:
    """The evaluation set `name`, in file order."""
    return to_frame([(name, row) for row in read_evaluation(folder, name)], "test", instruction)


def prepare_mix(
    sizes: dict[str, int | None],
    folder: Path,
    evaluation_sets: list[str],
    seed: int,
    *,
    strict: bool = False,
    languages: list[str] | None = None,
    instruction: str = "",
) -> tuple[pd.DataFrame, dict]:
    """The training mix in shuffled order, and its report.

    sizes: source -> number of problems (None: all), in order of precedence among duplicates.
    For each source and in total, the report's rows_in = rows_out + the sum of dropped.
    """
    if unknown := set(sizes) - set(SOURCES):
        raise UserError(
            f"unknown source {sorted(unknown)[0]!r} in data.mixes. "
            f"Hint: the sources are {', '.join(SOURCES)}."
        )
    if unknown := set(languages or ()) - set(LANGUAGES):
        raise UserError(
            f"unknown language {sorted(unknown)[0]!r} in data.languages. "
            f"Hint: the languages are {', '.join(LANGUAGES)}; null keeps all."
        )
    evaluation_keys = {row.key for name in evaluation_sets for row in read_evaluation(folder, name)}
    taken: set[str] = set()
    pairs: list[tuple[str, Problem]] = []
    reports, warnings = {}, []
    for source, size in sizes.items():
        name, parse = SOURCES[source]
        rows = read_problems(folder, name, parse, strict)
        problems, drops = unique(rows, evaluation_keys, taken, languages)
        chosen = sample(problems, size, stable_hash("sample", seed, source))
        if size is not None and size > len(problems):
            warnings.append(
                f"{source}: {size} problems asked, {len(problems)} usable, all of them taken"
            )
        drops["not_sampled"] = len(problems) - len(chosen)
        taken |= {problem.key for problem in problems}
        pairs += [(source, problem) for problem in chosen]
        reports[source] = {
            "rows_in": len(chosen) + drops.total(),
            "dropped": dict(+drops),
            "rows_out": len(chosen),
            "asked": size,
            "levels": _levels(chosen),
        }
    order = np.random.default_rng(stable_hash("mix order", seed)).permutation(len(pairs))
    pairs = [pairs[i] for i in order]
    report = {
        "seed": seed,
        "evaluation_sets": evaluation_sets,
        "languages": languages,
        "rows_in": sum(part["rows_in"] for part in reports.values()),
        "dropped": dict(sum((Counter(part["dropped"]) for part in reports.values()), Counter())),
        "rows_out": len(pairs),
        "levels": _levels([problem for _, problem in pairs]),
        "sources": reports,
        "warnings": warnings,
    }
    return to_frame(pairs, "train", instruction), report


def _levels(problems: list[Problem]) -> dict[str, int]:
    return dict(Counter(str(problem.level) for problem in problems))


def mix_command(arguments: argparse.Namespace) -> None:
    frame, report = prepare_mix(
        arguments.sizes,
        arguments.raw,
        arguments.evaluation_sets,
        arguments.seed,
        strict=arguments.strict,
        languages=arguments.languages,
        instruction=arguments.instruction,
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
    write_json(arguments.report, {"mix": arguments.mix, "sha256": digest} | report)


def evaluation_command(arguments: argparse.Namespace) -> None:
    frame = prepare_evaluation(arguments.raw, arguments.set, arguments.instruction)
    write_parquet(arguments.out, frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    mix = commands.add_parser("mix", help="a training mix and its report")
    mix.add_argument("--mix", required=True, help="name of the mix")
    mix.add_argument("--sizes", type=json.loads, required=True, help="JSON: source -> size or null")
    mix.add_argument("--evaluation-sets", type=json.loads, required=True, help="JSON list")
    mix.add_argument("--seed", type=int, required=True)
    mix.add_argument("--strict", action="store_true", help="stop at a row without usable answer")
    mix.add_argument("--languages", type=json.loads, help="JSON list of en, zh; null: all")
    mix.add_argument("--report", type=Path, required=True)
    mix.set_defaults(command=mix_command)

    evaluation = commands.add_parser("evaluation", help="an evaluation set")
    evaluation.add_argument("--set", required=True, help="name; reads {name}_test")
    evaluation.set_defaults(command=evaluation_command)

    for command in (mix, evaluation):
        command.add_argument("--raw", type=Path, required=True, help="folder with the sets")
        command.add_argument("--instruction", default="", help="text put after each problem")
        command.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    run_cli(main)
