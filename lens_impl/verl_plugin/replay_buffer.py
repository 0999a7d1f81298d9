"""verl's replay buffer, made deterministic and bounded for dynamic sampling (DAPO).

Deviations: if more groups are left than a batch takes, verl takes those that come first in a set of
random ids. Here those are taken whose prompts were sent first, so that a run can be repeated. And
verl's synchronous buffer filters without end; here the trainer can switch it off (`filtering`).
"""

from collections import Counter

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer


class OrderedReplayBuffer(ReplayBuffer):
    """Takes groups in the order in which their prompts were sent to the rollout."""

    filtering = True

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter]:
        """Extends verl's: the groups of equal rewards, and how many there are per reward."""
        if not self.filtering:
            return set(), Counter()
        return super()._dapo_filtered_keys(partition_id)

    def _select_prompt_uids(
        self, partition_id: str, sampleable_keys: set[str], batch_size: int
    ) -> tuple[list[str], dict[str, dict], dict[str, int]]:
        """Replaces verl's: the prompts of the batch, and copies of the tags and prompts' steps."""
        steps = dict(self.prompt_global_steps[partition_id])
        in_order = [uid for uid in steps if uid in sampleable_keys]
        return in_order[:batch_size], dict(self.partitions[partition_id]), steps
