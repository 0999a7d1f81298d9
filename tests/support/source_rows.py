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
MATH500 = {
    "problem": "What is $1+2$?",
    "solution": r"It is $\boxed{3}$.",
    "answer": "3",
    "subject": "Algebra",
    "level": 2,
    "unique_id": "test/algebra/1.json",
}
AMC23 = {"id": 0, "question": "What is $9\\cdot3$?", "answer": 27.0, "url": "https://amc.example/1"}
AIME24 = {
    "id": 60,
    "problem": "Find $m+n$.",
    "solution": r"So $m+n=\boxed{025}$.",
    "answer": "025",
    "url": "https://aime.example/1",
    "year": "2024",
}
AIME25 = {"problem": "Find $b$.", "answer": "70", "id": "0"}


def dapo(problem: str, answer: str) -> dict:
    prompt = [{"content": f"{DAPO_HEAD}{problem}{DAPO_TAIL}", "role": "user"}]
    return {"prompt": prompt, "reward_model": {"ground_truth": answer, "style": "rule"}}


# A row of every set in its own columns.
ROWS = {
    "math_train": MATH,
    "math_test": MATH,
    "dapo": dapo("What is $2+3$?", "5"),
    "dapo_processed": {"prompt": "What is $2+3$?", "solution": "5"},
    "numina": NUMINA,
    "math500_test": MATH500,
    "amc23_test": AMC23,
    "aime24_test": AIME24,
    "aime25_test": AIME25,
}
