"""Pass@k of trainings and their differences, on the same problems.

Reads runs/{run}/samples_math.parquet and manifest.json. A run whose file is missing, damaged or
does not fit the others is left out and named in `Evaluations.faults`; what can be shown of the rest
still is, and the commands end with an error.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lens_impl.files import read_json


@dataclass
class Evaluations:
    """counts: run -> [problem_id] level, type, n, correct; faults and notes: sentences."""

    counts: dict[str, pd.DataFrame] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_evaluations(results: Path, runs: list[dict], ks: list[int]) -> Evaluations:
    """The final evaluations of some trainings and of the base models they started from."""
    found = Evaluations()
    for model, members in by_key(runs, "model").items():
        counts = {}
        for name in [f"{model}_base", *(run["run"] for run in members)]:
            path = results / "runs" / name / "samples_math.parquet"
            try:
                counts[name] = _problem_counts(path)
            except (OSError, pa.ArrowException, ValueError) as error:
                reason = " ".join(str(error).split())[:160]
                if isinstance(error, FileNotFoundError):
                    reason = f"{path} is missing"
                found.faults.append(f"{name} is left out: {reason}.")
        found.counts |= _same_problems(counts, found)
    _check_n(found, ks)
    _check_commits(results, runs, found)
    return found


def _problem_counts(path: Path) -> pd.DataFrame:
    """Index problem_id; ValueError unless every problem has the samples 0 to n - 1 once each."""
    columns = ["problem_id", "sample", "level", "type", "correct"]
    samples = pd.read_parquet(path, columns=columns)
    if samples.empty:
        raise ValueError(f"{path} holds no sample")
    by_problem = samples.groupby("problem_id")
    counts = by_problem.agg(
        level=("level", "first"),
        type=("type", "first"),
        n=("sample", "size"),
        correct=("correct", "sum"),
    )
    n = int(counts["n"].mode().iloc[0])
    whole = (by_problem["sample"].nunique() == n) & (counts["n"] == n)
    if not whole.all():
        raise ValueError(
            f"problem {counts.index[~whole][0]} does not have {n} different samples as the others"
        )
    return counts


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


def _check_commits(results: Path, runs: list[dict], found: Evaluations) -> None:
    commits: dict[str, list[str]] = {}
    for run in runs:
        path = results / "runs" / run["run"] / "manifest.json"
        try:
            commit = read_json(path)["git"]["commit"]
        except (OSError, ValueError, KeyError) as error:
            what = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
            found.faults.append(f"{path} {what}: which code made {run['run']} is not known.")
            continue
        commits.setdefault((commit or "unknown")[:12], []).append(run["run"])
    if len(commits) > 1:
        named = "; ".join(f"{commit}: {', '.join(names)}" for commit, names in commits.items())
        found.notes.append(f"MIXED COMMITS, so code may differ between these trainings: {named}.")


def by_key(runs: list[dict], key: str) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for run in runs:
        groups.setdefault(run[key], []).append(run)
    return groups
