"""Which rows of a source are training problems, and which of those are sampled."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from lens_impl.data.matching import EvaluationIndex
from lens_impl.data.sources import Problem
from lens_impl.grading.grader import grade, grade_many


def same_answer(first: str, second: str) -> bool:
    r"""Equal as text, or for the grader: \frac13 and \frac{1}{3}."""
    return first == second or grade(first, f"\\boxed{{{second}}}").correct


def unusable_answers(answers: Iterable[str]) -> dict[str, str]:
    """Answers that the grader does not accept as correct for themselves -> the status it gives."""
    answers = list(dict.fromkeys(answers))
    grades = grade_many(answers, [f"\\boxed{{{answer}}}" for answer in answers])
    return {
        answer: verdict.status
        for answer, verdict in zip(answers, grades, strict=True)
        if not verdict.correct
    }


def unique(
    rows: Iterable[Problem | str],
    evaluation: EvaluationIndex,
    earlier_keys: set[str],
    languages: list[str] | None = None,
) -> tuple[list[Problem], Counter, list[dict]]:
    """The usable problems of one source in file order, each once.

    Also the drops by reason, and the near-duplicates of evaluation problems that were dropped.
    earlier_keys: of the sources before this one. languages: those to keep, None for all.
    """
    drops: Counter = Counter()
    first: dict[str, Problem] = {}
    copies: Counter = Counter()
    rejected: dict[str, str] = {}
    conflicting = set()
    near: list[dict] = []
    for row in rows:
        if isinstance(row, str):
            drops[row] += 1
            continue
        key = row.key
        if languages is not None and row.language not in languages:
            drops["language"] += 1
        elif key in rejected:
            drops[rejected[key]] += 1
        elif key in first:
            copies[key] += 1
            if not same_answer(first[key].answer, row.answer):
                conflicting.add(key)
        else:
            if evaluation.exact(row):
                rejected[key] = "in_evaluation_set"
            elif key in earlier_keys:
                rejected[key] = "duplicate_across_sources"
            elif found := evaluation.near(row):
                rejected[key] = "near_evaluation_problem"
                other, similarity = found
                near.append(
                    {"similarity": round(similarity, 3), "problem": row.text, "near": other.text}
                )
            else:
                first[key] = row
                copies[key] += 1
                continue
            drops[rejected[key]] += 1
    for key, count in copies.items():
        if key in conflicting:
            drops["conflicting_answers"] += count
            del first[key]
        elif count > 1:
            drops["duplicate"] += count - 1
    unusable = unusable_answers(problem.answer for problem in first.values())
    kept = [problem for problem in first.values() if problem.answer not in unusable]
    drops["unparseable_answer"] += len(first) - len(kept)
    return kept, +drops, near


def sample(problems: list[Problem], size: int | None, seed: int) -> list[Problem]:
    """A random subset in the given order; all problems where size is None or not smaller."""
    if size is None or size >= len(problems):
        return problems
    chosen = np.random.default_rng(seed).choice(len(problems), size, replace=False)
    return [problems[i] for i in sorted(chosen)]
