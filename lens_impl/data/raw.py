"""Which files of raw rows the workflow makes or downloads for a job."""

from lens_impl.data.sources import TRAINING


def toy_files(config: dict) -> list[str]:
    """The files that the toy writes; none where the scale has no synthetic problems."""
    sizes = config["tiny_problems"]["sizes"] if "tiny_problems" in config else {}
    return [f"results/{config['scale']}/data/raw/{name}.jsonl" for name in sizes]


def raw_folder(config: dict) -> str:
    """The folder of the data sets: the user's, or that of the synthetic or downloaded ones."""
    return config["data"]["local_dir"] or f"results/{config['scale']}/data/raw"


def raw_files(config: dict, mix: str | None = None, evaluation_set: str | None = None) -> list[str]:
    """The raw files or folders that a mix or an evaluation set is prepared from.

    A mix needs every evaluation set too, since their problems are kept out of it. Empty where the
    user gives a folder (`data.local_dir`): its files may have several forms.
    """
    if config["data"]["local_dir"]:
        return []
    folder = raw_folder(config)
    if "tiny_problems" in config:
        return [file for file in toy_files(config) if file != f"{folder}/pretrain.jsonl"]
    sources = [TRAINING[source] for source in config["data"]["mixes"][mix]] if mix else []
    sets = [evaluation_set] if evaluation_set else config["data"]["evaluation_sets"]
    return [f"{folder}/{name}" for name in (*sources, *(f"{name}_test" for name in sets))]
