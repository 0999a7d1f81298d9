r"""Answers in a spelling that Math-Verify reads as it is meant: a table of rules, one per kind.

A rule changes how an answer is written and not what it says, so gold answers and answers of
responses are respelled alike. Two uses: the preparation of data checks each gold answer against its
respelled copy, and the verifier "guarded" of grader.py respells both sides before Math-Verify.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|theta|lambda|mu|pi|rho|sigma|tau|phi|varphi|omega)(?![a-zA-Z])"
)
_ARGUMENT = rf"\s*(\{{[^{{}}]*\}}|{_GREEK}|[0-9A-Za-z])"
_TEXT = r"\\(?:text|textrm|textbf|mathrm|mbox)\s*"
_ORDINAL = r"\{\s*(?:st|nd|rd|th)\s*\}"
_BASES = "zero one two three four five six seven eight nine ten eleven twelve".split()
_SIGNS = {
    "\u221e": r"\infty ",
    "\u03c0": r"\pi ",
    "\u00b0": r"^\circ ",
    "\u00b7": r"\cdot ",
    "\u00d7": r"\times ",
    "\u00f7": r"\div ",
    "\u2264": r"\le ",
    "\u2265": r"\ge ",
    "\u2260": r"\neq ",
    "\u2212": "-",
    "\u2013": "-",
    "\u2044": "/",
    "\u3001": ", ",
    "\u00b2": "^2",
    "\u00b3": "^3",
    "\u00bd": r"\frac{1}{2}",
    "\u00bc": r"\frac{1}{4}",
    "\u00be": r"\frac{3}{4}",
} | {chr(0xFF01 + n): chr(0x21 + n) for n in range(94)}  # full-width letters, digits and signs


class Rule(NamedTuple):
    """What is written otherwise: a pattern, its replacement, and why."""

    pattern: re.Pattern
    replacement: str | Callable[[re.Match], str]
    why: str


def _rule(pattern: str, replacement: str | Callable[[re.Match], str], why: str) -> Rule:
    return Rule(re.compile(pattern), replacement, why)


def _fraction(match: re.Match) -> str:
    """A fraction with both arguments in braces."""
    above, below = (part[1:-1] if part[0] == "{" else part for part in match.group(1, 2))
    return rf"\frac{{{above}}}{{{below}}}"


def _repeating(match: re.Match) -> str:
    """0.1\\overline{36} as the fraction that it is."""
    whole, fixed, period = match.groups()
    below = (10 ** len(period) - 1) * 10 ** len(fixed)
    above = int(f"{whole}{fixed}{period}") - int(f"{whole}{fixed}")
    return rf"\frac{{{above}}}{{{below}}}"


RULES = [
    _rule("[" + "".join(_SIGNS) + "]", lambda m: _SIGNS[m[0]], "Unicode signs are dropped"),
    _rule(r"\s*,\s*\\!\s*(?=\d{3}(?!\d))", "", "within a fraction 5,\\!525 is no number"),
    _rule(r"\\!", "", "05\\!:\\!00 is not the time 05:00"),
    _rule(
        r"(?<![\d.])\d{1,3}(?:(?:\\[, ;]|~| )\d{3})+(?![\d/.])",
        lambda m: re.sub(r"\D", "", m[0]),
        "numbers side by side are added: 10 080 is 90",
    ),
    _rule(r"(?<![\d:.])0(?=\d:\d\d(?!\d))", "", "05:00 is not 5:00"),
    _rule(r"(\\(?:text|mathrm|textbf|mbox))\s+(?=\{)", r"\1", "\\text { cm} is letters"),
    _rule(rf"\\[dt]?frac{_ARGUMENT}{_ARGUMENT}", _fraction, "\\frac \\pi4 loses what is before it"),
    _rule(r"\\sqrt\s*\(([^()]*)\)|(?<![\\a-zA-Z])sqrt\(([^()]*)\)",
          lambda m: rf"\sqrt{{{m[1] or m[2]}}}", "\\sqrt(2) is not a root"),
    _rule(r"\u221a\s*(\d+|[a-z]|\([^()]*\))", lambda m: rf"\sqrt{{{m[1].strip('()')}}}", "\u221a"),
    _rule(r"\\\\\s*\[\d+[a-z]*\]", r"\\\\", "a distance after a row of a matrix is an entry"),
    _rule(r"(?:\\\\|(?<!\\right)(?<!\.)[.,;])\s*\Z", "", "a sign at the end spoils the rest"),
    _rule(r"\\(?:color|textcolor)\s*\{[a-z]+\}\s*", "", "colours are read as letters"),
    _rule(r"\A\s*(\*+)([^*]+)\1\s*\Z", r"\2", "markdown in a box"),
    _rule(
        rf"(?<=\d)\s*(?:\^\{{\s*{_TEXT}{_ORDINAL}\s*\}}|\^?\s*{_TEXT}{_ORDINAL}|\^{_ORDINAL}"
        r"|(?:st|nd|rd|th)(?=\s*\}?\s*\Z))",
        "",
        "12^{\\text{th}} is a power",
    ),
    _rule(r"(?<=[\d}])\s*(?:\\cdot|\\[, ]|\s)\s*i(?![a-zA-Z])", "i", "in 5 i the i is a unit"),
    _rule(r"\\(?:mathrm|text|mathit)\{i\}", "i", "i in roman letters is a unit"),
    _rule(r"(?<![a-zA-Z\\])i\s*\\cdot\s*(\d+)", r"\1i", "i \\cdot 2 is not 2i"),
    _rule(r"(?<=\d)_\{?\s*" + _TEXT + r"\{\s*(?:base\s*)?(" + "|".join(_BASES) + r")\s*\}\s*\}?",
          lambda m: f"_{{{_BASES.index(m[1])}}}", "a base in words is dropped"),
    _rule(r"(?<=\d)(?:_\{)?\s*" + _TEXT + r"\{\s*base\s*\}\s*(\d+)\s*\}?", r"_{\1}",
          "the same"),
    _rule(r"\A\s*\((\d+)\)_", r"\1_", "(2112)_6 is not a number in a base"),
    _rule(r"\\langle\s*(?=[^<>]*,)([^<>]*?)\\rangle", r"(\1)", "\\langle 3, 4 \\rangle"),
    _rule(r"\A\s*(?:USD|US\\\$)\s*(?=\d)", "", "USD is letters"),
    _rule(r"\\log_\{?e\}?(?![a-zA-Z])", r"\\ln ", "\\log_e is not \\ln"),
    _rule(r"(?<![\d./])(\d+) (\d+)/(\d+)(?![\d/])", r"\1\\frac{\2}{\3}", "2 1/2 is 2 + 1/2 of 1"),
    _rule(r"(?<![\d.])(\d+)\.(\d*)\\overline\{(\d+)\}", _repeating, "repeating decimals"),
    _rule(r"\A\s*([+-]?\d+(?:\.\d+)?)[eE]([+-]?\d+)\s*\Z", r"\1 \\times 10^{\2}", "1e5 is lost"),
    _rule(r"(?<=\d) x (?=10\^)", r" \\times ", "3 x 10^8"),
    _rule(_TEXT + r"\{\s*,\s*\}", ", ", "a comma as text is dropped"),
    _rule(r"(?<=\d)\s*\\q?quad\s*(?=-?\d)", ", ", "numbers side by side are added"),
    _rule(
        r"(?:" + _TEXT + r"\{\s*)?(?<![\d:])(\d{1,2}:\d\d)\s*(?:" + _TEXT + r"\{\s*|\\[, ]|~)*"
        r"([aApP])\.?\s*[mM](?:\.|\b)\s*\}?",
        lambda m: rf"{m[1]} \text{{ {m[2].lower()}m}}", "times are spelled in many ways",
    ),
]  # fmt: skip

# These keep parts of an answer that Math-Verify leaves out, and so make wrong answers wrong.
GUARDS = [
    _rule(r"\A\s*" + _TEXT + r"\{[^{}]*(?:[:=]|\bis|\bare)\s*\}\s*(?=-?[\d\\])", "",
          "with a unit behind it, all is dropped that stands between the two texts"),
    _rule(rf"(?<=\d)\s*{_TEXT}\{{[^{{}}]*\}}(?:\^\{{?\d\}}?)?(?!\s*/)\s*,?\s*(?=.*{_TEXT}\{{)",
          ", ", "of 4 \\text{ cm}, 6 \\text{ cm} the 4 alone is read"),
    _rule(r"(?<![\d.a-zA-Z\\{_^])(\d+)([a-df-hj-kn-rt-z])(?![a-zA-Z(\d])", r"\1*\2",
          "the letter of 4t is dropped as a unit"),
]  # fmt: skip


def respell(answer: str, guarded: bool = False) -> str:
    """The answer in the spelling that is read as it is meant; itself where no rule applies.

    guarded: by the rules of GUARDS too.
    """
    if answer.isdigit() and answer.isascii():
        return answer
    for rule in RULES + GUARDS if guarded else RULES:
        answer = rule.pattern.sub(rule.replacement, answer)
    return answer.strip()
