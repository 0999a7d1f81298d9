"""A method's options: a frozen dataclass whose fields have a default, bounds and a line of help.

@dataclass(frozen=True)
class RLZVPOptions(Options):
    alpha: float = number(0.1, "weight of the entropy", at_least=0)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from lens_impl.errors import UserError


@dataclass(frozen=True)
class Options:
    """Options of one method; this one has none. UserError for a value that is not allowed."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value, allowed = getattr(self, option.name), option.metadata["allowed"]
            if not option.metadata["accepts"](value):
                comma = ";" if "," in allowed else ","
                raise UserError(f"{option.name} must be {allowed}{comma} got {value!r}")


def number(
    default: float | None,
    help: str,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> Any:
    """A field for a finite number within the bounds; or for none, where that is the default."""

    def accepts(value: Any) -> bool:
        if value is None:
            return default is None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        within = is_number and math.isfinite(value) and at_least <= value <= at_most
        return within and above < value < below

    bounds = {"of at least": at_least, "above": above, "of at most": at_most, "below": below}
    limits = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
    allowed = " ".join(["a number", " and ".join(limits)]).strip()
    return _option(default, help, accepts, allowed + " or null" * (default is None))


def count(default: int, help: str, *, at_least: int) -> Any:
    """A field for a whole number of at least this."""

    def accepts(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= at_least

    return _option(default, help, accepts, f"a whole number of at least {at_least}")


def choice(*names: str, help: str) -> Any:
    """A field for one of these names; the first is the default."""
    return _option(names[0], help, names.__contains__, f"one of {', '.join(names)}")


def switch(default: bool, help: str, *others: str) -> Any:
    """A field for true or false, or for one of the names `others`."""

    def accepts(value: Any) -> bool:
        return isinstance(value, bool) or value in others

    return _option(default, help, accepts, " or ".join(["true", "false", *others]))


def _option(default: Any, help: str, accepts: Callable[[Any], bool], allowed: str) -> Any:
    return field(default=default, metadata={"accepts": accepts, "allowed": allowed, "help": help})
