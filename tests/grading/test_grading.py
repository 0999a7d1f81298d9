"""What is graded how: a table of every trap met, the shortcuts, time limits, wrong calls."""

import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens_impl.errors import UserError
from lens_impl.files import ROOT
from lens_impl.grading.boxes import last_box
from lens_impl.grading.grader import Grade, grade, grade_many
from lens_impl.grading.pool import Pool
from lens_impl.grading.worker import judge

SUPPORT = ROOT / "tests" / "support"
NO_WORKERS = Pool(script=SUPPORT / "absent.py")  # UserError where a worker is needed
HANGING = r"\boxed{9^{9^{9}}}"

TWO_BOXES = r"First I get \boxed{5}. Wait, that is wrong. So the final answer is \boxed{7}."

# (gold, response, status). A line for every trap met.
TABLE = [
    # the last complete box decides
    ("7", TWO_BOXES, "correct"),
    ("5", TWO_BOXES, "wrong"),
    (r"\frac{7}{1}", TWO_BOXES, "correct"),
    ("7", r"The answers are \boxed{5} and \boxed{7}.", "correct"),
    ("5,7", r"\boxed{5}, \boxed{7}", "wrong"),
    ("7", r"\boxed{7} and once more \boxed{7}", "correct"),
    (r"\frac{1}{2}", r"x = 0.5 in step 3. \boxed{\frac{1}{2}} and 12 apples in step 4.", "correct"),
    ("5", r"\boxed{\boxed{5}}", "correct"),
    ("5", r"\boxed {5}", "correct"),
    ("5", r"\boxed{$5$}", "correct"),
    ("5", r"2 + 3 \\\boxed{5}", "correct"),
    ("5", r"\\boxed{5}", "correct"),
    ("5", r"\boxed{5} or, cut off, \boxed{7", "correct"),
    ("3", r"the answer is 3, \boxed{4}", "wrong"),
    ("5", r"\fbox{5}", "correct"),
    ("5", r"\boxed{3} is wrong, so \fbox{5}. And 8 is not possible.", "correct"),
    ("5", r"\fbox{3} is wrong, so \boxed{5}", "correct"),
    (r"\frac{1}{2}", r"\fbox{$\frac{1}{2}$}", "correct"),
    ("9", r"It is $\boxed 9$. That is 3 times 3.", "correct"),
    ("9", r"I put it into a \boxed as asked: \boxed{9}, not \boxed a 7.", "correct"),
    (r"It is $\boxed 9$", r"\boxed{9}", "correct"),
    # without a box: Math-Verify's own extraction
    ("3", "The answer is 3.", "correct"),
    ("3", "so x=3", "correct"),
    ("3", "$x=3$", "correct"),
    ("3", "3 is even and 4 is odd", "wrong"),
    ("12", r"\boxed 12", "correct"),
    # no answer
    ("42", "", "no_answer"),
    ("42", "Let us see, the sum of the", "no_answer"),
    (r"\frac{1}{2}", "Let us see, the sum of the", "no_answer"),
    ("42", r"\boxed{42", "no_answer"),
    ("42", r"\boxed{}", "no_answer"),
    ("42", r"\boxed{ }", "no_answer"),
    ("x", r"\boxed{}", "no_answer"),
    ("42", r"I had \boxed{42}, but no: \boxed{}", "no_answer"),
    # gold answers that cannot be parsed
    ("", r"\boxed{42}", "bad_gold"),
    (" ", "", "bad_gold"),
    ("???", r"\boxed{???}", "bad_gold"),
    (r"\frac{", r"\boxed{1}", "bad_gold"),
    (r"30^\circ.", r"\boxed{30}", "bad_gold"),
    ("a + b + c", r"\boxed{a + b + d}", "bad_gold"),
    (r"1 - \frac{1}{\mathrm{e}}", r"\boxed{1 + \frac{1}{\mathrm{e}}}", "bad_gold"),
    # how the gold answer is written
    ("$7$", r"\boxed{7}", "correct"),
    (r"so it is \boxed{7}", r"\boxed{7}", "correct"),
    (" 7 ", r"\boxed{7}", "correct"),
    ("007", r"\boxed{7}", "correct"),
    ("7", r"\boxed{+7}", "correct"),
    ("-7", r"\boxed{7}", "wrong"),
    ("-7", r"\boxed{-7}", "correct"),
    ("0", r"\boxed{-0}", "correct"),
    # values
    ("0.5", r"\boxed{\frac12}", "correct"),
    ("1+1", r"\boxed{2}", "correct"),
    (r"\dfrac{1}{2}", r"\boxed{1/2}", "correct"),
    ("1000", r"\boxed{1,000}", "correct"),
    (r"32,\!348", r"\boxed{32348}", "correct"),
    (r"\$10", r"\boxed{10}", "correct"),
    ("10", r"\boxed{10\text{ cm}}", "correct"),
    ("2^{99}+1", r"\boxed{2^{99}}", "wrong"),
    ("12_8", r"\boxed{10}", "wrong"),
    ("1010_2", r"\boxed{1010_2}", "correct"),
    (r"\pm 2021", r"\boxed{2021}", "wrong"),
    # percentages, which antlr 4.9 fails to parse without the line about FUNC_GAMMA in worker.py
    (r"50\%", r"\boxed{0.5}", "correct"),
    (r"50\%", r"\boxed{50\%}", "correct"),
    ("50", r"\boxed{50\%}", "correct"),
    (r"50\%", r"\boxed{51\%}", "wrong"),
    # expressions, sets, tuples, intervals, words
    ("2k", r"\boxed{k+k}", "correct"),
    ("x^2-1", r"\boxed{(x-1)(x+1)}", "correct"),
    ("1,2", r"\boxed{2,1}", "correct"),
    (r"\{1,2\}", r"\boxed{\{2, 1\}}", "correct"),
    ("(1,2)", r"\boxed{(2,1)}", "wrong"),
    ("(1,2)", r"\boxed{[1,2]}", "wrong"),
    ("n=2, 3, 4", r"\boxed{n=1, 2, 3}", "wrong"),
    ("D = (0, 1)", r"\boxed{D = (0, 1.5)}", "wrong"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}",
     "correct"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\boxed{\begin{pmatrix} 2 \\ 1 \end{pmatrix}}",
     "wrong"),
    (r"\text{Saturday}", r"\boxed{Saturday}", "correct"),
    (r"\text{(C)}", r"\boxed{C}", "correct"),
    (r"\text{(C)}", r"\boxed{(D)}", "wrong"),
    # the order of gold and prediction: an equation for a gold set is accepted, the reverse is not
    (r"x \in [0,1]", r"\boxed{[0,1]}", "correct"),
    ("[0,1]", r"\boxed{0\le x\le 1}", "wrong"),
    # false positives of Math-Verify 0.9.0 that are guarded against
    (r"\frac{1}{2004!}", r"\boxed{\frac{1}{2006!}}", "wrong"),
    (r"\frac{1}{2^{99}}", r"\boxed{\frac{1}{2^{98}}}", "wrong"),
    (r"\frac{2^{2005}+1}{3 \cdot 2^{2006}}", r"\boxed{\frac{1}{3 \cdot 2^{2006}}}", "wrong"),
    ("0", r"\boxed{\frac{1}{2^{99}}}", "wrong"),
    (r"1, 2, \ldots, n", r"\boxed{1, 3, 5, \ldots, 2n-1}", "bad_gold"),
    # the guard spares what is equal
    (r"\frac{1}{2^{99}}", r"\boxed{2^{-99}}", "correct"),
    (r"\frac{1}{2004!}", r"\boxed{\frac{2005}{2005!}}", "correct"),
    ("0", r"\boxed{\sqrt{2}-\sqrt{2}}", "correct"),
    (r"\sqrt{3}", r"\boxed{\frac{3}{\sqrt{3}}}", "correct"),
    ("0.000000001", r"\boxed{10^{-9}}", "correct"),
    # a false positive that is left: without a box Math-Verify reads the 4 alone
    ("4", r"$4\sqrt(2)$", "correct"),
    ("4", r"\boxed{4\sqrt(2)}", "wrong"),
]  # fmt: skip


