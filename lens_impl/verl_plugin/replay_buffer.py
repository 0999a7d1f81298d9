"""verl's replay buffer with an order of its own for dynamic sampling (DAPO).

Deviation: where more groups are left than a batch holds, verl takes those that come first in a set
of random ids. Here the first that were asked for are taken, so that a training can be repeated.
"""

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer


class OrderedReplayBuffer(ReplayBuffer):
    """Takes groups in the order in which their prompts were sent to the rollout."""

    def _select_prompt_uids(self, partition_id, sampleable_keys, batch_size):
        steps = dict(self.prompt_global_steps[partition_id])
        in_order = [uid for uid in steps if uid in sampleable_keys]
        return in_order[:batch_size], dict(self.partitions[partition_id]), steps
