"""Checks of the methods' options; each names the option."""

import math

from lens_impl.errors import UserError


def check_number(
    method: str,
    name: str,
    value: float,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
) -> None:
    """UserError unless value is a finite number within the bounds."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and at_least <= value <= at_most and value > above:
        return
    bounds = {"of at least": at_least, "above": above, "of at most": at_most}
    limits = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
    allowed = " ".join(["a number", " and ".join(limits)]).strip()
    raise UserError(f"{method}: {name} must be {allowed}, got {value!r}")


def check_choice(method: str, name: str, value: str, allowed: tuple[str, ...]) -> None:
    """UserError unless value is one of the allowed names."""
    if value not in allowed:
        raise UserError(f"{method}: {name} must be one of {', '.join(allowed)}; got {value!r}")
