"""Which rows of a source are training problems, and which of those are sampled."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lens_impl.data.matching import EvaluationIndex
from lens_impl.data.sources import Problem
from lens_impl.grading.grader import grade, grade_many
from lens_impl.grading.respell import respell


def same_answer(first: str, second: str) -> bool:
    r"""Equal as text, or for the grader: \frac13 and \frac{1}{3}."""
    return first == second or grade(first, f"\\boxed{{{second}}}").correct


MISREAD = "misread"


def unusable_answers(answers: Iterable[str]) -> dict[str, str]:
    """Answers that are not correct for themselves -> the status that the grader gives them.

    An answer that is correct in its own spelling only is MISREAD: the grader takes it for something
    else, which right responses do not match. Its copy is spelled as respell.py says.
    """
    answers = list(dict.fromkeys(answers))
    unusable = _not_correct({answer: answer for answer in answers})
    copies = {answer: respell(answer) for answer in answers if answer not in unusable}
    changed = {answer: copy for answer, copy in copies.items() if copy != answer}
    return unusable | dict.fromkeys(_not_correct(changed), MISREAD)


def _not_correct(copies: dict[str, str]) -> dict[str, str]:
    """Answers whose copy is not correct for them -> its status."""
    grades = grade_many(list(copies), [f"\\boxed{{{copy}}}" for copy in copies.values()])
    return {
        answer: verdict.status
        for answer, verdict in zip(copies, grades, strict=True)
        if not verdict.correct
    }


@dataclass
class Copies:
    """The rows of one problem: the first one, their number, and whether their answers differ."""

    first: Problem
    count: int = 0
    conflict: bool = False

    def add(self, row: Problem) -> None:
        self.count += 1
        self.conflict = self.conflict or not same_answer(self.first.answer, row.answer)


class Usable(NamedTuple):
    """The problems of one source that can be used, and what was dropped."""

    problems: list[Problem]
    drops: Counter[str]  # reason -> rows
    near: list[dict]  # dropped near-duplicates of evaluation problems: similarity, both texts


def unique(
    rows: Iterable[Problem | str],
    evaluation: EvaluationIndex,
    earlier_keys: set[str],
    languages: list[str] | None = None,
) -> Usable:
    """Each usable problem of one source once, in file order.

    earlier_keys: of the sources before this one. languages: those to keep, None for all.
    """
    drops: Counter[str] = Counter()
    groups: dict[str, Copies] = {}
    for row in rows:
        if isinstance(row, str):
            drops[row] += 1
        elif languages is not None and row.language not in languages:
            drops["language"] += 1
        else:
            groups.setdefault(row.key, Copies(row)).add(row)
    kept, close = [], []
    for key, copies in groups.items():
        reason = why_not(key, copies, evaluation, earlier_keys)
        if reason is None:
            kept.append(copies.first)
            drops["duplicate"] += copies.count - 1
        else:
            drops[reason] += copies.count
        if reason == "near_evaluation_problem":
            close.append(copies.first)
    near = [
        {"similarity": round(match[1], 3), "problem": problem.text, "near": match[0].text}
        for problem in close
        if (match := evaluation.near(problem))
    ]
    unusable = unusable_answers(problem.answer for problem in kept)
    usable = [problem for problem in kept if problem.answer not in unusable]
    statuses = [unusable[problem.answer] for problem in kept if problem.answer in unusable]
    drops["misread_answer"] += statuses.count(MISREAD)
    drops["unparseable_answer"] += len(statuses) - statuses.count(MISREAD)
    return Usable(usable, +drops, near)


def why_not(
    key: str, copies: Copies, evaluation: EvaluationIndex, earlier_keys: set[str]
) -> str | None:
    """The first reason to drop all rows of a problem; None where one of them is kept."""
    if evaluation.exact(copies.first):
        return "in_evaluation_set"
    if key in earlier_keys:
        return "duplicate_across_sources"
    if evaluation.near(copies.first):
        return "near_evaluation_problem"
    if copies.conflict:
        return "conflicting_answers"
    return None


def sample(problems: list[Problem], size: int | None, seed: int) -> list[Problem]:
    """A random subset in the given order; all problems where size is None or not smaller."""
    if size is None or size >= len(problems):
        return problems
    chosen = np.random.default_rng(seed).choice(len(problems), size, replace=False)
    return [problems[i] for i in sorted(chosen)]
