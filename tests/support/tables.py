"""The command of the tables on synthetic results, and what it wrote."""

import sys

import pandas as pd
import pytest

from lens_impl.report import tables
from lens_impl.results import Results


def command(results: Results, table: str) -> None:
    options = ["--results", results.path, "--out-csv", results.table(table, "csv")]
    options += ["--out-md", results.table(table, "md")]
    if table.startswith("table"):
        options += ["--out-tex", results.table(table, "tex")]
    options += ["--runs", *(run.name for run in results.runs)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tables", table, *map(str, options)])
        tables.main()


def read(results: Results, table: str) -> pd.DataFrame:
    rows = pd.read_csv(results.table(table, "csv"), keep_default_na=False)
    return rows.set_index(["method", "versus", "level", "k"])


def text_of(results: Results, table: str, suffix: str = "md") -> str:
    return results.table(table, suffix).read_text(encoding="utf-8")
