"""Pass@k as the objective: Pass@k training (analytical), PKPO, and the best response alone.

With c correct responses of G, the chance that k of them drawn without replacement are all wrong is
C(G - c, k) / C(G, k). Open choices:
- A response is correct if its reward is 1.
- The k of the papers was not taken over: 4 here. In Pass@k training a group of at most k responses
  gets 0, which is the formula's value at k = G. A configuration with such groups is refused.
- The best response alone is the advantage that verl 0.9.1 calls grpo_passk, without the standard
  deviation. A tie for the best gives 0, and so does a group of one, which verl refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, group_max, group_sum, to_tokens
from lens_impl.advantages.grpo import EPSILON
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, count


@dataclass(frozen=True)
class PassAtKOptions(Options):
    k: int = count(4, "the k of Pass@k", at_least=1)


@method(
    "Pass@k training",
    Paper("Chen et al.", 2025, "2508.10751"),
    PassAtKOptions,
    all_wrong="0",
    mixed="(1 - R) / (S + 1e-6) if correct; wrong: 1 - R - C(G-c-1, k-1) / C(G-1, k-1) above it",
    all_correct="0",
    group_of_one="0",
)
def pass_at_k_training(batch: RolloutBatch, options: PassAtKOptions) -> torch.Tensor:
    """[B, T] float32 advantages of Pass@k training, the analytical form.

    R = 1 - C(G - c, k) / C(G, k) is the mean reward of all sets of k responses, and
    S = sqrt(R (1 - R)) its standard deviation; a response's advantage is the mean over its sets.
    k = 1 is GRPO with ddof 0.
    """
    correct = batch.exact_rewards == 1
    wrong = group_sum(~correct, batch)
    failed = _all_wrong(wrong, batch.group_size, options.k)
    deviation = ((1 - failed) * failed).sqrt() + EPSILON
    with_wrong = _all_wrong(wrong - 1, batch.group_size - 1, options.k - 1)
    gain = torch.where(correct, failed, failed - with_wrong)
    # A set of k needs at least k responses.
    enough = batch.group_size > options.k
    return to_tokens(torch.where(enough, gain / deviation, 0.0), batch)


@method(
    "PKPO",
    Paper("Walder and Karkhanis", 2025, "2505.15201"),
    PassAtKOptions,
    all_wrong="0",
    mixed="(G b - sum b) / (G - 1), b = C(G-c, k-1) / C(G-1, k-1) if correct, else 0",
    all_correct="0",
    group_of_one="0",
)
def pkpo(batch: RolloutBatch, options: PassAtKOptions) -> torch.Tensor:
    """[B, T] float32 advantages of PKPO with a leave-one-out baseline.

    b_i, the chance that correct response i alone makes a set of k succeed, minus the mean of the
    other b_j. k = 1 is RLOO.
    """
    size = batch.group_size
    correct = batch.exact_rewards == 1
    alone = correct * _all_wrong(group_sum(~correct, batch), size - 1, options.k - 1)
    advantages = (size * alone - group_sum(alone, batch)) / (size - 1).clamp(min=1)
    return to_tokens(advantages, batch)


@method(
    "Best of the group",
    Paper("Tang et al.", 2025, "2503.19595"),
    all_wrong="0",
    mixed="largest r - second largest r for the best response, else 0",
    all_correct="0",
    group_of_one="0",
)
def best_of_group(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages: how far the best response is above the second, 0 for the rest."""
    rewards = batch.exact_rewards
    best = rewards == group_max(rewards, batch)
    second = group_max(torch.where(best, -1.0, rewards), batch)
    alone = best & (group_sum(best, batch) == 1) & (batch.group_size > 1)
    return to_tokens(torch.where(alone, rewards - second, 0.0), batch)


def _all_wrong(wrong: torch.Tensor, size: torch.Tensor, k: int) -> torch.Tensor:
    """[B] float64: C(wrong, k) / C(size, k), 0 where fewer than k are wrong."""
    chance = torch.ones_like(size)
    for drawn in range(k):
        chance = chance * (wrong - drawn).clamp(min=0) / (size - drawn).clamp(min=1)
    return chance
