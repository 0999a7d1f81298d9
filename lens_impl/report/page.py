"""What the function of a table returns."""

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Page:
    """rows: the csv; faults: sentences about runs that are missing or damaged."""

    rows: pd.DataFrame
    markdown: str
    latex: str | None = None
    faults: list[str] = field(default_factory=list)
