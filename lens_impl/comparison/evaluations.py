"""The final evaluations of several runs on one evaluation set, on the same problems.

A run whose file is missing, damaged or does not fit the others is left out and named in
`Evaluations.faults`; what can be shown of the rest still is, and the commands end with an error.
"""

from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from lens_impl.evaluation.counts import problem_counts
from lens_impl.experiments.runs import Run, base_name, grouped
from lens_impl.provenance import origin
from lens_impl.results import Results

COLUMNS = ["problem_id", "sample", "level", "type", "correct"]


@dataclass
class Evaluations:
    """counts: name -> [problem_id] level, type, n, correct; faults and notes are sentences."""

    runs: tuple[Run, ...]
    counts: dict[str, pd.DataFrame] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problems(self, model: str) -> pd.DataFrame | None:
        """[problem_id] level and type of the problems that a model's runs answered."""
        names = [base_name(model), *(run.name for run in self.runs if run.model == model)]
        found = [self.counts[name] for name in names if name in self.counts]
        return found[0][["level", "type"]] if found else None


def read_evaluations(results: Results, ks: list[int]) -> Evaluations:
    """The evaluations of the runs and of the base models that they started from."""
    found = Evaluations(results.runs)
    for (model,), members in grouped(results.runs, "model").items():
        counts = {}
        for name in [base_name(model), *(run.name for run in members)]:
            path = results.samples_file(name)
            try:
                counts[name] = problem_counts(pd.read_parquet(path, columns=COLUMNS))
            except (OSError, pa.ArrowException, ValueError) as error:
                reason = " ".join(str(error).split())[:160]
                if isinstance(error, FileNotFoundError):
                    reason = f"{path} is missing"
                found.faults.append(f"{name} is left out: {reason}.")
        found.counts |= _same_problems(counts, found)
    _check_n(found, ks)
    _check_commits(results, found)
    return found


def _same_problems(counts: dict[str, pd.DataFrame], found: Evaluations) -> dict[str, pd.DataFrame]:
    """The runs that answered the problems that most did."""
    if not counts:
        return {}
    sets = {name: tuple(table.index) for name, table in counts.items()}
    usual = max(set(sets.values()), key=list(sets.values()).count)
    for name, problems in sets.items():
        if problems != usual:
            found.faults.append(
                f"{name} is left out: it answers {len(problems)} problems, the others {len(usual)} "
                f"({len(set(problems) & set(usual))} in common)."
            )
    return {name: table for name, table in counts.items() if sets[name] == usual}


def _check_n(found: Evaluations, ks: list[int]) -> None:
    n = {name: int(table["n"].iloc[0]) for name, table in found.counts.items()}
    for k in ks:
        short = [name for name in n if n[name] < k]
        if short and len(short) < len(n):
            named = ", ".join(f"{name} (n = {n[name]})" for name in short)
            found.faults.append(f"Pass@{k} is without {named}: it needs n of at least {k} samples.")
    missing = [f"Pass@{k}" for k in ks if n and k > max(n.values())]
    if missing:
        found.notes.append(
            f"{', '.join(missing)} cannot be estimated from n = {max(n.values())} samples."
        )


def _check_commits(results: Results, found: Evaluations) -> None:
    manifests = []
    for run in results.runs:
        try:
            manifests.append(results.manifest(run.name))
        except (OSError, ValueError) as error:
            what = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
            path = results.file(run.name, "manifest.json")
            found.faults.append(f"{path} {what}: which code made {run.name} is not known.")
    code = origin(manifests).runs_by_commit
    if len(code) > 1:
        named = "; ".join(f"{commit[:12]}: {', '.join(names)}" for commit, names in code.items())
        found.notes.append(f"MIXED COMMITS, so code may differ between these runs: {named}.")
