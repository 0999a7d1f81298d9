r"""The last box of a text: \boxed or \fbox, of a gold solution and of a response alike."""

import re

BOXES = (r"\boxed", r"\fbox")
# Escaped braces and backslashes open and close nothing, but a backslash before a box is just text.
# Without braces TeX boxes one character. A number or a letter is read only where it ends its
# formula, so that a sentence about "\boxed as such" has no answer in it.
_MARKS = re.compile(
    r"""(?P<brace>\{) | (?P<close>\})
    | \\(?:boxed|fbox)\s* (?: (?P<box>\{)
        | (?P<bare>-?\d+(?:\.\d+)?|(?<=\s)[A-Za-z]) (?=\s*[.,]?\s*(?:\$|\\[)\]]|\n|\Z)) )
    | \\\\(?!boxed|fbox) | \\[{}]""",
    re.VERBOSE,
)


def last_box(text: str, strict: bool = False) -> str | None:
    r"""Content of the last \boxed{...} or \fbox{...} whose braces close; None without one.

    The last is the one that opens last: of nested boxes the innermost. strict: None too where a
    later box does not close. A response that was cut off keeps its earlier answer, but a gold
    solution that is not whole has lost its own.
    """
    first = min((at for box in BOXES if (at := text.find(box)) >= 0), default=-1)
    if first < 0:
        return None
    opened: list[re.Match | None] = []  # for each open brace the box that it belongs to, if any
    last, content = -1, None
    for mark in _MARKS.finditer(text, first):
        kind = mark.lastgroup
        if kind == "brace":
            opened.append(None)
        elif kind == "box":
            opened.append(mark)
        elif kind == "bare":
            last, content = mark.start(), mark["bare"]
        elif kind == "close" and opened:
            box = opened.pop()
            if box and box.start() > last:
                last, content = box.start(), text[box.end() : mark.start()].strip()
    is_cut_off = any(box and box.start() > last for box in opened)
    return None if strict and is_cut_off else content
