"""GRPO with advantages shaped by entropy: uncertain tokens count more.

There is no signal where GRPO has none. Clipping (0.28 above) and the mean over tokens as loss are
in config/methods.yaml. Deviations: H_t is the entropy of pi_old, which needs no second pass, where
the paper has the detached entropy of the policy (the same at the first update); rewards are 0 and
1, which the normalisation makes equal to the paper's -1 and 1 but for the 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, to_tokens
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, number
from lens_impl.errors import UserError


@dataclass(frozen=True)
class EntropyShapedOptions(Options):
    alpha: float = number(0.4, "weight of a token's entropy", at_least=0)
    kappa: float = number(
        2.0, "what is added is at most abs(A) / kappa; above 1, so that signs stay", above=1
    )


@method(
    "GRPO, shaped by entropy",
    Paper("Cheng et al.", 2025, "2506.14758"),
    EntropyShapedOptions,
    all_wrong="0",
    mixed="A + min(alpha H_t, abs(A) / kappa), A as `grpo`",
    all_correct="0",
    group_of_one="as mixed",
)
def entropy_shaped(batch: RolloutBatch, options: EntropyShapedOptions) -> torch.Tensor:
    """[B, T] float32 advantages A + min(alpha H_t, |A| / kappa), with A those of GRPO.

    H_t: entropy at token t in nats. UserError where the batch has no entropies.
    """
    if batch.entropies is None:
        raise UserError(
            "entropy_shaped: the batch has no entropies; give RolloutBatch entropies, "
            "[B, T] in nats"
        )
    entropies = torch.where(batch.mask, batch.entropies.double(), 0.0).clamp(min=0)
    advantages = normalize_in_group(batch.exact_rewards, batch)[:, None]
    bonus = torch.minimum(options.alpha * entropies, advantages.abs() / options.kappa)
    return to_tokens(advantages + bonus, batch)
