"""From the samples of an evaluation to the number of correct ones per problem."""

import pandas as pd

from lens_impl.errors import UserError


def incomplete(samples: pd.DataFrame, n: int) -> list[str]:
    """The problems that do not have the samples 0 to n - 1 once each, in order of problem_id."""
    found = samples.groupby("problem_id")["sample"].agg(["size", "nunique", "min", "max"])
    whole = (found[["size", "nunique"]] == n).all(axis=1)
    whole &= (found["min"] == 0) & (found["max"] == n - 1)
    return list(found.index[~whole])


def problem_counts(samples: pd.DataFrame) -> pd.DataFrame:
    """Index problem_id, sorted; columns level, type, n (samples) and correct (how many are right).

    samples: columns problem_id, sample, level, type, correct. UserError unless every problem has
    the same n samples.
    """
    if samples.empty:
        raise UserError("there is no sample. Hint: sample the evaluation set again.")
    counts = samples.groupby("problem_id").agg(
        level=("level", "first"),
        type=("type", "first"),
        n=("sample", "size"),
        correct=("correct", "sum"),
    )
    n = int(counts["n"].mode().iloc[0])
    if problems := incomplete(samples, n):
        raise UserError(
            f"problem {problems[0]} does not have {n} different samples as the others. "
            "Hint: sample the evaluation set again."
        )
    return counts
