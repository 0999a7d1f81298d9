"""Pass@k of several runs on the same problems, and each method's paired gain over GRPO.

One generator gives the gains; the paper's tables, the effects by level and subject and the study of
many seeds are views of it. A family is the runs of one mix and model.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lens_impl.comparison.evaluations import Evaluations
from lens_impl.comparison.paper import BASELINE
from lens_impl.evaluation.intervals import (
    Difference,
    Interval,
    bootstrap_interval,
    clamped,
    effects,
    holm,
    paired_difference,
    pass_at_k_interval,
)
from lens_impl.evaluation.levels import ALL, HARD, level_masks
from lens_impl.evaluation.passk import pass_at_k
from lens_impl.experiments.runs import base_name, grouped

SUBSETS = (ALL, HARD)  # the subsets of levels that the paper compares
COLUMNS = ["model", "method", "versus", "level", "k", "estimate", "low", "high", "p_value"]
COLUMNS += ["p_holm", "seed_low", "seed_high", "seeds", "problems", "n"]
EFFECT_COLUMNS = ["mix", "model", "method", "versus", "k", "by", "label", "problems", "seeds"]
EFFECT_COLUMNS += ["estimate", "low", "high", "p_value", "p_holm"]


@dataclass(frozen=True)
class Passes:
    """Pass@k of one method in one family. n, correct: samples, and correct ones."""

    mix: str
    model: str
    method: str  # "base" for the base model, whose one seed is "-"
    k: int
    seeds: tuple[str, ...]
    n: np.ndarray  # [seeds, problems]
    correct: np.ndarray  # [seeds, problems]
    problems: pd.DataFrame  # [problem_id] level, type

    @cached_property
    def values(self) -> np.ndarray:
        """[seeds, problems]"""
        return np.asarray(pass_at_k(self.n, self.correct, self.k))

    def interval(self, mask: np.ndarray) -> Interval:
        """Mean over the seeds and some of the problems, with its 95 % interval."""
        return pass_at_k_interval(
            some_problems(mask, self.n), some_problems(mask, self.correct), self.k
        )


@dataclass(frozen=True)
class Gain:
    """A method and the baseline of its family at one k."""

    method: Passes
    baseline: Passes

    @property
    def paired(self) -> bool:
        """Whether both have the same seeds, so that rows can be paired."""
        return set(self.method.seeds) == set(self.baseline.seeds)

    @cached_property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """[seeds, problems] of both; where paired, row s of both has the same seed."""
        if not self.paired:
            return self.method.values, self.baseline.values
        same = [self.baseline.seeds.index(seed) for seed in self.method.seeds]
        return self.method.values, self.baseline.values[same]

    def difference(self, mask: np.ndarray) -> Difference:
        """Difference of the means over some of the problems, with its 95 % interval."""
        first, second = self.values
        return paired_difference(
            some_problems(mask, first), some_problems(mask, second), paired_seeds=self.paired
        )


def passes(evaluations: Evaluations, ks: list[int]) -> Iterator[dict[str, Passes]]:
    """Of each family and k: method -> Pass@k of the runs with at least k samples, base first."""
    for (mix, model), members in grouped(evaluations.runs, "mix", "model").items():
        of_method = {"base": {"-": base_name(model)}}
        for run in members:
            of_method.setdefault(run.method, {})[str(run.seed)] = run.name
        for k in ks:
            found = {}
            for method, names in of_method.items():
                tables = {
                    seed: evaluations.counts[name]
                    for seed, name in names.items()
                    if name in evaluations.counts and evaluations.counts[name]["n"].iloc[0] >= k
                }
                if tables:
                    n, correct = (
                        np.stack([table[column].to_numpy() for table in tables.values()])
                        for column in ("n", "correct")
                    )
                    problems = next(iter(tables.values()))[["level", "type"]]
                    found[method] = Passes(
                        mix, model, method, k, tuple(tables), n, correct, problems
                    )
            yield found


def gains(evaluations: Evaluations, ks: list[int]) -> Iterator[Gain]:
    """Every method next to the baseline of its family, by family, k and method."""
    for found in passes(evaluations, ks):
        for method, ours in found.items():
            if method not in ("base", BASELINE) and BASELINE in found:
                yield Gain(ours, found[BASELINE])


def some_problems(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[seeds, some problems], in the order of rows: sums depend on it in their last digit."""
    return np.compress(mask, values, axis=1)


def subsets(problems: pd.DataFrame) -> dict[str, np.ndarray]:
    """Masks of all problems, and of those of Levels 4-5 where there are any."""
    return {name: mask for name, mask in level_masks(problems["level"]).items() if name in SUBSETS}


