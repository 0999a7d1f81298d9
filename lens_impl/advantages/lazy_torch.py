"""torch, imported when it is first used.

Methods are named and their options checked in every dry run, which must not wait for torch. So the
files of this package write `from lens_impl.advantages import lazy_torch as torch`.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    import torch

    return getattr(torch, name)
