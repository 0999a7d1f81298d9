"""Patches of verl 0.9.1 for a machine without accelerator, one function each.

Each names the upstream line that it answers; tests/test_verl_patches.py fails when a patch is no
longer needed or no longer fits.
"""

import functools

import torch

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
    """verl/workers/engine/fsdp/transformer_impl.py pins offloaded memory, a service of CUDA."""
    import verl.workers.engine.fsdp.transformer_impl as transformer_impl

    transformer_impl.CPUOffloadPolicy = lambda pin_memory=True: None


def log_probs_in_one_call() -> None:
    """verl/utils/torch_functional.py (logprobs_from_logits_v2) loops over rows to save memory.

    Without padding removal a row is a token: 28,000 Python iterations a step at tiny scale, a
    quarter of the actor's time. verl's own one-call function gives the same values.
    """
    import verl.utils.torch_functional as torch_functional

    torch_functional.logprobs_from_logits_v2 = torch_functional.logprobs_from_logits_naive
