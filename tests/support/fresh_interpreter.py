"""Tests that each need an interpreter of their own."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable

INSIDE = "LENS_TEST_IN_FRESH_INTERPRETER"


def fresh_interpreter(**environment: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Run the decorated test by a pytest of its own, with these environment variables."""

    def decorate(test: Callable[[], None]) -> Callable[[], None]:
        @functools.wraps(test)
        def run() -> None:
            if os.environ.get(INSIDE) == test.__name__:
                test()
                return
            name = f"{test.__code__.co_filename}::{test.__name__}"
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
                env={**os.environ, **environment, INSIDE: test.__name__},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]

        return run

    return decorate
