"""What must be true between the keys of a configuration; the schemas say what each key may be."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lens_impl.advantages import METHODS
from lens_impl.advantages.pass_at_k import PassAtKOptions
from lens_impl.errors import UserError, choice
from lens_impl.experiments.samples import check_samples
from lens_impl.experiments.sentences import check_schema

MINIMUM_FREE_BYTES = 2 * 1024**3  # a run of the tiny scale leaves about 1 GB


def check(config: dict) -> None:
    """Raise a UserError with the first thing that is wrong with a configuration."""
    check_schema(config["methods"], "methods.schema.yaml", "config/methods.yaml: ")
    check_schema(config, "config.schema.yaml", "config: ")
    for sentence in (sentence for rule in CHECKS for sentence in rule(config)):
        raise UserError(sentence)


def advantages_take_their_options(config: dict) -> Iterator[str]:
    """Each method's advantage exists, and its options are within their bounds."""
    for name, method in config["methods"].items():
        where, advantage = f"config/methods.yaml: {name}", method["advantage"]
        if advantage not in METHODS:
            yield f"{where}.advantage is {advantage!r}, but must be {choice(advantage, METHODS)}"
        try:
            METHODS[advantage].checked(method.get("options", {}))
        except UserError as error:
            yield f"{where}.options: {error}. Hint: docs/methods.md has a table."


def keep_needs_token_mean(config: dict) -> Iterator[str]:
    """A method that drops responses divides by the tokens that are left."""
    for name, method in config["methods"].items():
        if method.get("keep", "all") != "all" and method.get("loss") != "token-mean":
            yield (
                f"config/methods.yaml: {name}.keep is {method['keep']!r}, which needs "
                "loss: token-mean. Hint: the other losses divide by the number of all responses."
            )


def whole_updates(config: dict) -> Iterator[str]:
    """A rollout batch is split into updates of equal size."""
    batch, update = (config["train"][f"prompts_per_{name}"] for name in ("rollout", "update"))
    if batch % update:
        yield (
            f"config: train.prompts_per_rollout is {batch}, but must be a multiple of "
            f"train.prompts_per_update, which is {update}. Hint: change one of the two; their "
            "quotient is the number of updates per rollout batch."
        )


def ranks_divide_updates(config: dict) -> Iterator[str]:
    """Every process gets the same number of trajectories of an update."""
    train = config["train"]
    ranks = train["nodes"] * train["gpus_per_node"]
    trajectories = train["prompts_per_update"] * train["group_size"]
    if trajectories % ranks:
        yield (
            f"config: train.nodes x train.gpus_per_node is {ranks}, but must divide the "
            f"{trajectories} trajectories of an update. "
            "Hint: use fewer GPUs, or change train.prompts_per_update."
        )


def enough_samples(config: dict) -> Iterator[str]:
    """Pass@k cannot be estimated from fewer than k samples per problem."""
    evaluate = config["evaluate"]
    parts = {"evaluate": evaluate}
    parts |= {f"evaluate.sets.{name}": evaluate | own for name, own in evaluate["sets"].items()}
    for place, part in parts.items():
        try:
            check_samples(part["n"], part["k"], place)
        except UserError as error:
            yield str(error)


def settings_of_evaluated_sets(config: dict) -> Iterator[str]:
    """Only sets that are evaluated have settings of their own."""
    sets = config["data"]["evaluation_sets"]
    for name in config["evaluate"]["sets"]:
        if name not in sets:
            yield (
                f"config: evaluate.sets names {name!r}, but it must be a set of "
                f"data.evaluation_sets: {choice(name, sets)}"
            )


def engine_fits_device(config: dict) -> Iterator[str]:
    """vLLM samples on GPUs."""
    if config["train"]["device"] == "cpu" and config["train"]["engine"] == "vllm":
        yield (
            "config: train.engine is 'vllm', but train.device 'cpu' needs 'hf'. "
            "Hint: set train.engine to hf, or train.device to cuda."
        )


def experiments_name_what_exists(config: dict) -> Iterator[str]:
    """Models, mixes and methods of the experiments are defined."""
    known = {"model": config["models"], "mix": config["data"]["mixes"], "method": config["methods"]}
    for place, experiment in enumerate(config["experiments"]):
        named = [("model", experiment["model"]), ("mix", experiment["mix"])]
        named += [("method", method) for method in experiment["methods"]]
        for kind, value in named:
            if value not in known[kind]:
                yield (
                    f"config: experiments[{place}] names the {kind} {value!r}, "
                    f"but it must be {choice(value, known[kind])}"
                )


def groups_are_larger_than_k(config: dict) -> Iterator[str]:
    """A method of the experiments that trains for Pass@k has groups of more than k responses."""
    size = config["train"]["group_size"]
    methods = {name for experiment in config["experiments"] for name in experiment["methods"]}
    for name in sorted(methods):
        method = config["methods"][name]
        options = METHODS[method["advantage"]].checked(method.get("options", {}))
        if isinstance(options, PassAtKOptions) and options.k >= size:
            yield (
                f"config: {name} has k {options.k}, but must have less than train.group_size, "
                f"{size}. Hint: set methods.{name}.options.k, or train.group_size."
            )


def toy_files_have_levels(config: dict) -> Iterator[str]:
    """Each file of synthetic problems has a size and the frequencies of its levels."""
    toy = config.get("tiny_problems", {"sizes": {}, "levels": {}})
    for name in toy["sizes"].keys() - toy["levels"].keys():
        yield (
            f"config: tiny_problems.sizes has {name}, but tiny_problems.levels does not. "
            f"Hint: add how often Levels 1 to 5 are drawn, for instance {name}: [1, 1, 1, 1, 1]."
        )


def pretraining_has_problems(config: dict) -> Iterator[str]:
    """A model from scratch learns from synthetic problems."""
    for name, model in config["models"].items():
        if model["source"] == "pretrain" and "tiny_problems" not in config:
            yield (
                f"config: models.{name}.source is 'pretrain', but there are no tiny_problems to "
                "train it on. Hint: add the section tiny_problems, or choose another source."
            )


def local_folder_exists(config: dict) -> Iterator[str]:
    """The user's own folder of data sets is there before any job needs it."""
    folder = config["data"]["local_dir"]
    if folder is not None and not Path(folder).is_dir():
        yield (
            f"config: data.local_dir is {folder!r}, but there is no such folder. Hint: give the "
            "folder that contains the data sets, or null for the synthetic or downloaded ones."
        )


CHECKS = (
    advantages_take_their_options,
    keep_needs_token_mean,
    whole_updates,
    ranks_divide_updates,
    enough_samples,
    settings_of_evaluated_sets,
    engine_fits_device,
    experiments_name_what_exists,
    groups_are_larger_than_k,
    toy_files_have_levels,
    pretraining_has_problems,
    local_folder_exists,
)


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
            f"but {MINIMUM_FREE_BYTES / 1024**3:.0f} GiB are needed. Hint: free some space, "
            "for instance by deleting results/*/runs/*/checkpoints of finished runs."
        )
