"""The runs that a configuration asks for."""

from dataclasses import asdict, dataclass

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


def base_name(model: str) -> str:
    """The run name under which the untrained model is evaluated."""
    return f"{model}_base"


def evaluated(trained: list[Run]) -> list[str]:
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


def describe(run: Run) -> dict:
    """A run as tables, figures and the MLflow mirror are given it."""
    return {"run": run.name, **asdict(run)}
