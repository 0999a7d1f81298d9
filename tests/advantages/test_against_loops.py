"""The vectorised methods against plain loops, and GRPO against verl's own."""

import numpy as np
import pytest
import torch
from support.reference_advantages import OPTIONS, reference
from support.rollout_batches import random_batch

from lens_impl.advantages import METHODS, compute_advantages


@pytest.fixture(scope="module")
def batches():
    return [random_batch(seed, fractional=seed % 3 == 0) for seed in range(200)]


@pytest.mark.parametrize("name", METHODS)
def test_equals_the_loop(name, batches):
    """200 random ragged batches, a third of them with rewards between 0 and 1."""
    for seed, batch in enumerate(batches):
        advantages = compute_advantages(name, batch)
        assert advantages.dtype == torch.float32
        difference = advantages.double().numpy() - reference(name, batch)
        assert np.abs(difference).max() < 1e-6, seed


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, compared in OPTIONS.items() for options in compared],
    ids=str,
)
def test_equals_the_loop_under_every_option(name, options, batches):
    for batch in batches[:40]:
        advantages = compute_advantages(name, batch, **options).double().numpy()
        expected = reference(name, batch, **options)
        np.testing.assert_allclose(advantages, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_every_option_is_compared_away_from_its_default(name):
    known = METHODS[name].options
    moved = {
        option
        for options in OPTIONS[name]
        for option, value in options.items()
        if value != known[option].default
    }
    assert moved == known.keys()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_grpo_equals_verl(seed):
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    batch = random_batch(seed)
    theirs, _ = compute_grpo_outcome_advantage(*verl_columns(batch))
    torch.testing.assert_close(compute_advantages("grpo", batch), theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_rloo_and_reinforce_pp_equal_verl(seed):
    from omegaconf import OmegaConf
    from verl.trainer.ppo import core_algos

    batch = random_batch(seed, sizes=[4, 7, 1, 8, 16, 2])
    rewards, mask, ids = verl_columns(batch)
    config = OmegaConf.create({"gamma": 1.0})
    for name, (theirs, _) in {
        "rloo": core_algos.compute_rloo_outcome_advantage(rewards, mask, ids),
        "reinforce_pp": core_algos.compute_reinforce_plus_plus_outcome_advantage(
            rewards, mask, config=config
        ),
        "reinforce_pp_baseline": core_algos.compute_reinforce_plus_plus_baseline_outcome_advantage(
            rewards, mask, ids, config=config
        ),
    }.items():
        ours = compute_advantages(name, batch)
        torch.testing.assert_close(ours, theirs * mask, atol=2e-6, rtol=1e-6)


def verl_columns(batch):
    """Rewards at each response's last token, mask and group ids, as verl takes them."""
    last = batch.lengths - 1
    rewards = torch.zeros(batch.response_mask.shape)
    rewards[torch.arange(len(last)), last] = batch.rewards
    return rewards, batch.response_mask.float(), np.asarray(batch.group_ids, dtype=object)
