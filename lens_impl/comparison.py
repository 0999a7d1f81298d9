"""Pass@k of trainings and their differences, on the same problems.

Reads runs/{run}/samples_math.parquet and manifest.json. A run whose file is missing, damaged or
does not fit the others is left out and named in `Evaluations.faults`; what can be shown of the rest
still is, and the commands end with an error.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from lens_impl.evaluate import HARD_LEVELS
from lens_impl.files import read_json
from lens_impl.passk import pass_at_k
from lens_impl.statistics import bootstrap_interval, effects, holm, paired_difference

BASELINE = "grpo"
COLUMNS = ["model", "method", "versus", "level", "k", "estimate", "low", "high", "p_value"]
COLUMNS += ["p_holm", "seed_low", "seed_high", "seeds", "problems", "n"]
EFFECT_COLUMNS = ["mix", "model", "method", "versus", "k", "by", "label", "problems", "seeds"]
EFFECT_COLUMNS += ["estimate", "low", "high", "p_value", "p_holm"]


@dataclass
class Evaluations:
    """counts: run -> [problem_id] level, type, n, correct; faults and notes: sentences."""

    counts: dict[str, pd.DataFrame] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_evaluations(results: Path, runs: list[dict], ks: list[int]) -> Evaluations:
    """The final evaluations of some trainings and of the base models they started from."""
    found = Evaluations()
    for model, members in _by(runs, "model").items():
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


def pass_at_k_rows(evaluations: Evaluations, runs: list[dict], ks: list[int]) -> pd.DataFrame:
    """Pass@k of every model and method, and each method's gain over GRPO.

    Columns: model, method, versus ("" or "grpo" for a gain), level ("all", "4-5"), k, estimate,
    low, high (fractions; mean over seeds with its 95 % interval), p_value and p_holm (of a gain;
    Holm over the methods and k of its model and level), seed_low, seed_high (range over seeds),
    seeds ("1 2"; "-" for the base model), problems, n. k above n is left out.
    """
    rows = []
    for model in _by(runs, "model"):
        levels = levels_of(evaluations, runs, model)
        for level in [level for level in ("all", "4-5") if level in levels]:
            mask = levels[level]
            for k in ks:
                passes = passes_of(evaluations, runs, model, k)
                for method, values in passes.items():
                    chosen = values.loc[mask].to_numpy().T  # [seeds, problems]
                    row = {"model": model, "method": method, "level": level, "k": k}
                    row |= {"seeds": " ".join(values.columns), "problems": chosen.shape[1]}
                    row["n"] = values.attrs["n"]
                    means = chosen.mean(1)
                    seed_range = {"seed_low": means.min(), "seed_high": means.max()}
                    interval = asdict(bootstrap_interval(chosen))
                    interval |= {"low": max(interval["low"], 0), "high": min(interval["high"], 1)}
                    rows.append(row | {"versus": ""} | seed_range | interval)
                    if method not in ("base", BASELINE) and BASELINE in passes:
                        both = seed_by_seed(values.loc[mask], passes[BASELINE].loc[mask])
                        gain = paired_difference(*both[:2], paired_seeds=both[2])
                        rows.append(row | {"versus": BASELINE} | asdict(gain))
    table = pd.DataFrame(rows, columns=COLUMNS)
    gains = table[table["versus"] != ""]
    for _, family in gains.groupby(["model", "level"]):
        table.loc[family.index, "p_holm"] = holm(family["p_value"])
    return table


def levels_of(evaluations: Evaluations, runs: list[dict], model: str) -> dict[str, np.ndarray]:
    names = [f"{model}_base", *(run["run"] for run in runs if run["model"] == model)]
    table = next((evaluations.counts[name] for name in names if name in evaluations.counts), None)
    if table is None:
        return {}
    hard = table["level"].isin(HARD_LEVELS).to_numpy()
    return {"all": np.ones(len(table), bool)} | ({"4-5": hard} if hard.any() else {})


def passes_of(
    evaluations: Evaluations, runs: list[dict], model: str, k: int
) -> dict[str, pd.DataFrame]:
    """Method -> Pass@k [problem_id, seed], of the runs with at least k samples; base first."""
    members = [{"run": f"{model}_base", "method": "base", "seed": "-"}]
    members += [run for run in runs if run["model"] == model]
    columns: dict[str, dict[str, pd.Series]] = {}
    n = {}
    for run in members:
        table = evaluations.counts.get(run["run"])
        if table is not None and table["n"].iloc[0] >= k:
            value = pass_at_k(table["n"].to_numpy(), table["correct"].to_numpy(), k)
            method = columns.setdefault(run["method"], {})
            method[str(run["seed"])] = pd.Series(value, index=table.index)
            n[run["method"]] = int(table["n"].iloc[0])
    passes = {method: pd.DataFrame(seeds) for method, seeds in columns.items()}
    for method, values in passes.items():
        values.attrs["n"] = n[method]
    return passes


def seed_by_seed(first: pd.DataFrame, second: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, bool]:
    """[seeds, problems] of both methods, and whether row s of both is the same seed."""
    same = set(first.columns) == set(second.columns)
    second = second[first.columns] if same else second
    return first.to_numpy().T, second.to_numpy().T, same


def effect_rows(evaluations: Evaluations, runs: list[dict], ks: list[int]) -> pd.DataFrame:
    """Each method's gain over GRPO by level and by subject; p_holm within one such list."""
    rows = []
    for (mix, model), members in _by_pair(runs).items():
        for k in ks:
            passes = passes_of(evaluations, members, model, k)
            for method, values in passes.items():
                if method in ("base", BASELINE) or BASELINE not in passes:
                    continue
                first, second, same = seed_by_seed(values, passes[BASELINE])
                counts = next(
                    evaluations.counts[run["run"]]
                    for run in members
                    if run["run"] in evaluations.counts
                )
                about = {"mix": mix, "model": model, "method": method, "versus": BASELINE}
                about |= {"k": k, "seeds": " ".join(values.columns)}
                for by, column in {"level": "level", "subject": "type"}.items():
                    labels = counts[column].tolist()
                    table = effects(first, second, labels, paired_seeds=same)
                    rows.append(table.assign(**about, by=by))
    if not rows:
        return pd.DataFrame(columns=EFFECT_COLUMNS)
    return pd.concat(rows, ignore_index=True)[EFFECT_COLUMNS]


def _by(runs: list[dict], key: str) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for run in runs:
        groups.setdefault(run[key], []).append(run)
    return groups


def _by_pair(runs: list[dict]) -> dict[tuple[str, str], list[dict]]:
    groups: dict[tuple[str, str], list[dict]] = {}
    for run in runs:
        groups.setdefault((run["mix"], run["model"]), []).append(run)
    return groups
