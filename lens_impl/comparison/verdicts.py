"""The verdict on the paper's tables: does our difference to GRPO agree with the paper's?

Only differences are judged. Where our model is not the paper's, and so always on the toy scales,
only their direction is: the paper's numbers are another model's.
"""

import numpy as np
import pandas as pd

from lens_impl.comparison.gains import BASELINE
from lens_impl.comparison.paper import paper_gains

# The five verdicts, in the order of how much they say.
CONTAINED = "same direction, holds the paper's"  # the interval contains the paper's difference
SAME = "same direction"
UNCLEAR = "not distinguishable from zero"
OPPOSITE = "opposite direction"
NOT_RUN = "not run"
VERDICT_COLUMNS = ["model", "paper_model", "method", "k", "gain", "low", "high", "p_value"]
VERDICT_COLUMNS += ["p_holm", "paper_gain", "difference", "verdict"]


def verdict(low: float, high: float, published: float, same_model: bool) -> str:
    """What an interval of a difference says about the paper's difference (both in points).

    same_model: only then is the size of the paper's difference compared, else its sign alone.
    """
    if low <= 0 <= high:
        return UNCLEAR
    if np.sign(low) != np.sign(published):
        return OPPOSITE
    return CONTAINED if same_model and low <= published <= high else SAME


def verdict_rows(ours: pd.DataFrame, paper: dict, table: str) -> pd.DataFrame:
    """One row a model, method and k of the paper's table: our gain, the paper's, the verdict.

    Gains over GRPO on all levels, in points. Where our model is not the paper's, paper_model is
    "direction only", paper_gain and difference are empty, and the verdict is on the sign of the
    paper's mean gain. What the paper has and no run of ours gives is "not run".
    """
    gains = ours[(ours["versus"] == BASELINE) & (ours["level"] == "all")]
    rows = []
    published = paper_gains(paper, table)
    for model in dict.fromkeys(ours["model"]):
        theirs = paper["models"].get(model)
        members = gains[gains["model"] == model].set_index(["method", "k"])
        signs = published.groupby(["method", "k"], sort=False)["gain"].mean()
        if theirs is not None:
            same = published[published["model"] == theirs]
            signs = same.set_index(["method", "k"])["gain"]
        for (method, k), gain in signs.items():
            row = {"model": model, "paper_model": theirs or "direction only"}
            row |= {"method": method, "k": k, "verdict": NOT_RUN}
            if theirs:
                row["paper_gain"] = gain
            if (method, k) in members.index:
                found = members.loc[(method, k)]
                low, high = 100 * found["low"], 100 * found["high"]
                row |= {"gain": 100 * found["estimate"], "low": low, "high": high}
                row |= {"p_value": found["p_value"], "p_holm": found["p_holm"]}
                row["verdict"] = verdict(low, high, gain, theirs is not None)
                if theirs:
                    row["difference"] = row["gain"] - gain
            rows.append(row)
    run_models = {paper["models"].get(model) for model in ours["model"]}
    if run_models == {None}:  # a model of our own stands for all of the paper's
        run_models = set(published["model"])
    for missing in published[~published["model"].isin(run_models)].itertuples():
        row = {"model": "-", "paper_model": missing.model, "method": missing.method}
        rows.append(row | {"k": missing.k, "paper_gain": missing.gain, "verdict": NOT_RUN})
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS)


def collapse_not_run(rows: pd.DataFrame) -> pd.DataFrame:
    """One row, with k "all", for a model and method of which nothing was run."""
    if rows.empty:
        return rows
    parts = []
    for _, part in rows.groupby(["model", "paper_model", "method"], sort=False):
        none = (part["verdict"] == NOT_RUN).all()
        parts.append(part.head(1).assign(k="all") if none else part)
    return pd.concat(parts)
