"""The reward: the one grader, by the batch for the engine `hf`, one by one for verl's workers.

Outcome reward 1 or 0; no format reward (section 6). What else is returned is kept for validation.
"""

from lens_impl.grading.grader import Grade, grade, grade_many


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict, **kwargs
) -> dict:
    """verl's custom reward function, which its reward workers call in a thread of its own."""
    return _score(grade(ground_truth, solution_str), extra_info)


def compute_scores(rows: list[dict], responses: list[str]) -> list[dict]:
    """One score for each prepared row and response, graded on all cores."""
    golds = [row["reward_model"]["ground_truth"] for row in rows]
    grades = grade_many(golds, responses)
    return [_score(verdict, row["extra_info"]) for verdict, row in zip(grades, rows, strict=True)]


def _score(verdict: Grade, extra_info: dict) -> dict:
    return {
        "score": float(verdict.correct),
        "problem_id": extra_info["problem_id"],
        "level": int(extra_info["level"]),
        "status": verdict.status,
    }
