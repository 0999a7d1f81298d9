"""Train one run in verl's process: `python -m lens_impl.verl_plugin.main REQUEST.json`.

verl's own entry starts its task runner as a Ray actor. Here it runs in the driver, which saves a
process and its imports (about 6 s and 0.6 GB at tiny scale).
"""

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

from lens_impl.verl_plugin import stopping
from lens_impl.verl_plugin.ray_cluster import JOIN_SECONDS


def exit_with_parent() -> None:
    """End this process when the one that started it has ended, however it did."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def start_ray(address: str, nodes: int, cpus: int, gpus: int) -> None:
    """Start Ray here (address `local`), or join the cluster at `address` and wait for its nodes.

    TimeoutError if one is missing after JOIN_SECONDS; ConnectionError if the head is.
    """
    import ray

    quiet = {"configure_logging": False, "log_to_driver": True}
    if address == "local":
        # Ray starts its processes while this one continues with its imports.
        here = {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False}
        ray.init(address="local", **here, **quiet)
        return
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        try:
            ray.init(address=address, **quiet)
            break
        except ConnectionError:
            # The head may still be starting.
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
    while (alive := sum(node["Alive"] for node in ray.nodes())) < nodes:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{alive} of {nodes} nodes joined Ray in {JOIN_SECONDS:.0f} s")
        time.sleep(0.5)


def main() -> None:
    # The imports make a million objects that stay; collecting garbage among them takes a second.
    gc.disable()
    stopping.listen()
    exit_with_parent()
    request = json.loads(Path(sys.argv[1]).read_text())
    start_ray(**request["ray"])
    from hydra import compose, initialize_config_module
    from verl.utils.config import validate_config

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=request["overrides"])
    validate_config(config=config, use_reference_policy=False, use_critic=False)

    from lens_impl.verl_plugin.trainer import LensTaskRunner

    gc.enable()
    LensTaskRunner().run(config)
    import ray

    ray.shutdown()


if __name__ == "__main__":
    main()
