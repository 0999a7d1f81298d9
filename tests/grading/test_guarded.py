"""The verifier "guarded" next to Math-Verify, kind by kind: what it mends, what it leaves alone."""

import pytest

from lens_impl.errors import UserError
from lens_impl.grading.grader import Grade, grade, grade_many

# (gold, answer in the box, verdict of Math-Verify, of the guarded one)
TABLE = [
    # numbers
    ("54321", r"54\,321", "wrong", "correct"),
    ("54321", "54 321", "wrong", "correct"),
    ("375", "54 321", "correct", "wrong"),
    (r"\frac{9}{4}", "2 1/4", "wrong", "correct"),
    (r"\frac{5}{9}", r"0.\overline{5}", "wrong", "correct"),
    (r"0.\overline{5}", r"\frac{5}{9}", "bad_gold", "correct"),
    ("2e-3", "0.002", "wrong", "correct"),
    ("31", r"31^{\text{st}}", "wrong", "correct"),
    (r"413_7", r"413_{\text{seven}}", "wrong", "correct"),
    ("7", "7.", "wrong", "correct"),
    ("7.", "7", "bad_gold", "correct"),
    ("7", r"\color{blue}{7}", "wrong", "correct"),
    ("7", "**7**", "wrong", "correct"),
    ("7", "\uff17", "wrong", "correct"),
    (r"\infty", "\u221e", "wrong", "correct"),
    # fractions, roots, complex numbers
    (r"\frac\pi3 + 1", r"1 + \frac{\pi}{3}", "wrong", "correct"),
    (r"\frac{3}{1,\!250}", r"\frac{3}{1250}", "bad_gold", "correct"),
    (r"5\sqrt{7}", "5 sqrt(7)", "wrong", "correct"),
    ("2 - 9i", "2 - 9 i", "wrong", "correct"),
    ("2 - 9i", r"2 - 9\mathrm{i}", "wrong", "correct"),
    ("2 - 9i", "2 + 9 i", "wrong", "wrong"),
    # points, lists, units
    ("(2,7)", r"\langle 2, 7 \rangle", "wrong", "correct"),
    ("2,7", r"2 \quad 7", "wrong", "correct"),
    (r"3 \text{ m}, 5 \text{ m}", r"3 \text{ m}, 8 \text{ m}", "correct", "wrong"),
    (r"3 \text{ m}, 5 \text{ m}", r"5 \text{ m}, 3 \text{ m}", "wrong", "correct"),
    ("3", r"3 \text{ feet and } 8 \text{ inches}", "correct", "wrong"),
    ("3", r"\text{There are } 3 \text{ of them}", "wrong", "correct"),
    ("7t", "7", "correct", "wrong"),
    ("7t", r"t \cdot 7", "wrong", "correct"),
    ("7", r"7\text{ cm}", "correct", "correct"),
    (r"\text{3:45 p.m.}", r"3:45 \text{ PM}", "wrong", "correct"),
    # what is right stays right
    (r"\frac{1}{2}", "0.5", "correct", "correct"),
    ("1,2", "2,1", "correct", "correct"),
    ("(1,2)", "(2,1)", "wrong", "wrong"),
    ("x^2-1", "(x-1)(x+1)", "correct", "correct"),
    (r"\text{(C)}", "C", "correct", "correct"),
    ("a + b + c", "a + b + d", "bad_gold", "bad_gold"),
    ("[0,1)", r"\left[0,1\right)", "correct", "correct"),
]


@pytest.mark.parametrize(("verifier", "column"), [("math-verify", 2), ("guarded", 3)])
def test_table(verifier, column):
    golds = [line[0] for line in TABLE]
    grades = grade_many(golds, [rf"\boxed{{{line[1]}}}" for line in TABLE], verifier=verifier)
    found = [(*line[:2], verdict.status) for line, verdict in zip(TABLE, grades, strict=True)]
    assert found == [(*line[:2], line[column]) for line in TABLE]


def test_the_answer_is_reported_as_it_was_written():
    assert grade("7", r"\boxed{7.}", verifier="guarded") == Grade(True, "correct", "7.")
    assert grade("5/3", r"\boxed{2 1/3}", verifier="guarded") == Grade(False, "wrong", "2 1/3")


def test_a_response_without_a_box_is_not_respelled():
    assert grade("4", "so x=4", verifier="guarded").status == "correct"


def test_an_unknown_verifier_is_refused():
    with pytest.raises(UserError, match="unknown verifier 'gaurded'.*did you mean 'guarded'"):
        grade("4", "4", verifier="gaurded")
