"""torch, imported when it is first used: `from lens_impl import lazy_torch as torch`.

Methods are named and their options checked in every dry run, which must not wait for torch.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    import torch

    return getattr(torch, name)
