"""Configuration: config/config.yaml with config/<scale>.yaml laid over it, and the methods.

Whatever is wrong with it is told as one UserError: what, the value, what is allowed, a hint.
"""

from pathlib import Path

from lens_impl.errors import UserError, choice
from lens_impl.experiments.checks import check
from lens_impl.files import read_yaml


def scales(root: Path = Path()) -> list[str]:
    """The scales that have an overlay in config/."""
    others = {"config", "methods", "paper_numbers"}
    return sorted(path.stem for path in (root / "config").glob("*.yaml") if path.stem not in others)


def overlay(scale: str, root: Path = Path()) -> str:
    """Path of a scale's configuration file, relative to the project; UserError if there is none."""
    if scale not in scales(root):
        raise UserError(f"scale is {scale!r}, but must be {choice(scale, scales(root))}")
    return f"config/{scale}.yaml"


def load(scale: str | None = None, root: Path = Path()) -> dict:
    """The checked configuration of a scale (None: the one that config/config.yaml names)."""
    config = read_yaml(root / "config" / "config.yaml")
    config = _laid_over(config, read_yaml(root / overlay(scale or config["scale"], root)))
    config["scale"] = scale or config["scale"]
    config["methods"] = read_yaml(root / "config" / "methods.yaml")
    check(config)
    return config


def _laid_over(base: dict, over: dict) -> dict:
    """`over` on top of `base`, key by key in nested mappings, as Snakemake's configfile does."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _laid_over(merged[key], value) if both else value
    return merged