def test_table():
    golds, responses, expected = zip(*TABLE, strict=True)
    statuses = [result.status for result in grade_many(golds, responses)]
    assert list(zip(golds, responses, statuses, strict=True)) == TABLE
    assert list(expected) == [grade(gold, text).status for gold, text, _ in TABLE]


def test_grade_fields():
    assert grade("42", r"so \boxed{ 41 }") == Grade(False, "wrong", "41")
    assert grade("42", "no idea") == Grade(False, "no_answer", None)
    assert grade(r"\frac{1}{2}", r"\boxed{0.5}") == Grade(True, "correct", "0.5")
    assert grade("3", "The answer is 3.") == Grade(True, "correct", "3")
    assert grade("???", r"\boxed{1}") == Grade(False, "bad_gold", "1")


def test_integer_shortcut_gives_math_verifys_verdict():
    integers = [0, 1, -1, 2, 7, 10, -10, 12, 21, 99, 100, 1000, 2048, -2048, 10**6, 10**15 - 1]
    pairs = [(str(gold), rf"\boxed{{{answer}}}") for gold in integers for answer in integers]
    for gold, response in pairs:
        quick = grade(gold, response, pool=NO_WORKERS)
        assert (quick.status, quick.extracted) == judge(gold, response)


@given(st.text(st.characters(exclude_characters="$\\[", exclude_categories=["Nd", "Cs"])))
@settings(max_examples=200, deadline=None)
def test_no_answer_shortcut_gives_math_verifys_verdict(response):
    assert grade("42", response, pool=NO_WORKERS).status == "no_answer"
    assert judge("42", response) == ("no_answer", None)


