"""PSR, NSR and W-REINFORCE: the two signs of REINFORCE apart.

REINFORCE with rewards +1 and -1, split into positive and negative sample reinforcement. No group
statistics: group ids do not matter, and a group of one is as any other. PSR and NSR drop the
responses of the other sign: they have advantage 0 here, and `keep` in config/methods.yaml takes
their tokens out of the mean that is the loss.

Open choice: a reward between 0 and 1 counts as r correct and 1 - r wrong responses.
"""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, to_tokens
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, number

PAPER = Paper("Zhu et al.", 2025, "2506.01347")


@method(
    "PSR",
    PAPER,
    all_wrong="0 (dropped)",
    mixed="1 if correct, wrong ones dropped",
    all_correct="1",
    group_of_one="as in any group",
)
def psr(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of PSR: A = r; wrong responses are dropped (0)."""
    return to_tokens(batch.exact_rewards, batch)


@method(
    "NSR",
    PAPER,
    all_wrong="-1",
    mixed="-1 if wrong, correct ones dropped",
    all_correct="0 (dropped)",
    group_of_one="as in any group",
)
def nsr(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of NSR: A = r - 1; correct responses are dropped (0)."""
    return to_tokens(batch.exact_rewards - 1, batch)


@dataclass(frozen=True)
class WReinforceOptions(Options):
    positive_weight: float = number(
        0.1, "weight of correct responses, the paper's lambda", at_least=0
    )


@method(
    "W-REINFORCE",
    PAPER,
    WReinforceOptions,
    all_wrong="-1",
    mixed="lambda if correct, -1 if wrong",
    all_correct="lambda",
    group_of_one="as in any group",
)
def w_reinforce(batch: RolloutBatch, options: WReinforceOptions) -> torch.Tensor:
    """[B, T] float32 advantages of W-REINFORCE: lambda if correct, -1 if wrong."""
    rewards = batch.exact_rewards
    return to_tokens(options.positive_weight * rewards - (1 - rewards), batch)
