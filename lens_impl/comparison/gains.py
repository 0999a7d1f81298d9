"""Pass@k of several runs and their paired gains over GRPO."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from lens_impl.comparison.evaluations import Evaluations, by_key
from lens_impl.evaluation.intervals import bootstrap_interval, effects, holm, paired_difference
from lens_impl.evaluation.levels import HARD_LEVELS
from lens_impl.evaluation.passk import pass_at_k

BASELINE = "grpo"
COLUMNS = ["model", "method", "versus", "level", "k", "estimate", "low", "high", "p_value"]
COLUMNS += ["p_holm", "seed_low", "seed_high", "seeds", "problems", "n"]
EFFECT_COLUMNS = ["mix", "model", "method", "versus", "k", "by", "label", "problems", "seeds"]
EFFECT_COLUMNS += ["estimate", "low", "high", "p_value", "p_holm"]


def pass_at_k_rows(evaluations: Evaluations, runs: list[dict], ks: list[int]) -> pd.DataFrame:
    """Pass@k of every model and method, and each method's gain over GRPO.

    Columns: model, method, versus ("" or "grpo" for a gain), level ("all", "4-5"), k, estimate,
    low, high (fractions; mean over seeds with its 95 % interval), p_value and p_holm (of a gain;
    Holm over the methods and k of its model and level), seed_low, seed_high (range over seeds),
    seeds ("1 2"; "-" for the base model), problems, n. k above n is left out.
    """
    rows = []
    for model in by_key(runs, "model"):
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


def _by_pair(runs: list[dict]) -> dict[tuple[str, str], list[dict]]:
    groups: dict[tuple[str, str], list[dict]] = {}
    for run in runs:
        groups.setdefault((run["mix"], run["model"]), []).append(run)
    return groups
