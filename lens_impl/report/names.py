"""Names and sentences that tables, figures and the summary share."""

from typing import Any

from lens_impl.advantages import METHODS
from lens_impl.comparison.evaluations import Evaluations

METHOD_NAMES = {
    "base": "base model",
    **{name.replace("_", "-"): method.title for name, method in METHODS.items()},
}
TOY = (
    "Designed toy: not comparable with the paper's absolute numbers, only directions are compared."
)


def method_name(method: str) -> str:
    """The paper's name of a method: lens is LENS, and its variant lens-alpha-1 is "LENS, alpha 1".

    A method of another name is called as config/methods.yaml calls it.
    """
    if method in METHOD_NAMES:
        return METHOD_NAMES[method]
    families = [name for name in METHOD_NAMES if method.startswith(f"{name}-")]
    if not families:
        return method
    family = max(families, key=len)
    variant = method.removeprefix(f"{family}-").replace("-", " ")
    return f"{METHOD_NAMES[family]}, {variant}"


def percent(row: Any, sign: str = "") -> str:
    """An estimate in % and half of its interval; sign "+" for a difference in points."""
    return f"{100 * row.estimate:{sign}.1f} ±{50 * (row.high - row.low):.1f}"


def warnings(found: Evaluations) -> list[str]:
    """What is wrong with the runs, for the reader of a table."""
    lines = [f"- **{fault}**" for fault in found.faults] + [f"- {note}" for note in found.notes]
    return ["\n".join(lines)] if lines else []
