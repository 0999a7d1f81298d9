"""Registers the plugin with verl; loaded by each of its processes (VERL_USE_EXTERNAL_MODULES)."""

import os

from verl.workers.rollout.base import _ROLLOUT_REGISTRY
from verl.workers.rollout.replica import RolloutReplicaRegistry

from lens_impl.verl_plugin import patches


def _hf_replica() -> type:
    from lens_impl.verl_plugin.hf_rollout import HFReplica

    return HFReplica


_ROLLOUT_REGISTRY[("hf", "async")] = "lens_impl.verl_plugin.hf_rollout.HFRollout"
RolloutReplicaRegistry.register("hf", _hf_replica)
patches.build_prompts_without_chatml()

if os.environ.get("VERL_PLATFORM") == "cpu":
    from lens_impl.verl_plugin.platform_cpu import use_cpu_platform

    use_cpu_platform()
