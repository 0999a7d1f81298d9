"""vLLM's processor build as verl's rollout engine: what its workers need beside verl's own.

Named by `overrides.py`; imported by vLLM in its workers alone.
"""

from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension

from lens_impl.verl_plugin.patches import keep_vllm_weights


class WorkerExtension(vLLMColocateWorkerExtension):
    """verl's extension of a vLLM worker, with weights that a sync can write."""

    def __new__(cls, **kwargs):
        # Before the worker loads its model.
        keep_vllm_weights()
        return super().__new__(cls, **kwargs)
