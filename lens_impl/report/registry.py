"""Every table and figure: which runs it shows, from which files, and by which function.

The rules and the commands share this registry, so it imports neither pandas nor matplotlib. A new
figure is a function `(results: Results) -> Figure` and an entry of FIGURES; a new table a function
`(results: Results) -> Page` and an entry of TABLES.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

from lens_impl.comparison.paper import paper_numbers, runs_of_table
from lens_impl.errors import UserError, choice
from lens_impl.experiments.runs import Run, evaluated
from lens_impl.results import PAPER_SET, Results

Select = Callable[[Sequence[Run]], Sequence[Run]]


@dataclass(frozen=True)
class Shown:
    """A table or figure.

    make: module and function under lens_impl.report. runs: which of all runs it shows. reads: files
    of each of these runs; evaluated: files of each and of their base models, `{set}` being the
    evaluation set. label, caption and category: in Snakemake's report.
    """

    make: str
    label: str
    caption: str
    category: str = "Beyond the paper"
    runs: Select = list
    reads: tuple[str, ...] = ()
    evaluated: tuple[str, ...] = ()
    evaluation_set: str = PAPER_SET

    def names(self, runs: Sequence[Run]) -> list[str]:
        """The names of the runs that it shows, of all runs."""
        return [run.name for run in self.runs(runs)]

    def inputs(self, runs: Sequence[Run], scale: str) -> list[str]:
        """The files that it is made from, given all runs."""
        shown = self.runs(runs)
        files = [(run.name, file) for run in shown for file in self.reads]
        files += [(name, file) for name in evaluated(shown) for file in self.evaluated]
        of_set = [(name, file.format(set=self.evaluation_set)) for name, file in files]
        return [f"results/{scale}/runs/{name}/{file}" for name, file in of_set]

    def __call__(self, results: Results) -> Any:
        """Make it from the results of all runs."""
        module, _, function = self.make.partition(":")
        make = getattr(import_module(f"lens_impl.report.{module}"), function)
        return make(results.only(self.runs(results.runs)).on(self.evaluation_set))


def _grpo_of_figure2(runs: Sequence[Run]) -> list[Run]:
    entry = paper_numbers()["figures"]["figure2_negative_ratio"]
    return [run for run in runs if (run.mix, run.method) == (entry["mix"], entry["method"])]


SAMPLES = "samples_{set}.parquet"
CURVES_CAPTION = (
    "Accuracy over all validation samples during training on {}, on all levels and on Levels 4-5; "
    "step 0 is the base model. Look at whether LENS keeps rising where GRPO flattens: bold is the "
    "mean over seeds, thin lines are the seeds, bands 95 % intervals over problems. Two methods "
    "share their problems, so they can differ although their bands overlap."
)
FIGURES = {
    "figure2_negative_ratio": Shown(
        "figures.paper:negative_ratio",
        "Figure 2: share of all-wrong groups",
        "Share of groups without a single correct answer while GRPO trains on MATH + NuminaMath "
        "1.5: GRPO learns nothing from them. Hollow: the paper's start and end "
        "(Llama-3.1-8B-Instruct, G = 16).",
        "Figures",
        runs=_grpo_of_figure2,
        reads=("metrics.jsonl", "config.json"),
    ),
    "figure4_weight": Shown(
        "figures.paper:weight_of_wrong_answers",
        "Figure 4: weight w(z)",
        "The weight w(z) of a wrong answer (equation 13): next to nothing when the model was "
        "unsure of it, without bound when it was certain.",
        "Figures",
        runs=lambda runs: [],
    ),
    "figure5_math_dapo": Shown(
        "figures.paper:accuracy_math_dapo",
        "Figure 5: accuracy, MATH + DAPO",
        CURVES_CAPTION.format("MATH + DAPO"),
        "Figures",
        runs=partial(runs_of_table, table="table1"),
        reads=("curves.parquet",),
    ),
    "figure6_math_numina": Shown(
        "figures.paper:accuracy_math_numina",
        "Figure 6: accuracy, MATH + NuminaMath",
        CURVES_CAPTION.format("MATH + NuminaMath 1.5"),
        "Figures",
        runs=partial(runs_of_table, table="table3"),
        reads=("curves.parquet",),
    ),
    "pass_at_k_by_level": Shown(
        "figures.beyond:pass_at_k_by_level",
        "Pass@k by level",
        "Pass@k against k, all levels and each level, with 95 % intervals over problems. Look at "
        "where the curves part: a gain at small k only sharpens what the model knew, a gain at "
        "large k means new answers; the dotted line is the base model.",
        evaluated=(SAMPLES,),
    ),
    "gain_by_level": Shown(
        "figures.beyond:gain_by_level",
        "Gain over GRPO by level",
        "Each method minus GRPO by level, paired by problem, with 95 % intervals over problems and "
        "seeds. Look at whether intervals leave zero on the hard levels; the hollow marks are the "
        "paper's gain of LENS on all levels.",
        evaluated=(SAMPLES,),
    ),
    "reliability": Shown(
        "figures.beyond:reliability",
        "Confidence against correctness",
        "Share of correct responses against the model's confidence (geometric-mean token "
        "probability), on the test set and in the rollouts over training; ten points with equal "
        "numbers of responses. Look at the right end: wrong responses there are the confident "
        "mistakes that LENS penalises most.",
        reads=("rollouts.parquet",),
        evaluated=(SAMPLES,),
    ),
    "negative_mass": Shown(
        "figures.beyond:negative_mass",
        "Advantage from all-wrong groups",
        "Share of the absolute advantages that comes from all-wrong groups. GRPO has none by "
        "construction; look at how small LENS's part is, which bounds what it can change.",
        reads=("metrics.jsonl",),
    ),
    "rescued": Shown(
        "figures.beyond:rescued",
        "Problems rescued in training",
        "Share of the validation problems that the base model never solved in its n samples and "
        "that have a correct sample at a later step. Compare methods with each other; part of the "
        "first steps' value is chance.",
        reads=("curves.parquet",),
    ),
}
TABLES = {
    "table1": Shown(
        "paper_tables:table1",
        "Table 1: Pass@k, MATH + DAPO",
        "Pass@k on MATH after training on MATH + DAPO, GRPO against LENS. Look at the gains over "
        "GRPO and at where their interval contains 0; a footnote marks a row of the paper that its "
        "own set-up cannot give.",
        "Tables",
        runs=partial(runs_of_table, table="table1"),
        evaluated=(SAMPLES,),
    ),
    "table2": Shown(
        "paper_tables:table2",
        "Table 2: ablation",
        "Ablation on MATH + NuminaMath 1.5: LENS with only mixed groups, with only negative "
        "groups, and whole. Look at which part brings the gain over GRPO.",
        "Tables",
        runs=partial(runs_of_table, table="table2"),
        evaluated=(SAMPLES,),
    ),
    "table3": Shown(
        "paper_tables:table3",
        "Table 3: Pass@k, MATH + NuminaMath",
        "Pass@k on MATH after training on MATH + NuminaMath 1.5, GRPO against LENS. Look at "
        "whether the gain is there at large k.",
        "Tables",
        runs=partial(runs_of_table, table="table3"),
        evaluated=(SAMPLES,),
    ),
    "effects": Shown(
        "effects:effects",
        "Gains by level and subject",
        "Difference between each method and GRPO by level and by subject, paired by problem. Look "
        "at whether the gain sits on the hard levels, as the paper says of Levels 4-5; p is "
        "corrected for the length of each list.",
        "Tables",
        evaluated=(SAMPLES,),
    ),
    "seeds": Shown(
        "seed_study:seeds",
        "Differences over many seeds",
        "Each method minus GRPO over all seeds of the experiments, paired by problem and seed, and "
        "how many seeds the paper's effect would need.",
        "Tables",
        reads=("manifest.json",),
        evaluated=(SAMPLES,),
    ),
    "methods": Shown(
        "methods:methods",
        "All methods",
        "Every method that was run: Pass@k, the share of sampled responses that it learns from, "
        "and what a step costs.",
        "Tables",
        reads=("metrics.jsonl", "config.json", "pass_at_k_{set}.csv"),
    ),
}
PAPER_TABLES = tuple(paper_numbers()["tables"])
_OF_A_SET = "pass_at_k_"  # and the name of an evaluation set beyond the paper's


def figures(evaluation_sets: list[str]) -> list[str]:
    """All figures, given the evaluation sets, the paper's first."""
    return [*FIGURES, *(_OF_A_SET + name for name in evaluation_sets[1:])]


