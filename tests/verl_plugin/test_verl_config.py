"""The generated configurations, checked by verl's own validation and configuration classes."""

import pytest
from support.verl_config import one_a_method, resolved

from lens_impl.experiments.configuration import scales
from lens_impl.files import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scale", scales(ROOT))
def test_verl_accepts_every_method(scale):
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    for settings, schedule in one_a_method(scale).values():
        config = resolved(settings, schedule)
        validate_config(config=config, use_reference_policy=False, use_critic=False)
        parts = config.actor_rollout_ref
        # A key that a class of verl's does not have is a TypeError here.
        actor = omega_conf_to_dataclass(parts.actor)
        rollout = omega_conf_to_dataclass(parts.rollout)
        ranks = config.trainer.nnodes * config.trainer.n_gpus_per_node
        actor.validate(ranks, config.data.train_batch_size, parts.model)
        assert rollout.n * actor.ppo_mini_batch_size % ranks == 0
        assert actor.clip_ratio_low == actor.clip_ratio_high == 0.2
        assert actor.optim.lr == settings["learning_rate"]


def test_verl_accepts_vllm_on_a_cpu():
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    settings, schedule = one_a_method("smoke")["lens"]
    config = resolved(settings | {"engine": "vllm"}, schedule)
    validate_config(config=config, use_reference_policy=False, use_critic=False)
    assert not omega_conf_to_dataclass(config.actor_rollout_ref.rollout).enable_sleep_mode
