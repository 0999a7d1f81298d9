"""The last box of a text, in gold solutions and in responses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_impl.grading.boxes import last_box


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"so $\boxed{7}$.", "7"),
        (r"first \boxed{1}, then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{ 3 }", "3"),
        (r"\boxed {3}", "3"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{}", ""),
        ("no box", None),
        (r"ends with \boxed", None),
        # \fbox
        (r"\fbox{4}", "4"),
        (r"\boxed{1}, no: \fbox{2}", "2"),
        (r"\fbox{1}, no: \boxed{2}", "2"),
        (r"\boxed{\fbox{5}}", "5"),
        (r"\setlength{\fboxsep}{3pt} \boxed{5}", "5"),
        # without braces
        (r"$\boxed 9$.", "9"),
        (r"$\boxed2.$", "2"),
        (r"\[\boxed -3.5\]", "-3.5"),
        (r"$\boxed x$", "x"),
        (r"\boxed 12", "12"),
        (r"\boxed{5}. Put it in \boxed as asked, a \boxed 3 times.", "5"),
        (r"\boxed 3x + 1$", None),
        (r"\boxedsep 4$", None),
    ],
)
def test_last_box(text, box):
    assert last_box(text) == last_box(text, strict=True) == box


@pytest.mark.parametrize(("kept", "cut"), [("1", r"\boxed{1}, \boxed{2"), (None, r"\boxed{2")])
def test_a_cut_off_box_counts_where_strict(kept, cut):
    assert last_box(cut) == kept
    assert last_box(cut, strict=True) is None


@given(st.recursive(st.text("x1", max_size=3), lambda s: s.map(lambda t: f"{{{t}}}") | s))
def test_any_balanced_content(content):
    assert last_box(f"\\boxed{{0}} \\boxed{{{content}}} done}}") == content