@given(st.lists(st.sampled_from([r"\boxed{", "{", "}", r"\{", r"\}", r"\\", "5", " ", "x"])))
def test_box_is_balanced(pieces):
    content = last_box("".join(pieces))
    if content is not None:
        bare = content.replace(r"\\", "").replace(r"\{", "").replace(r"\}", "")
        assert bare.count("{") == bare.count("}")
        assert r"\boxed{" not in content or content.count("{") > content.count("}")


def test_many_unclosed_boxes_are_read_in_one_pass():
    assert last_box(r"\boxed{" * 200_000 + "5}") == "5"


def test_only_what_is_neither_plain_nor_known_needs_a_worker():
    plain = [("42", r"\boxed{42}"), ("42", r"\boxed{41}"), ("42", "cut off"), ("", "1")]
    grades = grade_many(*zip(*plain, strict=True), pool=NO_WORKERS)
    assert [grade.status for grade in grades] == ["correct", "wrong", "no_answer", "bad_gold"]
    with pytest.raises(UserError):
        grade("1/3", r"\boxed{2/6}", pool=NO_WORKERS)


def test_hanging_answer_costs_its_own_verdict_only():
    golds = ["7", "1/2", "1/2", "7"]
    responses = [HANGING, r"\boxed{0.5}", r"\boxed{0.25}", HANGING]
    for workers in (1, 2):
        results = grade_many(golds, responses, workers=workers, timeout_s=0.3)
        assert [r.status for r in results] == ["timeout", "correct", "wrong", "timeout"]
        assert not results[0].correct and results[0].extracted == "9^{9^{9}}"


def test_works_outside_the_main_thread():
    results = []
    thread = threading.Thread(
        target=lambda: results.extend(
            grade_many(["2/3", "7"], [r"\boxed{\frac{4}{6}}", HANGING], timeout_s=0.3)
        )
    )
    thread.start()
    thread.join()
    assert [result.status for result in results] == ["correct", "timeout"]


def test_unguarded_script_may_grade():
    """Workers must not run the caller's main module again."""
    command = [sys.executable, str(SUPPORT / "unguarded_script.py")]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout == "once correct\n"


def test_import_is_light():
    command = [sys.executable, "-X", "importtime", "-c", "import lens_impl.grading.grader"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "lens_impl.grading.grader" in imported
    assert not imported & {"sympy", "math_verify", "torch", "numpy"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: grade_many(["1"], []), "1 gold answers for 0 responses"),
        (lambda: grade("1", "1", timeout_s=0), "timeout_s must be above 0, got 0"),
        (lambda: grade_many(["1"], ["1"], workers=0), "workers must be at least 1"),
    ],
)
def test_wrong_calls_are_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_empty_batch():
    assert grade_many([], []) == []
