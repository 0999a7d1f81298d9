"""The verdict on the paper's tables: does our difference to GRPO agree with the paper's?

Only differences are judged. Where our model is not the paper's, and so always on the toy scales,
only their direction is: the paper's numbers are another model's.
"""

import numpy as np
import pandas as pd

from lens_impl.comparison.paper import BASELINE, paper_gains, paper_numbers
from lens_impl.evaluation.levels import ALL

# The five verdicts, in the order of how much they say.
CONTAINED = "same direction, contains the paper's"  # the interval contains the paper's difference
SAME = "same direction"
UNCLEAR = "not distinguishable from zero"
OPPOSITE = "opposite direction"
NOT_RUN = "not run"
DIRECTION = "direction only"  # in place of the paper's model, where ours is another
VERDICT_COLUMNS = ["model", "paper_model", "method", "k", "gain", "low", "high", "p_value"]
VERDICT_COLUMNS += ["p_holm", "paper_gain", "difference", "verdict"]
_NO_ROWS = pd.DataFrame(columns=["model", "paper_model", "method", "k", "published", "paper_gain"])


def verdict(low: float, high: float, published: float, same_model: bool) -> str:
    """What an interval of a difference says about the paper's difference (both in points).

    low, high: nan where nothing was run. same_model: only then is the size of the paper's
    difference compared, else its sign alone.
    """
    if np.isnan(low):
        return NOT_RUN
    if low <= 0 <= high:
        return UNCLEAR
    if np.sign(low) != np.sign(published):
        return OPPOSITE
    return CONTAINED if same_model and low <= published <= high else SAME


def verdict_rows(ours: pd.DataFrame, table: str) -> pd.DataFrame:
    """One row per model, method and k of the paper's table: our gain, the paper's, the verdict.

    ours: of `gains.pass_at_k_rows`. Gains over GRPO on all levels, in points. Where our model is
    not the paper's, paper_model is "direction only", paper_gain and difference are empty, and the
    verdict is on the sign of the paper's mean gain. What the paper has and no run of ours gives is
    "not run".
    """
    names, published = paper_numbers()["models"], paper_gains(table)
    models = list(dict.fromkeys(ours["model"]))
    expected = pd.concat([_expected(published, m, names.get(m)) for m in models] + [_NO_ROWS])
    gains = ours[(ours["versus"] == BASELINE) & (ours["level"] == ALL)]
    columns = {"estimate": "gain", "low": "low", "high": "high"}
    points = 100 * gains[list(columns)].rename(columns=columns)
    found = gains[["model", "method", "k", "p_value", "p_holm"]].join(points)
    rows = expected.merge(found, how="left", on=["model", "method", "k"])
    rows["difference"] = rows["gain"] - rows["paper_gain"]
    rows["verdict"] = [
        verdict(row.low, row.high, row.published, row.paper_model != DIRECTION)
        for row in rows.itertuples()
    ]
    # A model of our own stands for all of the paper's.
    known = {names.get(model) for model in models}
    run = set(published["model"]) if known == {None} else known
    missing = published[~published["model"].isin(run)].rename(
        columns={"model": "paper_model", "gain": "paper_gain"}
    )
    missing = missing.assign(model="-", verdict=NOT_RUN)
    return pd.concat([rows, missing], ignore_index=True).reindex(columns=VERDICT_COLUMNS)


def _expected(published: pd.DataFrame, model: str, paper_model: str | None) -> pd.DataFrame:
    """What the paper says of the methods of its table, for one of our models."""
    if paper_model is None:
        means = published.groupby(["method", "k"], sort=False)["gain"].mean()
        rows = means.rename("published").reset_index().assign(paper_gain=np.nan)
    else:
        rows = published[published["model"] == paper_model].rename(columns={"gain": "published"})
        rows = rows.assign(paper_gain=rows["published"])
    return rows.assign(model=model, paper_model=paper_model or DIRECTION)


def collapse_not_run(rows: pd.DataFrame) -> pd.DataFrame:
    """One row, with k "all", for a model and method of which nothing was run."""
    if rows.empty:
        return rows
    parts = []
    for _, part in rows.groupby(["model", "paper_model", "method"], sort=False):
        none = (part["verdict"] == NOT_RUN).all()
        parts.append(part.head(1).assign(k="all") if none else part)
    return pd.concat(parts)
