"""Figures 2, 4, 5 and 6 of the paper, drawn from the runs' files alone.

Bold lines are means over seeds, thin lines single seeds, bands 95 % intervals of the mean over
problems (not over seeds: those are the thin lines). The paper's values are hollow.
"""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lens_impl.comparison.paper import paper_numbers, paper_rows
from lens_impl.evaluation.intervals import bootstrap_interval
from lens_impl.evaluation.levels import HARD_LEVELS
from lens_impl.experiments.runs import grouped
from lens_impl.report.figures.style import (
    HOLLOW,
    count,
    label,
    legend_above,
    mean_line,
    method_styles,
    new_figure,
    panels,
    say_empty,
    scale_note,
)
from lens_impl.report.names import method_name
from lens_impl.results import Results
from lens_impl.theory import weight

PANELS = {"all levels": None, "Levels 4-5": HARD_LEVELS}
MODEL_STYLES = (
    {"color": "#D55E00", "linestyle": "-"},
    {"color": "#0072B2", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
)


def negative_ratio(results: Results) -> Figure:
    """Share of all-wrong groups against step, GRPO on MATH + NuminaMath 1.5; one line per model."""
    figure, axes = new_figure(1, 1, (4.8, 3.6), scale_note(results))
    ax = axes[0, 0]
    ax.set(xlabel="step (rollout batch)", ylabel="all-wrong groups (%)")
    theirs = paper_numbers()["figures"]["figure2_negative_ratio"]
    if not results.runs:
        say_empty(ax, f"{method_name(theirs['method'])} on {theirs['mix']}", results)
        return figure
    last = 1
    for ((model,), members), style in zip(
        grouped(results.runs, "model").items(), MODEL_STYLES, strict=False
    ):
        shares = pd.DataFrame({run.seed: _all_wrong(results, run.name) for run in members})
        shares = 100 * shares
        settings = results.config(members[0].name)["settings"]
        ax.plot(shares.index, shares, color=style["color"], linewidth=0.6, alpha=0.45)
        window = max(1, len(shares) // 10)
        smooth = shares.mean(axis=1).rolling(window, center=True, min_periods=1).mean()
        name = (
            f"{model}: {settings['prompts_per_rollout']} groups per step, "
            f"G = {settings['group_size']}, {count(len(members), 'seed')}"
            f" (bold: mean of {count(window, 'step')})"
        )
        ax.plot(smooth.index, smooth, **style, label=name)
        last = max(last, shares.index[-1])
    ends = [theirs["all_wrong_early"], theirs["all_wrong_end"]]
    name = f"paper: {theirs['model']}, start and end"
    ax.plot([1, last], ends, marker="D", color="0.2", **HOLLOW, label=name, clip_on=False)
    ax.set_ylim(0, None)
    legend_above(figure, columns=1)
    return figure


def weight_of_wrong_answers(results: Results) -> Figure:
    """The weight of a wrong answer, w(z) = -log(1 - z) / z - 1 (eq. 13). A formula: no run."""
    figure, axes = new_figure(1, 1, (4.8, 3.2), "a formula (eq. 13): the same at every scale")
    ax = axes[0, 0]
    z = np.linspace(0.001, 0.999, 999)
    ax.plot(z, weight(z), color="#0072B2")
    ax.set(xlabel=r"$z = \pi_\theta(o\,|\,q) \,/\, D(q)$", ylabel=r"$w(z)$", xlim=(0, 1))
    ax.set_ylim(0, 6)
    formula = r"$w(z) = \frac{1}{z}\,\log\frac{1}{1-z} - 1$"
    ax.text(0.08, 0.82, formula, transform=ax.transAxes, fontsize=13)
    return figure


def accuracy(results: Results, table: str) -> Figure:
    """Accuracy over all validation samples against step: all levels | Levels 4-5, a row per model.

    Hollow: Pass@1 of the paper's table, which is the accuracy at its training's end, where the
    model is the paper's.
    """
    paper, models = paper_numbers(), grouped(results.runs, "model")
    figure, axes = panels(len(models), 2, (3.6, 2.6), 0.8, results)
    if not models:
        for ax in axes[0]:
            say_empty(ax, f"GRPO or LENS on {paper['tables'][table]['mix']}", results)
    published = paper_rows(table)
    published = published[published["k"] == 1].set_index(["model", "method"])["estimate"]
    for row, ((model,), members) in zip(axes, models.items(), strict=False):
        curves = {run.name: results.curves(run.name) for run in members}
        for ax, (name, levels) in zip(row, PANELS.items(), strict=True):
            for (method,), seeds in grouped(members, "method").items():
                of_seeds = {run.seed: _accuracy(curves[run.name], levels) for run in seeds}
                shares = pd.concat(of_seeds, axis=1)
                _draw_method(ax, shares, method)
                place = (paper["models"].get(model), method)
                if levels is None and place in published.index:
                    _hollow(ax, shares, method, published[place])
            # verl draws the validation problems by seed, so two seeds share only part of them.
            problems = shares.iloc[:, 0].dropna().groupby("step").size().iloc[0]
            n = int(next(iter(curves.values()))["n"].iloc[0])
            ax.set_title(f"{model}\n{name}: {problems} problems x {n} samples")
            ax.set(xlabel="step (rollout batch)", ylabel="accuracy (%)")
    legend_above(figure)
    return figure


accuracy_math_dapo = partial(accuracy, table="table1")
accuracy_math_numina = partial(accuracy, table="table3")


def _accuracy(curves: pd.DataFrame, levels: tuple | None) -> pd.Series:
    """Share of correct samples in %, by (step, problem_id)."""
    if levels is not None:
        curves = curves[curves["level"].isin(levels)]
    curves = curves.set_index(["step", "problem_id"])
    return 100 * curves["correct"] / curves["n"]


def _draw_method(ax: Axes, shares: pd.DataFrame, method: str) -> None:
    """shares: [(step, problem), seed] in %."""
    by_seed = shares.groupby("step").mean()
    of_seeds = shares.mean(axis=1).groupby("step")
    intervals = [bootstrap_interval(rows.to_numpy()) for _, rows in of_seeds]
    band = np.array([(interval.low, interval.high) for interval in intervals]).T
    style = method_styles([method])[method]
    name = label(method, shares.shape[1])
    mean_line(ax, by_seed.index, by_seed.to_numpy(), style, name, band)


def _hollow(ax: Axes, shares: pd.DataFrame, method: str, value: float) -> None:
    style = method_styles([method])[method]
    last = shares.index.get_level_values("step").max()
    name = f"paper's {method_name(method)} at its end"
    marker = {"marker": style["marker"], "color": style["color"]}
    ax.plot([last], [value], **marker, **HOLLOW, label=name, clip_on=False)


def _all_wrong(results: Results, name: str) -> pd.Series:
    return pd.Series({line["step"]: line["groups_all_wrong"] for line in results.metrics(name)})
