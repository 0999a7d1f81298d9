"""The reward: the one grader, per batch for the engine `hf`, per response for verl's workers.

Outcome reward 1 or 0; no format reward (section 6). A score is a dict: score (the reward), and for
validation problem_id, level and status (of the grade).
"""

from lens_impl.grading.grader import Grade, grade, grade_many


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict, **kwargs: object
) -> dict:
    """The score of one response, as verl's custom reward function: workers call it in a thread."""
    return _score(grade(ground_truth, solution_str), extra_info)


def compute_scores(rows: list[dict], responses: list[str]) -> list[dict]:
    """One score per prepared row and its response, graded on all cores."""
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
