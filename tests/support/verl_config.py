"""verl's configuration as its own Hydra composes it from our overrides (no verl import)."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import planned_runs
from lens_impl.experiments.settings import training_schedule, training_settings
from lens_impl.files import ROOT
from lens_impl.verl_plugin.overrides import Paths, verl_overrides

PATHS = Paths(Path("/a b/train.parquet"), Path("/a b/eval.parquet"), Path("/m"), Path("/c"))
VERL_CONFIG = Path(find_spec("verl").submodule_search_locations[0]) / "trainer" / "config"


def resolved(settings: dict, schedule: dict, resume_step: int | None = None) -> DictConfig:
    """verl's configuration of one run."""
    return composed(tuple(verl_overrides(settings, schedule, PATHS, resume_step)))


@cache
def composed(overrides: tuple[str, ...]) -> DictConfig:
    """verl's configuration with these overrides; takes half a second."""
    with initialize_config_dir(str(VERL_CONFIG), version_base=None):
        return compose("ppo_trainer", overrides=list(overrides))


def one_a_method(scale: str) -> dict[str, tuple[dict, dict]]:
    """Settings and schedule of each method's first run."""
    return {settings["method"]: (settings, s) for settings, s in reversed(of_scale(scale))}


def of_scale(scale: str, **changes: object) -> list[tuple[dict, dict]]:
    """Settings, with changes, and schedule of every run of a scale."""
    config = load(scale, ROOT)
    schedule = training_schedule(config) | {"gpu": config["train"]["gpu"]}
    return [(training_settings(config, run) | changes, schedule) for run in planned_runs(config)]
