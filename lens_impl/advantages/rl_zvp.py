"""RL-ZVP (Le et al. 2025, arXiv:2509.21880): groups without variance learn from token entropy.

Open choices: H_t is the entropy of pi_old, which needs no second pass and no gradient; "all
correct" and "all wrong" mean rewards of 1 and of 0, so equal rewards in between get GRPO's 0. Its
higher upper clipping bound (0.28) is in config/methods.yaml.
"""

import torch
from torch import Tensor

from lens_impl.advantages.batch import RolloutBatch, is_all_correct, is_all_wrong, to_tokens
from lens_impl.advantages.grpo import normalize_in_group
from lens_impl.advantages.options import check_number
from lens_impl.errors import UserError


def rl_zvp(batch: RolloutBatch, alpha: float = 0.1) -> Tensor:
    """[B, T] float32 advantages of RL-ZVP, with H_t the entropy at token t in nats.

    Groups with variance: GRPO. All-correct groups: alpha * H_t. All-wrong groups:
    -alpha * (max_k H_k - H_t), the maximum over the response's own tokens. A group of one is
    all-correct or all-wrong. UserError where the batch has no entropies.
    """
    check_number("rl_zvp", "alpha", alpha, at_least=0)
    if batch.entropies is None:
        raise UserError(
            "rl_zvp: the batch has no entropies; give RolloutBatch entropies, [B, T] in nats"
        )
    entropies = torch.where(batch.response_mask, batch.entropies.double(), 0.0).clamp(min=0)
    # The masked zeros never exceed a token's entropy; a batch may have no tokens at all.
    largest = entropies.amax(1, keepdim=True) if entropies.shape[1] else 0.0
    advantages = normalize_in_group(batch.exact_rewards, batch)[:, None].expand_as(entropies)
    advantages = torch.where(is_all_correct(batch)[:, None], alpha * entropies, advantages)
    wrong = is_all_wrong(batch)[:, None]
    return to_tokens(torch.where(wrong, alpha * (entropies - largest), advantages), batch)
