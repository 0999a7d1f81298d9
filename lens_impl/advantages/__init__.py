"""Advantage functions: each method is a pure function from a RolloutBatch to [B, T] advantages."""

from collections.abc import Callable
from inspect import signature

from torch import Tensor

from lens_impl.advantages.asym_re import asym_re
from lens_impl.advantages.batch import RolloutBatch, group_kind, sequence_confidence
from lens_impl.advantages.dapo import dapo
from lens_impl.advantages.decomposed import nsr, psr, w_reinforce
from lens_impl.advantages.grpo import dr_grpo, grpo
from lens_impl.advantages.lens import calibrated_rewards, lens, lens_mixed_only, lens_negative_only
from lens_impl.advantages.ngrpo import ngrpo
from lens_impl.advantages.rl_zvp import rl_zvp
from lens_impl.errors import UserError

METHODS: dict[str, Callable[..., Tensor]] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "lens": lens,
    "lens_mixed_only": lens_mixed_only,
    "lens_negative_only": lens_negative_only,
    "ngrpo": ngrpo,
    "psr": psr,
    "nsr": nsr,
    "w_reinforce": w_reinforce,
    "rl_zvp": rl_zvp,
    "asym_re": asym_re,
}

__all__ = [
    "METHODS",
    "RolloutBatch",
    "calibrated_rewards",
    "compute_advantages",
    "group_kind",
    "sequence_confidence",
]


def compute_advantages(name: str, batch: RolloutBatch, **options) -> Tensor:
    """[B, T] float32 advantages of the method `name`, 0 where masked.

    UserError (a ValueError) for a method or an option that does not exist, and for an option's
    wrong value.
    """
    if name not in METHODS:
        raise UserError(f"advantages: no method {name!r}; the methods are {', '.join(METHODS)}")
    allowed = list(signature(METHODS[name]).parameters)[1:]
    for option in options:
        if option not in allowed:
            raise UserError(
                f"advantages: {name} has no option {option!r}; "
                f"its options are {', '.join(allowed) or '(none)'}"
            )
    return METHODS[name](batch, **options)
