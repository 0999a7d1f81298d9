"""Advantage functions: each method is a pure function from a RolloutBatch to [B, T] advantages.

To add a method, write one file here (the shortest example: asym_re.py) and one line in
config/methods.yaml. Importing this package does not import torch (see lazy_torch.py).
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from lens_impl.advantages.batch import RolloutBatch, group_kind, sequence_confidence
from lens_impl.advantages.lens import calibrated_rewards
from lens_impl.advantages.method import METHODS
from lens_impl.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

# Each file enters its methods into METHODS.
for _module in iter_modules(__path__):
    if not _module.name.startswith("_"):
        import_module(f"{__name__}.{_module.name}")

__all__ = [
    "METHODS",
    "RolloutBatch",
    "calibrated_rewards",
    "compute_advantages",
    "group_kind",
    "sequence_confidence",
]


def compute_advantages(name: str, batch: RolloutBatch, **options: Any) -> Tensor:
    """[B, T] float32 advantages of the method `name`, 0 where masked.

    UserError (a ValueError) for a method or an option that does not exist, and for an option's
    wrong value.
    """
    if name not in METHODS:
        raise UserError(f"advantages: no method {name!r}; the methods are {', '.join(METHODS)}")
    return METHODS[name](batch, **options)
