"""The one reader of results/<scale>/: where each file of a run is, and what it contains.

Tables, figures, the summary, the MLflow mirror and the notebooks are given a `Results`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lens_impl.errors import UserError, choice
from lens_impl.experiments.configuration import scale_file
from lens_impl.experiments.runs import Run, evaluated
from lens_impl.files import ROOT, read_json, read_jsonl, read_parquet, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

PAPER_SET = "math"  # the evaluation set of the paper's tables


@dataclass(frozen=True)
class Results:
    """The results folder of a scale, and the runs that are looked at.

    `name`: of a run, or of a base model (`experiments.runs.base_name`), which has samples and
    Pass@k alone. A missing file is a FileNotFoundError or a UserError that names it.
    """

    path: Path
    runs: tuple[Run, ...]
    evaluation_set: str = PAPER_SET  # whose samples and Pass@k are looked at

    @property
    def scale(self) -> str:
        return self.path.name

    @cached_property
    def toy(self) -> bool:
        """Whether the models of this scale are a toy: only directions are comparable."""
        return read_yaml(ROOT / scale_file(self.scale, ROOT)).get("toy", False)

    @property
    def evaluated(self) -> list[str]:
        """The names that have an evaluation: base models first."""
        return evaluated(self.runs)

    def find(self, name: str) -> Run:
        """The run of that name; UserError with the known names for another."""
        known = {run.name: run for run in self.runs}
        if name not in known:
            raise UserError(f"the run is {name!r}, but must be {choice(name, known)}")
        return known[name]

    def only(self, runs: Iterable[Run]) -> Results:
        """The same folder with some of its runs."""
        return replace(self, runs=tuple(runs))

    def on(self, evaluation_set: str) -> Results:
        """The same runs on another evaluation set."""
        return replace(self, evaluation_set=evaluation_set)

    def file(self, name: str, file: str) -> Path:
        """A file of a run."""
        return self.path / "runs" / name / file

    def table(self, name: str, suffix: str) -> Path:
        return self.path / "tables" / f"{name}.{suffix}"

    def prompts(self, mix: str) -> pd.DataFrame:
        """The training problems of a mix, in verl's schema (data/prepare.py)."""
        return read_parquet(self.path / "data" / f"{mix}.parquet")

    def manifest(self, name: str) -> dict:
        return read_json(self.file(name, "manifest.json"))

    def config(self, name: str) -> dict:
        """Settings, schedule and verl's configuration of a run."""
        return read_json(self.file(name, "config.json"))

    def metrics(self, name: str) -> list[dict]:
        """One dictionary per step."""
        return read_jsonl(self.file(name, "metrics.jsonl"))

    def curves(self, name: str) -> pd.DataFrame:
        """Validation during training: step, problem_id, level, n, correct."""
        return read_parquet(self.file(name, "curves.parquet"))

    def rollouts(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """One row per dumped response (training/dumps.py)."""
        return read_parquet(self.file(name, "rollouts.parquet"), columns=columns)

    def samples_file(self, name: str) -> Path:
        return self.file(name, f"samples_{self.evaluation_set}.parquet")

    def samples(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """One row per graded sample (evaluation/evaluate.py)."""
        return read_parquet(self.samples_file(name), columns=columns)

    def pass_at_k(self, name: str) -> pd.DataFrame:
        """Pass@k by level and k, fractions with their interval (evaluation/evaluate.py)."""
        import pandas as pd

        path = self.file(name, f"pass_at_k_{self.evaluation_set}.csv")
        return pd.read_csv(path, dtype={"level": str})


def add_arguments(parser: ArgumentParser) -> None:
    """The options of every command that reads results."""
    parser.add_argument("--results", type=Path, required=True, help="results/{scale}")
    parser.add_argument("--runs", type=Run.named, nargs="*", required=True, help="their names")


def from_arguments(arguments: Namespace) -> Results:
    return Results(arguments.results, tuple(arguments.runs))
