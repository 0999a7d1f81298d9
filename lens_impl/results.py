"""The files of one scale under results/."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lens_impl.errors import UserError, choice
from lens_impl.files import ROOT, read_yaml


@dataclass(frozen=True)
class Results:
    """A results/{scale} folder and its finished trainings: evaluated, with collected rollouts."""

    path: Path
    runs: list[dict]

    @property
    def scale(self) -> str:
        return self.path.name

    @cached_property
    def paper(self) -> dict:
        return read_yaml(ROOT / "config" / "paper_numbers.yaml")

    def run(self, name: str) -> Path:
        """The folder of a run; UserError with the known names for another."""
        names = [run["run"] for run in self.runs]
        if name not in names:
            raise UserError(f"the run is {name!r}, but must be {choice(name, names)}")
        return self.path / "runs" / name
