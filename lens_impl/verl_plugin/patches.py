"""Patches of verl 0.9.1 and vLLM 0.28.0, one function each; most for a machine without accelerator.

Each names the upstream code that makes it necessary; tests/verl_plugin/test_verl_patches.py (vLLM:
test_vllm.py) fails when a patch is no longer needed or no longer fits.
"""

import functools

import torch

from lens_impl.verl_plugin import nested

MEMORY_API = {
    "empty_cache": lambda: None,
    "ipc_collect": lambda: None,
    "memory_allocated": lambda *args: 0,
    "memory_reserved": lambda *args: 0,
    "max_memory_allocated": lambda *args: 0,
    "max_memory_reserved": lambda *args: 0,
    "reset_peak_memory_stats": lambda *args: None,
    "mem_get_info": lambda *args: (0, 0),
    "get_rng_state": lambda *args: torch.get_rng_state(),
    "set_rng_state": lambda state, *args: torch.set_rng_state(state),
    "manual_seed": torch.manual_seed,
    "manual_seed_all": torch.manual_seed,
    "get_device_name": lambda *args: "CPU",
}


def give_torch_cpu_the_memory_api() -> None:
    """verl/workers/engine_workers.py calls torch.<device>.max_memory_allocated() and its like."""
    for name, function in MEMORY_API.items():
        if not hasattr(torch.cpu, name):
            setattr(torch.cpu, name, function)


def use_gloo_once() -> None:
    """verl/utils/distributed.py builds "cpu:gloo,{device}:{backend}", a duplicate on a CPU."""
    import verl.utils.distributed as distributed

    original = distributed.initialize_global_process_group_ray
    if isinstance(original, functools.partial):
        return
    distributed.initialize_global_process_group_ray = functools.partial(original, backend="gloo")


def offload_without_pinned_memory() -> None:
    """verl/workers/engine/fsdp/transformer_impl.py pins offloaded memory, which needs CUDA."""
    import verl.workers.engine.fsdp.transformer_impl as transformer_impl

    transformer_impl.CPUOffloadPolicy = lambda pin_memory=True: None


def use_local_queue() -> None:
    """verl/trainer/main_ppo.py and trainer_base.py name the module transfer_queue, with no choice.

    Its controller and its storage are two processes, which a rollout in the trainer's own process
    does not need.
    """
    import transfer_queue

    from lens_impl.verl_plugin.local_queue import LocalQueue

    queue = LocalQueue()
    for name in ("init", "close", "kv_list", "kv_batch_put", "kv_batch_get", "kv_clear"):
        setattr(transfer_queue, name, getattr(queue, name))


def build_prompts_without_chatml() -> None:
    """verl/utils/tokenizer/continuous_token_wiring.py asks every Qwen2's tokenizer for <|im_end|>.

    The toy model is a Qwen2 with a small tokenizer of its own. verl needs the token for turns that
    follow a response; runs here have one turn, so its default builder serves.
    """
    import verl.utils.tokenizer.continuous_token_wiring as wiring

    wiring._MODEL_TYPE_TO_FAMILY.pop("qwen2", None)


def keep_vllm_weights() -> None:
    """vllm/model_executor/layers/linear.py empties a layer's weight once it is packed for the CPU.

    verl's weight sync then finds nothing to copy into and fails in vLLM's worker, and the sender
    waits forever. A plain linear call reads the weight where verl writes it.
    """
    import vllm.model_executor.layers.utils as utils

    utils.dispatch_cpu_unquantized_gemm = _plain_linear


def _plain_linear(layer: torch.nn.Module, remove_weight: bool) -> None:
    layer.cpu_linear = torch.nn.functional.linear


def log_probs_in_one_call() -> None:
    """verl/utils/torch_functional.py (logprobs_from_logits_v2) loops over rows to save memory.

    Without padding removal a row is a token: 28,000 Python iterations per step at tiny scale, a
    quarter of the actor's time. verl's own one-call function gives the same values.
    """
    import verl.utils.torch_functional as torch_functional

    torch_functional.logprobs_from_logits_v2 = torch_functional.logprobs_from_logits_naive


def select_rows_of_nested_tensors_at_once() -> None:
    """verl/utils/tensordict_utils.py (index_select_tensor_dict, chunk_tensordict) unbinds all rows.

    At tiny scale that is 15 % of an update: 512 rows of 8 columns are taken apart for each of the
    4 mini-batches, and again to make one micro-batch of each; and 5 % of the old log-probabilities.
    """
    import verl.utils.tensordict_utils as tensordict_utils

    tensordict_utils.chunk_tensordict = nested.chunk
    tensordict_utils.index_select_tensor_dict = nested.select_rows
