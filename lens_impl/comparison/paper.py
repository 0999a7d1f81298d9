"""The paper's numbers as rows."""

import pandas as pd

from lens_impl.comparison.gains import BASELINE


def paper_rows(paper: dict, table: str) -> pd.DataFrame:
    """Columns model, method, marks (footnotes), k, estimate (in %) of one of the paper's tables."""
    rows = []
    for row in paper["tables"][table]["rows"]:
        marks = f" [{', '.join(row['footnotes'])}]" if "footnotes" in row else ""
        place = {"model": row["model"], "method": row["method"], "marks": marks}
        for k, estimate in zip(paper["k"], row["pass_at_k"], strict=True):
            rows.append(place | {"k": k, "estimate": estimate})
    return pd.DataFrame(rows)


def paper_gains(paper: dict, table: str) -> pd.DataFrame:
    """Columns model, method, k, gain (points over GRPO) of one of the paper's tables."""
    rows = paper_rows(paper, table)
    baseline = rows[rows["method"] == BASELINE].set_index(["model", "k"])["estimate"]
    rows = rows[rows["method"] != BASELINE]
    same = baseline.loc[pd.MultiIndex.from_frame(rows[["model", "k"]])]
    return rows[["model", "method", "k"]].assign(gain=rows["estimate"].to_numpy() - same.to_numpy())
