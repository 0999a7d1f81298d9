"""Names and text layout that tables, figures and the summary share."""

import textwrap

from tabulate import tabulate

METHOD_NAMES = {
    "base": "base model",
    "grpo": "GRPO",
    "lens": "LENS",
    "lens-mixed-only": "LENS with only mixed groups",
    "lens-negative-only": "LENS with only negative groups",
    "dr-grpo": "Dr. GRPO",
    "dapo": "DAPO",
    "ngrpo": "NGRPO",
    "psr": "PSR",
    "nsr": "NSR",
    "w-reinforce": "W-REINFORCE",
    "rl-zvp": "RL-ZVP",
    "asym-re": "AsymRE",
}
TOY_SCALES = ("smoke", "tiny")  # their models are not the paper's


def method_name(method: str) -> str:
    """The paper's name of a method, or its key in config/methods.yaml."""
    return METHOD_NAMES.get(method, method)


def grid(header: list[str], rows: list[list[str]]) -> str:
    """A markdown table whose columns also line up in a terminal."""
    alignment = ["left", *["right"] * (len(header) - 1)]
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True, colalign=alignment)


def wrap(text: str) -> str:
    """Lines for a terminal of 100 columns."""
    return "\n".join(textwrap.wrap(text, 98, break_long_words=False, break_on_hyphens=False))
