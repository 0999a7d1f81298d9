"""What counts as one problem, and what as a near-duplicate of an evaluation problem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_impl.data.matching import (
    EvaluationIndex,
    contained,
    marks,
    match_key,
    normalise,
    problem_id,
    tokens,
)
from lens_impl.data.sources import DAPO_HEAD, DAPO_TAIL, Problem

TEXT = r"Let $f(x) = \dfrac{x-3}{2}$ for $x > 0.5$. What is the value of $f(225)$?"


@pytest.mark.parametrize(
    "disguised",
    [
        TEXT.replace(" ", "  \n"),
        TEXT.replace(" ", "\u00a0"),
        TEXT.replace(" ", " \u200b"),
        TEXT.replace("$", ""),
        TEXT.replace("$", "$$"),
        TEXT.replace("$f", r"\(f").replace(")$", r")\)"),
        TEXT.replace("x - 3", r"x\,-\,3").replace("(225)", r"\left(225\right)"),
        TEXT.replace("=", r"\;=\quad "),
        TEXT.replace("dfrac", "frac"),
        TEXT.removesuffix("?"),
        TEXT.removesuffix("?") + " .",
        DAPO_HEAD + TEXT + DAPO_TAIL,
        "Problem: " + TEXT,
        TEXT + "\nLet's think step by step and output the final answer within \\boxed{}.",
        TEXT + "\n\nPlease reason step by step, and put your final answer within \\boxed{}.",
    ],
)
def test_a_disguise_keeps_the_key(disguised):
    assert match_key(disguised) == match_key(TEXT)


@pytest.mark.parametrize(
    "other",
    [
        TEXT.replace("225", "22.5"),
        TEXT.replace("225", "-225"),
        TEXT.replace("x-3", "x+3"),
        TEXT.replace("0.5", "05"),
        TEXT.replace(">", "<"),
        TEXT.replace("f(x)", "g(x)"),
        TEXT.replace("dfrac{x-3}{2}", "dfrac{x}{2-3}"),
    ],
)
def test_another_problem_has_another_key(other):
    assert match_key(other) != match_key(TEXT)


@given(st.text())
def test_white_space_and_dollars_never_matter(text):
    spaced = " ".join(text) if "\\" not in text else text
    assert normalise(f" {spaced}$ \n") == normalise(text)


def test_rows_of_a_table_are_not_taken_for_display_math():
    assert match_key(r"\begin{cases} 1 \\[2pt] 2 \\ (3)\end{cases}") == (
        r"\begin{cases}1\\[2pt]2\\(3)\end{cases}"
    )


def test_ids_are_of_the_content():
    assert problem_id("What?") == "a4949e2c96de2668"  # printf 'What?' | sha256sum
    assert problem_id("$What$ ?") == problem_id("What?") != problem_id("What")


def test_number_words_are_numbers():
    assert tokens("Six of the $1.5x$ boxes") == ["6", "of", "the", "1.5", "x", "boxes"]
    assert marks(tokens("two - 3/4")) == ["2", "-", "3", "/", "4"]


@given(st.lists(st.integers(0, 3)), st.lists(st.booleans()))
def test_contained(whole, keep):
    part = [item for item, kept in zip(whole, keep, strict=False) if kept]
    assert contained(part, whole)
    assert contained(whole, part) == (whole == part)


# Pairs of MATH train and test (idx), similarity, and what they are. docs/data.md shows the same.
NEAR_PAIRS = [
    # (evaluation problem, its answer, training problem, its answer, removed)
    (
        "If $x$, $y$, and $z$ are positive with $xy = 24$, $xz = 48$, and $yz = 72$, then find "
        "$x + y + z.$",
        "22",
        "If $x$, $y$, and $z$ are positive with $xy=24$, $xz = 48$, and $yz=72$, what is the value "
        "of $x+y+z$?",
        "22",
        True,
    ),
    (
        "Two reals $x$ and $y$ are such that $x-y=4$ and $x^3-y^3=28$. Compute $xy$.",
        "-3",
        "Two real numbers $x$ and $y$ satisfy $x-y=4$ and $x^3-y^3=28$.  Compute $xy$.",
        "-3",
        True,
    ),
    (  # one number changed, the answer kept
        "Two reals $x$ and $y$ are such that $x-y=4$ and $x^3-y^3=28$. Compute $xy$.",
        "-3",
        "Two reals $x$ and $y$ are such that $x-y=5$ and $x^3-y^3=28$. Compute $xy$.",
        "-3",
        False,
    ),
    (  # one sign changed, the answer kept
        "Two reals $x$ and $y$ are such that $x-y=4$ and $x^3-y^3=28$. Compute $xy$.",
        "-3",
        "Two reals $x$ and $y$ are such that $x+y=4$ and $x^3-y^3=28$. Compute $xy$.",
        "-3",
        False,
    ),
    (  # a family of problems: another word, another answer
        "Determine the number of ways to arrange the letters of the word MISSISSIPPI.",
        "34650",
        "Determine the number of ways to arrange the letters of the word RADII.",
        "60",
        False,
    ),
    (  # the question turned round
        "In triangle $ABC$ with $\\angle A = 90^\\circ$, $AB = 6$, $BC = 10$. Find $\\cos A$.",
        "0",
        "In triangle $ABC$ with $\\angle A = 90^\\circ$, $AB = 6$, $BC = 10$. Find $\\cos C$.",
        r"\frac{4}{5}",
        False,
    ),
    (  # the whole problem inside a foreign text
        "How many integers are in the solution set of $|x-2|\\leq5.6$ ?",
        "11",
        "You are a careful tutor who never skips a step and who explains every idea to a pupil of "
        "twelve. Here is the task of today. How many integers are in the solution set of "
        "$|x-2|\\leq5.6$? Write down all that you do, and finish with the answer in a frame.",
        "11",
        True,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("other", "other_answer", "text", "answer", "removed"), NEAR_PAIRS)
def test_near_duplicates(other, other_answer, text, answer, removed):
    index = EvaluationIndex([Problem(other, other_answer)], str.__eq__)
    problem = Problem(text, answer)
    assert not index.exact(problem)
    assert bool(index.near(problem)) == removed
