"""How a base model does before training: Pass@k by level."""

import pandas as pd

from lens_impl.evaluation.baseline import pass_by_level


def test_pass_by_level_by_hand():
    counts = pd.DataFrame({"level": [1, 1, 5], "n": 2, "correct": [1, 0, 2]})
    assert pass_by_level(counts) == {
        "all": {"1": 0.5, "2": 0.6667},
        "1": {"1": 0.25, "2": 0.5},
        "5": {"1": 1.0, "2": 1.0},
    }
