"""verl's replay buffer with an order of its own for dynamic sampling (DAPO), and an end to it.

Deviations: where more groups are left than a batch holds, verl takes those that come first in a set
of random ids. Here the first that were asked for are taken, so that a training can be repeated. And
verl's synchronous buffer filters for ever; here the trainer can switch it off (`filtering`).
"""

from collections import Counter

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer


class OrderedReplayBuffer(ReplayBuffer):
    """Takes groups in the order in which their prompts were sent to the rollout."""

    filtering = True

    def _dapo_filtered_keys(self, partition_id):
        if not self.filtering:
            return set(), Counter()
        return super()._dapo_filtered_keys(partition_id)

    def _select_prompt_uids(self, partition_id, sampleable_keys, batch_size):
        steps = dict(self.prompt_global_steps[partition_id])
        in_order = [uid for uid in steps if uid in sampleable_keys]
        return in_order[:batch_size], dict(self.partitions[partition_id]), steps
