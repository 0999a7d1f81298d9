"""Names and text layout that tables, figures and the summary share."""

import textwrap

from tabulate import tabulate


def grid(header: list[str], rows: list[list[str]], text: tuple[int, ...] = (0,)) -> str:
    """A markdown table whose columns also line up in a terminal; `text`: columns of words."""
    return tabulate(
        rows, header, tablefmt="pipe", disable_numparse=True, colalign=_alignment(header, text)
    )


def _alignment(header: list[str], text: tuple[int, ...]) -> list[str]:
    return ["left" if column in text else "right" for column in range(len(header))]


def latex(header: list[str], rows: list[list[str]], text: tuple[int, ...] = (0,)) -> str:
    """A LaTeX tabular in the style of booktabs, special characters escaped."""
    return tabulate(
        rows,
        header,
        tablefmt="latex_booktabs",
        disable_numparse=True,
        colalign=_alignment(header, text),
    ).replace("±", r"$\pm$")


def p_value(p: float) -> str:
    """Two digits; what the resampling cannot tell apart is below .001."""
    return "<.001" if p < 0.001 else f"{p:.3f}"


def wrap(text: str) -> str:
    """Lines for a terminal of 100 columns."""
    return "\n".join(textwrap.wrap(text, 98, break_long_words=False, break_on_hyphens=False))
