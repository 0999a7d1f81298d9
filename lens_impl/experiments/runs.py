"""The training runs that a configuration asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lens_impl.errors import UserError, choice


@dataclass(frozen=True)
class Run:
    """One training run: which model learns from which mix of prompts, by which method and seed."""

    model: str
    mix: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Also the name of its folder under results/<scale>/runs/."""
        return f"{self.model}_{self.mix}_{self.method}_s{self.seed}"

    @staticmethod
    def named(name: str) -> Run:
        """The run of a name; UserError for what is no run's name."""
        parts = name.split("_")
        if len(parts) != 4 or not re.fullmatch(r"s\d+", parts[3]):
            raise UserError(
                f"{name!r} is no run: a run is named {{model}}_{{mix}}_{{method}}_s{{seed}}."
            )
        return Run(parts[0], parts[1], parts[2], int(parts[3][1:]))


def planned_runs(config: dict) -> list[Run]:
    """Every run that `experiments` asks for, each once, in that order."""
    wanted = [
        Run(experiment["model"], experiment["mix"], method, seed)
        for experiment in config["experiments"]
        for seed in experiment["seeds"]
        for method in experiment["methods"]
    ]
    return list(dict.fromkeys(wanted))


def find(config: dict, name: str) -> Run:
    """The run of that name; UserError if the experiments do not ask for it."""
    known = {run.name: run for run in planned_runs(config)}
    if name not in known:
        raise UserError(f"the run is {name!r}, but must be {choice(name, known)}")
    return known[name]


def models_of(runs: Iterable[Run]) -> list[str]:
    """The models that are trained, each once."""
    return list(dict.fromkeys(run.model for run in runs))


def mixes_of(runs: Iterable[Run]) -> list[str]:
    """The mixes that are trained on, each once."""
    return list(dict.fromkeys(run.mix for run in runs))


def base_name(model: str) -> str:
    """The name under which a model is evaluated before training."""
    return f"{model}_base"


def evaluated(runs: Sequence[Run]) -> list[str]:
    """Every name under which something is evaluated: the base models, then the runs."""
    return [*map(base_name, models_of(runs)), *(run.name for run in runs)]


def models_from(config: dict, source: str) -> str:
    """Regular expression for the models of one source; matches nothing if there are none."""
    names = [name for name, model in config["models"].items() if model["source"] == source]
    return "|".join(names) or "(?!)"


def grouped(runs: Iterable[Run], *fields: str) -> dict[tuple, list[Run]]:
    """The runs by the values of some fields, in order of first appearance."""
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(getattr(run, field) for field in fields), []).append(run)
    return groups
