"""The last \\boxed{...} of a text."""

import re


def last_box(text: str) -> str:
    r"""The argument of the last \boxed or \fbox as TeX reads it; "" where there is none."""
    boxes = list(re.finditer(r"\\(?:boxed|fbox)\s*", text))
    if not boxes:
        return ""
    argument = text[boxes[-1].end() :]
    if not argument.startswith("{"):
        return argument[:1]  # \boxed 9, without braces: one character
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", argument, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return argument[1 : brace.start()].strip()
    return ""


_BRACES = re.compile(r"(\{)|(\})|(\\boxed\s*\{)|\\\\(?!boxed)|\\[{}]")
_BARE, _CLOSE, _BOX = 1, 2, 3  # the groups of _BRACES


def boxed(text: str) -> str | None:
    """Content of the last \\boxed{...} whose braces close; None without one."""
    first = text.find("\\boxed")
    if first < 0:
        return None
    opened: list[tuple[int, int]] = []  # start and end of a box's opening; -1, -1 of a bare brace
    last_start, content = -1, None
    for mark in _BRACES.finditer(text, first):
        kind = mark.lastindex
        if kind == _BARE:
            opened.append((-1, -1))
        elif kind == _BOX:
            opened.append(mark.span())
        elif kind == _CLOSE and opened:
            start, end = opened.pop()
            if start > last_start:
                last_start, content = start, (end, mark.start())
    return None if content is None else text[slice(*content)].strip()