def pass_at_k_rows(evaluations: Evaluations, ks: list[int]) -> pd.DataFrame:
    """Pass@k of every model and method of one mix, and each method's gain over GRPO.

    | column | |
    |---|---|
    | model, method, level, k | level: "all" or "4-5"; k above n is left out |
    | versus | "" for Pass@k, "grpo" for a gain |
    | estimate, low, high | fractions: mean over seeds and problems, 95 % interval |
    | p_value, p_holm | of a gain; Holm over the methods and k of its model and level |
    | seed_low, seed_high | range over the seeds; "" for a gain |
    | seeds, problems, n | "1 2" ("-" for the base model), and how many problems and samples |
    """
    rows = []
    for found in passes(evaluations, ks):
        for ours in found.values():
            for level, mask in subsets(ours.problems).items():
                row = {"model": ours.model, "method": ours.method, "level": level, "k": ours.k}
                row |= {"seeds": " ".join(ours.seeds), "problems": int(mask.sum())}
                row["n"] = int(ours.n[-1, 0])
                means = some_problems(mask, ours.values).mean(1)
                seed_range = {"seed_low": means.min(), "seed_high": means.max()}
                rows.append(row | {"versus": ""} | seed_range | asdict(ours.interval(mask)))
                if ours.method not in ("base", BASELINE) and BASELINE in found:
                    gain = Gain(ours, found[BASELINE]).difference(mask)
                    rows.append(row | {"versus": BASELINE} | asdict(gain))
    models = [model for (model,) in grouped(evaluations.runs, "model")]
    rows.sort(key=lambda row: (models.index(row["model"]), SUBSETS.index(row["level"])))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return with_holm(table, table["versus"] != "", ["model", "level"])


def pass_at_k_of_mixes(evaluations: Evaluations, ks: list[int]) -> pd.DataFrame:
    """pass_at_k_rows of each mix, with a last column mix."""
    parts = [
        pass_at_k_rows(Evaluations(tuple(runs), evaluations.counts), ks).assign(mix=mix)
        for (mix,), runs in grouped(evaluations.runs, "mix").items()
    ]
    return pd.concat(parts, ignore_index=True)


def read_rows(path: Path) -> pd.DataFrame:
    """The csv of pass_at_k_rows; an empty text stays a text, an empty number is nan."""
    text = ("model", "method", "versus", "level", "seeds")
    numbers = {column: [""] for column in COLUMNS if column not in text}
    return pd.read_csv(
        path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=numbers
    )


def level_curves(evaluations: Evaluations, ks: list[int]) -> pd.DataFrame:
    """Pass@k of every method, for all problems and by level, as the figures draw it.

    Columns mix, model, method, level (of `level_masks`), k, estimate, low, high (fractions: mean
    over seeds, 95 % interval over problems alone), problems, n.
    """
    rows = []
    for found in passes(evaluations, ks):
        for ours in found.values():
            for level, mask in level_masks(ours.problems["level"]).items():
                means = some_problems(mask, ours.values).mean(0)
                row: dict[str, object] = {"mix": ours.mix, "model": ours.model, "level": level}
                row |= {"method": ours.method}
                row |= {"k": ours.k, **asdict(clamped(bootstrap_interval(means)))}
                rows.append(row | {"problems": len(means), "n": int(ours.n[-1, 0])})
    columns = ["mix", "model", "method", "level", "k", "estimate", "low", "high", "problems", "n"]
    return pd.DataFrame(rows, columns=columns)


def effect_rows(evaluations: Evaluations, ks: list[int]) -> pd.DataFrame:
    """Each method's gain over GRPO by level and by subject; p_holm within one such list."""
    parts = []
    for gain in gains(evaluations, ks):
        ours = gain.method
        about: dict[str, object] = {"mix": ours.mix, "model": ours.model, "versus": BASELINE}
        about |= {"method": ours.method}
        about |= {"k": ours.k, "seeds": " ".join(ours.seeds)}
        for by, column in {"level": "level", "subject": "type"}.items():
            labels = ours.problems[column].tolist()
            table = effects(*gain.values, labels, paired_seeds=gain.paired)
            parts.append(table.assign(**about, by=by))
    if not parts:
        return pd.DataFrame(columns=EFFECT_COLUMNS)
    return pd.concat(parts, ignore_index=True)[EFFECT_COLUMNS]


def with_holm(table: pd.DataFrame, chosen: pd.Series, family: list[str]) -> pd.DataFrame:
    """The table with p_holm of the chosen rows, corrected within each family."""
    for _, rows in table[chosen].groupby(family):
        table.loc[rows.index, "p_holm"] = holm(rows["p_value"])
    return table
