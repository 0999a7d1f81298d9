"""The rules of spelling, one at a time; what they spare; what needs no rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_impl.grading.respell import respell

TABLE = [
    # numbers
    (r"4,\!321", "4321"),
    (r"\frac{7}{4,\!321}", r"\frac{7}{4321}"),
    (r"222, \! 333, \! 444", "222333444"),
    (r"4\,321", "4321"),
    ("4 321 765", "4321765"),
    ("3 1/4", r"3\frac{1}{4}"),
    ("3e-4", r"3 \times 10^{-4}"),
    ("3 x 10^4", r"3 \times 10^4"),
    (r"0.1\overline{6}", r"\frac{15}{90}"),
    (r"1.\overline{27}", r"\frac{126}{99}"),
    (r"31^{\text{st}}", "31"),
    ("22nd", "22"),
    (r"\text{May 22nd}", r"\text{May 22}"),
    (r"413_{\text{seven}}", "413_{7}"),
    (r"413 \text{ base } 7", "413_{7}"),
    ("(413)_7", "413_7"),
    # fractions and roots
    (r"\frac \pi3 + 1", r"\frac{\pi}{3} + 1"),
    (r"\dfrac12", r"\frac{1}{2}"),
    (r"\frac{\sqrt{2}}{3}", r"\frac{\sqrt{2}}{3}"),
    ("3 sqrt(7)", r"3 \sqrt{7}"),
    (r"3\sqrt(7)", r"3\sqrt{7}"),
    ("3\u221a7", r"3\sqrt{7}"),
    # complex numbers
    (r"3 - 8 i", "3 - 8i"),
    (r"3 - 8\mathrm{i}", "3 - 8i"),
    (r"3 - i \cdot 8", "3 - 8i"),
    ("2 in", "2 in"),
    # signs around and behind
    ("7.", "7"),
    ("7,", "7"),
    (r"7\\", "7"),
    (r"\left. x \right.", r"\left. x \right."),
    ("1, 2, ...", "1, 2, ..."),
    ("**7**", "7"),
    (r"\color{blue}{7}", "{7}"),
    (r"\text {cm}", r"\text{cm}"),
    ("\uff082\uff0c3\uff09", "(2,3)"),
    (r"\langle 2, 7 \rangle", "(2, 7 )"),
    (r"\begin{pmatrix} 1 \\[4pt] 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    # times
    (r"02\!:\!15", "2:15"),
    (r"2:15 \text{ p.m.}", r"2:15 \text{ pm}"),
    (r"\text{2:15 PM}", r"2:15 \text{ pm}"),
    # nothing to respell
    ("12 34", "12 34"),
    ("(1, 200)", "(1, 200)"),
    ("1,234", "1,234"),
    ("x^2 + 3x - 1", "x^2 + 3x - 1"),
    (r"\text{(C)}", r"\text{(C)}"),
    ("12:34", "12:34"),
]


@pytest.mark.parametrize(("answer", "plain"), TABLE)
def test_table(answer, plain):
    assert respell(answer) == plain


@pytest.mark.parametrize("answer", [answer for answer, _ in TABLE])
def test_a_respelled_answer_is_not_respelled_again(answer):
    assert respell(respell(answer)) == respell(answer)


@given(
    st.from_regex(r"-?[1-9][0-9]{0,14}|[a-z]\^[2-9] \+ [1-9]|\(-?[0-9], -?[0-9]\)", fullmatch=True)
)
def test_plain_answers_stay(answer):
    assert respell(answer) == answer