def tables_beyond(evaluation_sets: list[str]) -> list[str]:
    """The tables beyond the paper's that every run of the workflow makes."""
    return ["effects", *(_OF_A_SET + name for name in evaluation_sets[1:])]


def table(name: str) -> Shown:
    """A table by its name; UserError for another name."""
    if name.startswith(_OF_A_SET):
        evaluation_set = name.removeprefix(_OF_A_SET)
        return Shown(
            "evaluation_sets:pass_at_k",
            f"Pass@k on {evaluation_set}",
            f"Pass@k of every run and base model on {evaluation_set}, and the gains over GRPO.",
            "Evaluation sets",
            evaluated=(SAMPLES, "pass_at_k_{set}.csv"),
            evaluation_set=evaluation_set,
        )
    return _find(name, TABLES, "table")


def figure(name: str) -> Shown:
    """A figure by its name; UserError for another name."""
    if name.startswith(_OF_A_SET) and name not in FIGURES:
        evaluation_set = name.removeprefix(_OF_A_SET)
        return replace(
            table(name),
            make="figures.beyond:pass_at_k_by_level",
            label=f"Pass@k on {evaluation_set}, curves",
            caption=f"Pass@k against k on {evaluation_set}; the dotted line is the base model.",
        )
    return _find(name, FIGURES, "figure")


def _find(name: str, registry: dict[str, Shown], kind: str) -> Shown:
    if name not in registry:
        raise UserError(f"the {kind} is {name!r}, but must be {choice(name, registry)}")
    return registry[name]
