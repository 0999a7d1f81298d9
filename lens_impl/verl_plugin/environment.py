"""Environment variables of verl's and Ray's processes."""

import os
import secrets

ALWAYS = {
    "VERL_USE_EXTERNAL_MODULES": "lens_impl.verl_plugin.register",
    "VERL_USE_EXTERNAL_PLUGINS": "none",
    "TRANSFER_QUEUE_ENABLE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    # Ray's default of 15 starves a run on a machine that does anything else.
    "RAY_worker_niceness": "0",
    "HYDRA_FULL_ERROR": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    "PYTHONHASHSEED": "0",
}
ON_CPU = {
    "VERL_PLATFORM": "cpu",
    "HF_HUB_OFFLINE": "1",
    # Ray would start as many idle workers as it has CPUs; none of them would be used.
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
}
NOT_CUDA = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


def environment(settings: dict, ray_folder: str) -> dict[str, str]:
    """Environment of verl's process and of all that Ray starts for it, on top of this process's.

    settings: device, threads. ray_folder: where Ray keeps its files and sockets.
    """
    values = {**without_amd(dict(os.environ)), **ALWAYS, "RAY_TMPDIR": ray_folder}
    if settings["device"] == "cpu":
        values |= {**ON_CPU, "OMP_NUM_THREADS": str(settings["threads"])}
    return values


def without_amd(environment: dict[str, str]) -> dict[str, str]:
    """An environment in which GPUs are named for CUDA alone.

    Slurm names a job's GPUs in the variables of every vendor, and verl accepts only one of them
    (verl/single_controller/base/worker.py, _setup_env_cuda_visible_devices).
    """
    if "CUDA_VISIBLE_DEVICES" not in environment:
        return environment
    return {name: value for name, value in environment.items() if name not in NOT_CUDA}


def secret() -> dict[str, str]:
    """Variables that let only processes that have them into a Ray cluster, whose ports are open."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
