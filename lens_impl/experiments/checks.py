"""What must hold between the keys of a configuration."""

import shutil
import tempfile
from pathlib import Path

from lens_impl.advantages import METHODS
from lens_impl.errors import UserError, choice
from lens_impl.experiments.sentences import check_schema

MINIMUM_FREE_BYTES = 2 * 1024**3  # a tiny run leaves about 1 GB of checkpoints and results


def check(config: dict) -> None:
    """Raise a UserError that names the first thing wrong with a configuration."""
    check_schema(config["methods"], "methods.schema.yaml", "config/methods.yaml: ")
    check_schema(config, "config.schema.yaml", "config: ")
    for name, method in config["methods"].items():
        check_advantage(f"config/methods.yaml: {name}", method)
        if method.get("keep", "all") != "all" and method.get("loss") != "token-mean":
            raise UserError(
                f"config/methods.yaml: {name}.keep is {method['keep']!r}, which needs "
                "loss: token-mean. Hint: the other losses divide by the number of all responses."
            )
    train, evaluate = config["train"], config["evaluate"]
    if train["prompts_per_rollout"] % train["prompts_per_update"]:
        raise UserError(
            f"config: train.prompts_per_rollout is {train['prompts_per_rollout']}, but must be a "
            f"multiple of train.prompts_per_update, which is {train['prompts_per_update']}. "
            "Hint: change one of the two; their quotient is the number of updates a rollout batch."
        )
    ranks = train["nodes"] * train["gpus_per_node"]
    if train["prompts_per_update"] * train["group_size"] % ranks:
        raise UserError(
            f"config: train.nodes x train.gpus_per_node is {ranks}, but must divide the "
            f"{train['prompts_per_update'] * train['group_size']} trajectories of an update. "
            "Hint: use fewer GPUs, or change train.prompts_per_update."
        )
    if evaluate["n"] < max(evaluate["k"]):
        raise UserError(
            f"config: evaluate.n is {evaluate['n']}, but Pass@{max(evaluate['k'])} in evaluate.k "
            f"needs at least {max(evaluate['k'])} samples. Hint: raise n or drop that k."
        )
    if train["device"] == "cpu" and train["engine"] == "vllm":
        raise UserError(
            "config: train.engine is 'vllm', but train.device 'cpu' needs 'hf'. "
            "Hint: set train.engine to hf, or train.device to cuda."
        )
    known = {"model": config["models"], "mix": config["data"]["mixes"], "method": config["methods"]}
    for place, experiment in enumerate(config["experiments"]):
        named = {**experiment, "method": experiment["methods"]}
        for kind, names in known.items():
            for value in named[kind] if kind == "method" else [named[kind]]:
                if value not in names:
                    raise UserError(
                        f"config: experiments[{place}] names the {kind} {value!r}, "
                        f"but it must be {choice(value, names)}"
                    )
    made = [name for name, model in config["models"].items() if model["source"] == "pretrain"]
    if made and "tiny_problems" not in config:
        raise UserError(
            f"config: models.{made[0]}.source is 'pretrain', but there are no tiny_problems to "
            "train it on. Hint: give tiny_problems, or take another source."
        )
    raw = config["data"]["local_dir"]
    if raw is not None and not Path(raw).is_dir():
        raise UserError(
            f"config: data.local_dir is {raw!r}, but there is no such folder. "
            "Hint: give the folder that holds the data sets, or null for the made ones."
        )


def check_advantage(where: str, method: dict) -> None:
    """Raise a UserError unless the method's advantage exists and takes its options."""
    advantage = method["advantage"]
    if advantage not in METHODS:
        raise UserError(
            f"{where}.advantage is {advantage!r}, but must be {choice(advantage, METHODS)}"
        )
    try:
        METHODS[advantage].checked(method.get("options", {}))
    except UserError as error:
        raise UserError(f"{where}.options: {error}. Hint: docs/methods.md has a table.") from None


def check_results_folder(folder: Path | str = "results") -> None:
    """Raise a UserError unless files can be written there and enough of the disk is free."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder.resolve()}: cannot write there ({error.strerror}). "
            "Hint: make the folder writable, or clone the project into a folder of your own."
        ) from None
    free = shutil.disk_usage(folder).free
    if free < MINIMUM_FREE_BYTES:
        raise UserError(
            f"{folder.resolve()}: {free / 1024**3:.1f} GiB are free on its disk, "
            f"but {MINIMUM_FREE_BYTES / 1024**3:.0f} GiB are needed. Hint: make room, "
            "for instance by deleting results/*/runs/*/checkpoints of finished runs."
        )
