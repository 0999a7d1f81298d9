"""Environment variables of verl's and Ray's processes."""

import os
import secrets


def secret() -> dict[str, str]:
    """Environment that lets only its holders into a Ray cluster: others can reach its ports."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def without_amd(environment: dict[str, str]) -> dict[str, str]:
    """An environment in which GPUs are named for CUDA alone.

    Slurm names a job's GPUs in the variables of every vendor, and verl refuses two of them
    (verl/single_controller/base/worker.py, _setup_env_cuda_visible_devices).
    """
    if "CUDA_VISIBLE_DEVICES" not in environment:
        return environment
    others = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
    return {name: value for name, value in environment.items() if name not in others}


def environment(settings: dict, ray_folder: str) -> dict[str, str]:
    """Environment of verl's process and of all that Ray starts for it."""
    values = {
        "VERL_USE_EXTERNAL_MODULES": "lens_impl.verl_plugin.register",
        "VERL_USE_EXTERNAL_PLUGINS": "none",
        "TRANSFER_QUEUE_ENABLE": "1",
        "RAY_TMPDIR": ray_folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        # Ray's default of 15 starves a training on a machine that does anything else.
        "RAY_worker_niceness": "0",
        "HYDRA_FULL_ERROR": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "PYTHONHASHSEED": "0",
    }
    if settings["device"] == "cpu":
        values |= {
            "VERL_PLATFORM": "cpu",
            "OMP_NUM_THREADS": str(settings["threads"]),
            "HF_HUB_OFFLINE": "1",
            # Ray would start as many idle workers as it has CPUs; none of them would be used.
            "RAY_enable_worker_prestart": "0",
            "RAY_prestart_worker_first_driver": "0",
        }
    return {**without_amd(dict(os.environ)), **values}
