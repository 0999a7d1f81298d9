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


# Escaped braces and backslashes open and close nothing, but a backslash before a box is just text.
_BRACES = re.compile(
    r"(?P<brace>\{) | (?P<close>\}) | (?P<box>\\boxed\s*\{) | \\\\(?!boxed) | \\[{}]", re.VERBOSE
)


def boxed(text: str) -> str | None:
    """Content of the last \\boxed{...} whose braces close; None without one.

    The last is the one that opens last: of nested boxes the innermost.
    """
    first = text.find("\\boxed")
    if first < 0:
        return None
    opened: list[re.Match | None] = []  # for each open brace the box that it belongs to, if any
    last, content = -1, None
    for mark in _BRACES.finditer(text, first):
        kind = mark.lastgroup
        if kind == "brace":
            opened.append(None)
        elif kind == "box":
            opened.append(mark)
        elif kind == "close" and opened:
            box = opened.pop()
            if box and box.start() > last:
                last, content = box.start(), text[box.end() : mark.start()].strip()
    return content
