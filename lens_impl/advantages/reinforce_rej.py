"""Reinforce-Rej: REINFORCE on groups whose rewards differ, without the others.

Its sibling RAFT++, which trains on correct responses alone, is the advantage `psr` with every token
in the mean: config/methods.yaml. Groups that are rejected have 0 and stay in the mean, as in the
released code; a group of one is kept there too. Deviations: no KL loss (0.001 in its script) and
no dual clip (3). Open choice: the released code scores wrong responses -1 or 0, depending on the
data; `wrong` decides, and a reward r between 0 and 1 counts as r correct and 1 - r wrong responses.
"""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, rewards_differ, to_tokens
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, number


@dataclass(frozen=True)
class ReinforceRejOptions(Options):
    wrong: float = number(-1.0, "advantage of a wrong response", at_least=-1, at_most=0)


@method(
    "Reinforce-Rej",
    Paper("Xiong et al.", 2025, "2504.11343"),
    ReinforceRejOptions,
    all_wrong="0",
    mixed="1 if correct, -1 if wrong",
    all_correct="0",
    group_of_one="1 if correct, -1 if wrong",
)
def reinforce_rej(batch: RolloutBatch, options: ReinforceRejOptions) -> torch.Tensor:
    """[B, T] float32 advantages of Reinforce-Rej: 1 or `wrong`, 0 where all rewards are equal."""
    rewards = batch.exact_rewards
    kept = rewards_differ(batch) | (batch.group_size == 1)
    signed = rewards + (1 - rewards) * options.wrong
    return to_tokens(torch.where(kept, signed, 0.0), batch)
