"""verl's platform for a machine without accelerator: torch.cpu, gloo, one logical device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry, set_platform

from lens_impl.verl_plugin import patches


class CpuPlatform(PlatformBase):
    """Answers of a CPU to verl's questions about its accelerator (see verl's PlatformBase)."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = torch.cpu

    def is_available(self) -> bool:
        return True

    def current_device(self) -> str:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int | None = None) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def ray_resource_name(self) -> str:
        # Ray is started with one logical GPU: verl's resource pools count nothing else.
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> None:
        return None


def use_cpu_platform() -> None:
    """Make the CPU verl's platform in this process, with the patches that it needs."""
    PlatformRegistry.register(platform="cpu")(CpuPlatform)
    set_platform(CpuPlatform())
    # A lookup key only: the FSDP engine is registered for "cuda" and "npu".
    os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")
    patches.give_torch_cpu_the_memory_api()
    patches.use_gloo_once()
    patches.offload_without_pinned_memory()
    patches.log_probs_in_one_call()
    patches.select_rows_of_nested_tensors_at_once()
