"""vLLM's CPU build as verl's rollout engine: what its workers need in addition to verl's.

`overrides.py` names the class; only vLLM imports it, in its workers.
"""

from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension

from lens_impl.verl_plugin.patches import keep_vllm_weights


class WorkerExtension(vLLMColocateWorkerExtension):
    """verl's extension of a vLLM worker, with weights that a sync can write."""

    def __new__(cls, **kwargs: object) -> "WorkerExtension":
        # Here, because it must happen before the worker loads its model.
        keep_vllm_weights()
        return super().__new__(cls, **kwargs)
