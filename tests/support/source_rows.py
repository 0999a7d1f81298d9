"""Rows as the real sets have them."""

from lens_impl.data.sources import DAPO_HEAD, DAPO_TAIL

MATH = {
    "problem": "What is $1+1$?",
    "level": "Level 2",
    "type": "Algebra",
    "solution": r"\boxed{2}",
}
NUMINA = {
    "problem": "What is $2+2$?",
    "answer": "4",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "problem_is_valid": "Yes",
    "solution_is_valid": "Yes",
}


def dapo(problem: str, answer: str) -> dict:
    prompt = [{"content": f"{DAPO_HEAD}{problem}{DAPO_TAIL}", "role": "user"}]
    return {"prompt": prompt, "reward_model": {"ground_truth": answer, "style": "rule"}}
