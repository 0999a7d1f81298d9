"""Difficulty levels, and masks of problems by level."""

import pandas as pd

HARD_LEVELS = (4, 5)  # the paper's hard subset, "Levels 4-5"


def level_subsets(levels: pd.Series) -> dict[str, pd.Series]:
    """Masks by name: all, each level that occurs (0 = unknown is left out), and Levels 4-5."""
    subsets = {"all": pd.Series(True, index=levels.index)}
    subsets |= {str(level): levels == level for level in sorted(set(levels) - {0})}
    if levels.isin(HARD_LEVELS).any():
        subsets["4-5"] = levels.isin(HARD_LEVELS)
    return subsets
