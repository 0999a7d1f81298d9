"""The reward: the one grader, in the form of verl's custom reward function."""

from lens_impl.grading import grade


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict, **kwargs
) -> dict:
    """Outcome reward 1 or 0; no format reward (section 6). The rest is kept for validation."""
    verdict = grade(ground_truth, solution_str)
    return {
        "score": float(verdict.correct),
        "problem_id": extra_info["problem_id"],
        "level": int(extra_info["level"]),
        "status": verdict.status,
    }
