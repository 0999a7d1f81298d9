"""PSR, NSR and W-REINFORCE (Zhu et al. 2025, arXiv:2506.01347): the two signs apart.

REINFORCE with rewards +1 and -1, split into positive and negative sample reinforcement. No group
statistics: group ids do not matter, and a group of one is as any other. PSR and NSR drop the
responses of the other sign: they have advantage 0 here, and `keep` in config/methods.yaml takes
their tokens out of the mean that is the loss.

Open choice: a reward between 0 and 1 counts as r correct and 1 - r wrong responses.
"""

from torch import Tensor

from lens_impl.advantages.batch import RolloutBatch, to_tokens
from lens_impl.advantages.options import check_number


def psr(batch: RolloutBatch) -> Tensor:
    """[B, T] float32 advantages of PSR: A = r; wrong responses are dropped (0).

    All-wrong groups get 0, all-correct ones 1.
    """
    return to_tokens(batch.exact_rewards, batch)


def nsr(batch: RolloutBatch) -> Tensor:
    """[B, T] float32 advantages of NSR: A = r - 1; correct responses are dropped (0).

    All-wrong groups get -1, all-correct ones 0.
    """
    return to_tokens(batch.exact_rewards - 1, batch)


def w_reinforce(batch: RolloutBatch, positive_weight: float = 0.1) -> Tensor:
    """[B, T] float32 advantages of W-REINFORCE: lambda if correct, -1 if wrong.

    positive_weight: the paper's lambda. All-wrong groups get -1, all-correct ones lambda.
    """
    check_number("w_reinforce", "positive_weight", positive_weight, at_least=0)
    rewards = batch.exact_rewards
    return to_tokens(positive_weight * rewards - (1 - rewards), batch)
