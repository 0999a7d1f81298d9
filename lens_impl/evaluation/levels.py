"""Difficulty levels, and masks of problems by level."""

import numpy as np
from numpy.typing import ArrayLike

ALL = "all"  # problems of every level, also of an unknown one
HARD_LEVELS = (4, 5)  # the paper's hard subset, "Levels 4-5"
HARD = "4-5"


def level_masks(levels: ArrayLike) -> dict[str, np.ndarray]:
    """Masks [problems] by name: "all", each level that occurs, and "4-5" where it has a problem.

    levels: [problems], 1 to 5. Level 0 (unknown: AMC, AIME) counts in "all" only.
    """
    levels = np.asarray(levels)
    masks = {ALL: np.ones(len(levels), bool)}
    masks |= {str(level): levels == level for level in np.unique(levels) if level != 0}
    hard = np.isin(levels, HARD_LEVELS)
    return masks | ({HARD: hard} if hard.any() else {})
