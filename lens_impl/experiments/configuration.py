"""The configuration: config/config.yaml, with config/scales/<scale>.yaml laid over it, and the
methods.

Wrong input ends with one UserError: what is wrong, the value, what is allowed, a hint.
"""

from pathlib import Path

from lens_impl.errors import UserError, choice
from lens_impl.experiments.checks import check
from lens_impl.files import read_yaml


def scales(root: Path = Path()) -> list[str]:
    """Names of the files in config/scales/."""
    return sorted(path.stem for path in (root / "config" / "scales").glob("*.yaml"))


def scale_file(scale: str, root: Path = Path()) -> str:
    """Path of a scale's file, relative to the project; UserError if there is none."""
    if scale not in scales(root):
        raise UserError(f"scale is {scale!r}, but must be {choice(scale, scales(root))}")
    return f"config/scales/{scale}.yaml"


def all_methods(config: dict, root: Path = Path()) -> dict:
    """The methods of config/methods.yaml, and over them those that the configuration adds."""
    return {**read_yaml(root / "config" / "methods.yaml"), **config.get("methods", {})}


def load(scale: str | None = None, root: Path = Path()) -> dict:
    """The checked configuration of a scale; None = the scale that config/config.yaml names."""
    if not (root / "config").is_dir():
        raise UserError(
            f"{root.resolve()} is not the project's folder: it has no config/. "
            "Hint: cd into the clone of the project and run the command there."
        )
    base = read_yaml(root / "config" / "config.yaml")
    scale = scale or base["scale"]
    over = read_yaml(root / scale_file(scale, root))
    config = _laid_over(base, over) | {"scale": scale}
    config["methods"] = all_methods(config, root)
    check(config)
    return config


def _laid_over(base: dict, over: dict) -> dict:
    """`over` on top of `base`, key by key in nested mappings, as Snakemake's configfile does."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _laid_over(merged[key], value) if both else value
    return merged
