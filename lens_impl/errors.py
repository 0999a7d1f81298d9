"""One way to tell a user what went wrong."""

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Wrong input. The message says what failed, the value, what is allowed, what to do next."""


def run_cli(main: Callable[[], None]) -> None:
    """Run a command's main function; a UserError ends it with one sentence and exit status 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # Some libraries raise it with a text only.
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(
            f"error: {what}. "
            "Hint: check that the file exists, is writable and that the disk is not full.",
            file=sys.stderr,
        )
        sys.exit(2)


def choice(value: object, allowed: Iterable[object]) -> str:
    """The allowed values, and the one that was probably meant."""
    names = [str(name) for name in allowed]
    near = get_close_matches(str(value), names, n=1)
    hint = f" Hint: did you mean {near[0]!r}?" if near else ""
    return f"one of {', '.join(names)}.{hint}" if len(names) > 1 else f"{names[0]!r}.{hint}"
