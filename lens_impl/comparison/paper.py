"""The paper's numbers (paper_numbers.yaml), and which runs each of its tables compares."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lens_impl.experiments.runs import Run
from lens_impl.files import read_yaml

if TYPE_CHECKING:
    # The rules ask which runs a table compares; pandas takes longer to import than a dry run has.
    import pandas as pd

NUMBERS = Path(__file__).with_name("paper_numbers.yaml")
BASELINE = "grpo"


@cache
def paper_numbers() -> dict:
    """All of the paper's numbers, with their place in the paper."""
    return read_yaml(NUMBERS)


def methods_of_table(table: str) -> list[str]:
    """The methods of one of the paper's tables, in its order."""
    return list(dict.fromkeys(row["method"] for row in paper_numbers()["tables"][table]["rows"]))


def runs_of_table(runs: Iterable[Run], table: str) -> list[Run]:
    """The runs on the table's mix by its methods, in its order.

    Of the paper's models those that the table has, and every model that is not the paper's.
    """
    paper = paper_numbers()
    entry, methods = paper["tables"][table], methods_of_table(table)
    models = {None, *(row["model"] for row in entry["rows"])}
    chosen = [
        run
        for run in runs
        if run.mix == entry["mix"]
        and run.method in methods
        and paper["models"].get(run.model) in models
    ]
    return sorted(chosen, key=lambda run: methods.index(run.method))


def paper_rows(table: str) -> pd.DataFrame:
    """Columns model, method, marks (footnotes), k, estimate (in %) of one of the paper's tables."""
    import pandas as pd

    paper, rows = paper_numbers(), []
    for row in paper["tables"][table]["rows"]:
        marks = f" [{', '.join(row['footnotes'])}]" if "footnotes" in row else ""
        place = {"model": row["model"], "method": row["method"], "marks": marks}
        for k, estimate in zip(paper["k"], row["pass_at_k"], strict=True):
            rows.append(place | {"k": k, "estimate": estimate})
    return pd.DataFrame(rows)


def paper_gains(table: str) -> pd.DataFrame:
    """Columns model, method, k, gain (points over GRPO) of one of the paper's tables."""
    import pandas as pd

    rows = paper_rows(table)
    baseline = rows[rows["method"] == BASELINE].set_index(["model", "k"])["estimate"]
    rows = rows[rows["method"] != BASELINE]
    same = baseline.loc[pd.MultiIndex.from_frame(rows[["model", "k"]])]
    return rows[["model", "method", "k"]].assign(gain=rows["estimate"].to_numpy() - same.to_numpy())


def lens_gains(mix: str) -> pd.DataFrame:
    """Columns model, k, gain (points) of LENS over GRPO on a mix, once per model; may be empty."""
    import pandas as pd

    tables = [name for name, entry in paper_numbers()["tables"].items() if entry["mix"] == mix]
    gains = [paper_gains(table) for table in tables]
    rows = pd.concat(gains) if gains else pd.DataFrame(columns=["model", "method", "k", "gain"])
    return rows[rows["method"] == "lens"].drop_duplicates(["model", "k"])[["model", "k", "gain"]]
