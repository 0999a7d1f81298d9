"""DS-GRPO, differential smoothing: correct responses are flattened, wrong ones sharpened.

In all-wrong groups the less confident response is penalised more, the opposite of LENS. As the code
released with MaxRL computes it (ddof 0); the paper itself was not read. Open choices: a reward
between 0 and 1 counts as r correct and 1 - r wrong responses; a group of one has the second term
alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, centered, group_mean, log_confidence, to_tokens
from lens_impl.advantages.grpo import EPSILON
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options, number


@dataclass(frozen=True)
class DSGRPOOptions(Options):
    weight: float = number(0.05, "weight of the mean token log-probability", at_least=0)


@method(
    "DS-GRPO",
    Paper("Gai et al.", 2025, "2511.19942"),
    DSGRPOOptions,
    all_wrong="weight log p",
    mixed="(r - m) / (s + 1e-6) with ddof 0, - weight log p if correct, + if wrong",
    all_correct="-weight log p",
    group_of_one="all-wrong or all-correct",
)
def ds_grpo(batch: RolloutBatch, options: DSGRPOOptions) -> torch.Tensor:
    """[B, T] float32 advantages of DS-GRPO, with log p the mean token log-probability."""
    rewards = batch.exact_rewards
    differences = centered(rewards, batch)
    deviation = group_mean(differences**2, batch).sqrt()
    smoothing = options.weight * (1 - 2 * rewards) * log_confidence(batch)
    return to_tokens(differences / (deviation + EPSILON) + smoothing, batch)
