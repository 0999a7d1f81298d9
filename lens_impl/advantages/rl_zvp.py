"""RL-ZVP: groups without variance learn from token entropy.

Open choices: H_t is the entropy of pi_old, which needs no second pass and no gradient, where the
paper has the detached entropy of the policy (the same at the first update). "All correct" and "all
wrong" mean rewards of 1 and of 0, so equal rewards in between get GRPO's 0. Its higher upper
clipping bound (0.28) is in config/methods.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, is_all_correct, is_all_wrong, to_tokens
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, number
from lens_impl.errors import UserError


@dataclass(frozen=True)
class RLZVPOptions(Options):
    alpha: float = number(0.1, "weight of the entropy in groups without variance", at_least=0)


@method(
    "RL-ZVP",
    Paper("Le et al.", 2025, "2509.21880"),
    RLZVPOptions,
    all_wrong="-alpha (max_k H_k - H_t)",
    mixed="as `grpo`",
    all_correct="alpha H_t",
    group_of_one="all-wrong or all-correct",
)
def rl_zvp(batch: RolloutBatch, options: RLZVPOptions) -> torch.Tensor:
    """[B, T] float32 advantages of RL-ZVP, with H_t the entropy at token t in nats.

    The maximum in all-wrong groups is over the response's own tokens. UserError where the batch has
    no entropies.
    """
    if batch.entropies is None:
        raise UserError(
            "rl_zvp: the batch has no entropies; give RolloutBatch entropies, [B, T] in nats"
        )
    entropies = torch.where(batch.mask, batch.entropies.double(), 0.0).clamp(min=0)
    # The masked zeros never exceed a token's entropy; a batch may have no tokens at all.
    largest = entropies.amax(1, keepdim=True) if entropies.shape[1] else 0.0
    advantages = normalize_in_group(batch.exact_rewards, batch)[:, None].expand_as(entropies)
    advantages = torch.where(is_all_correct(batch)[:, None], options.alpha * entropies, advantages)
    wrong = is_all_wrong(batch)[:, None]
    return to_tokens(torch.where(wrong, options.alpha * (entropies - largest), advantages), batch)
