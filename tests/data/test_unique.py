"""Which gold answers cannot be used, by the grader itself."""

import pytest

from lens_impl.data.matching import EvaluationIndex
from lens_impl.data.sources import Problem
from lens_impl.data.unique import same_answer, unique, unusable_answers


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("7", None),
        (r"\frac{1}{2}", None),
        (r"\dfrac12", None),
        (r"12,\!345", None),
        ("3+4i", None),
        ("a + b + c", "bad_gold"),
        ("7.", "bad_gold"),
        (r"\frac{3}{1,\!000}", "bad_gold"),
        (r"\frac\pi3 + 1", "misread"),
        (r"\frac{1}{3} + \frac{2}{3} i.", "misread"),
        (r"222, \! 333", "misread"),
        (r"7\sqrt{2} \text { square feet}", "misread"),
    ],
)
def test_an_answer_is_checked_against_itself_in_a_plainer_spelling(answer, status):
    assert unusable_answers([answer]).get(answer) == status


def test_both_reasons_are_counted():
    answers = ["7", r"\frac\pi3 + 1", "a + b + c"]
    rows = [Problem(f"Find $x$ in case {answer}.", answer) for answer in answers]
    found = unique(rows, EvaluationIndex([], same_answer), set())
    assert [problem.answer for problem in found.problems] == ["7"]
    assert found.drops == {"misread_answer": 1, "unparseable_answer": 1}
