"""The runs that a configuration asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lens_impl.errors import UserError, choice


@dataclass(frozen=True)
class Run:
    """One training: which model learns which mix of prompts by which method from which seed."""

    model: str
    mix: str
    method: str
    seed: int

    @property
    def name(self) -> str:
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


def base_name(model: str) -> str:
    """The run name under which the untrained model is evaluated."""
    return f"{model}_base"


def evaluated(trained: Sequence[Run]) -> list[str]:
    """The names under which something is evaluated: base models of trainings, then these."""
    bases = dict.fromkeys(base_name(run.model) for run in trained)
    return [*bases, *(run.name for run in trained)]


def models_from(config: dict, source: str) -> str:
    """A pattern of the names of the models that have this source; without any, one of no name."""
    names = [name for name, model in config["models"].items() if model["source"] == source]
    return "|".join(names) or "(?!)"


def planned_runs(config: dict) -> list[Run]:
    """Every training that `experiments` asks for, each once, in that order."""
    wanted = [
        Run(experiment["model"], experiment["mix"], method, seed)
        for experiment in config["experiments"]
        for seed in experiment["seeds"]
        for method in experiment["methods"]
    ]
    return list(dict.fromkeys(wanted))


def find(config: dict, name: str) -> Run:
    """The training of that name; UserError if the experiments do not ask for it."""
    known = {run.name: run for run in planned_runs(config)}
    if name not in known:
        raise UserError(f"the run is {name!r}, but must be {choice(name, known)}")
    return known[name]


def grouped(runs: Iterable[Run], *fields: str) -> dict[tuple, list[Run]]:
    """The runs by the values of some fields, in order of first appearance."""
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(getattr(run, field) for field in fields), []).append(run)
    return groups
