"""GRPO without the groups that say nothing: a control of the denominator.

Groups of equal rewards have advantage 0 but count in the mean that is the loss, so the step is
smaller the more of them there are. Here the other groups are weighted as if those were not there,
with no signal from all-wrong groups: what a method gains over GRPO may be no more than this. It is
not from a paper, and the paper named is that of GRPO.

Open choices: the weight is (responses) / (responses in groups whose rewards differ) of the whole
rollout batch, not of each update, so that it is an advantage. It fits the default loss, a mean over
responses. A group of one has no variance and gets 0.
"""

from __future__ import annotations

from lens_impl import lazy_torch as torch
from lens_impl.advantages.batch import RolloutBatch, rewards_differ, to_tokens
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.method import Paper, method
from lens_impl.advantages.options import Options


@method(
    "GRPO, only groups with variance",
    Paper("Shao et al.", 2024, "2402.03300"),
    all_wrong="0",
    mixed="as `grpo`, times B / (responses in mixed groups)",
    all_correct="0",
    group_of_one="0",
)
def grpo_live(batch: RolloutBatch, options: Options) -> torch.Tensor:
    """[B, T] float32 advantages of GRPO, times B / (responses in groups whose rewards differ)."""
    live = rewards_differ(batch)
    weight = len(live) / max(1, int(live.sum()))
    advantages = weight * normalize_in_group(batch.exact_rewards, batch)
    return to_tokens(torch.where(live, advantages, 0.0), batch)
