"""Signed: +size for correct responses, -size for wrong ones; a method that a test adds."""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, to_tokens
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, number


@dataclass(frozen=True)
class SignedOptions(Options):
    size: float = number(1.0, "the constant", above=0)


@method(
    "Signed",
    Paper("Nobody", 2026, "0000.00000"),
    SignedOptions,
    all_wrong="-size",
    mixed="size if correct, -size if wrong",
    all_correct="size",
    group_of_one="as in any group",
)
def signed(batch: RolloutBatch, options: SignedOptions) -> torch.Tensor:
    """[B, T] float32 advantages: size * (2 r - 1)."""
    return to_tokens(options.size * (2 * batch.exact_rewards - 1), batch)
