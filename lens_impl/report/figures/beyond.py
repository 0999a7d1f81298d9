"""Figures that the paper does not have: what changes by level, by k, by confidence, and in negative
groups. Every figure has one column or row per mix and model.
"""

from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lens_impl.comparison.evaluations import Evaluations, read_evaluations
from lens_impl.comparison.gains import effect_rows, level_curves
from lens_impl.comparison.paper import BASELINE, lens_gains, paper_numbers
from lens_impl.errors import UserError
from lens_impl.evaluation.levels import ALL, HARD
from lens_impl.experiments.runs import Run, base_name, grouped
from lens_impl.report.evaluation_sets import ks_of
from lens_impl.report.figures.style import (
    HOLLOW,
    count,
    label,
    legend_above,
    mean_line,
    method_styles,
    panels,
    say_empty,
    seeds_of,
)
from lens_impl.results import PAPER_SET, Results

BINS = 10  # of confidence, with equal numbers of responses
ROLLOUT_BINS = 6  # a dump has few groups
ROLLOUT_METHODS = (BASELINE, "lens")
CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.995)  # ticks of a logit axis
WIDEST = 20.0  # points


def pass_at_k_by_level(results: Results) -> Figure:
    """Pass@k against k: one panel per level, one row per mix and model; bars: over problems.

    A set whose problems have no level has one panel per mix and model.
    """
    ks = paper_numbers()["k"] if results.evaluation_set == PAPER_SET else ks_of(results)
    curves = level_curves(_whole(read_evaluations(results, ks)), ks)
    families = _families(results)
    levels = sorted(set(curves["level"]) - {ALL, HARD}, key=int)
    if levels:
        figure, axes = panels(len(families), 1 + len(levels), (1.6, 2.1), 0.9, results)
    else:
        figure, axes = panels(1, len(families), (3.8, 2.8), 0.9, results)
        axes = axes.T
    for row, ((mix, model), members) in zip(axes, families.items(), strict=False):
        family = curves[(curves["mix"] == mix) & (curves["model"] == model)]
        for ax, level in zip(row, [ALL, *levels], strict=True):
            _pass_at_k(ax, family[family["level"] == level], ks)
            if levels:
                ax.label_outer()
            ax.set_title(
                ("all levels" if level == ALL else f"Level {level}")
                + f"\n{count(_problems(family, level), 'problem')}",
                fontsize=8,
            )
        about = f"Pass@k (%), n = {family['n'].iloc[0]}, {seeds_of(members)}"
        row[0].set_ylabel(f"{model}, {mix}\n{about}", fontsize=8)
    legend_above(figure, columns=3 if len(figure.axes) > 1 else 2)
    return figure


def _pass_at_k(ax: Axes, curves: pd.DataFrame, ks: list[int]) -> None:
    """One panel: a line per method."""
    for method, style in method_styles(curves["method"]).items():
        rows = curves[curves["method"] == method]
        bars = [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]]
        ax.errorbar(
            rows["k"],
            100 * rows["estimate"],
            100 * np.array(bars),
            **style,
            elinewidth=0.6,
            label=label(method),
        )
    ax.set_xscale("log", base=2)
    ax.set_xticks(ks, [str(k) for k in ks])
    ax.set(xlabel="k", ylim=(0, 102))


def _problems(family: pd.DataFrame, level: str) -> int:
    rows = family[family["level"] == level]
    return 0 if rows.empty else int(rows["problems"].iloc[0])


def gain_by_level(results: Results) -> Figure:
    """Gain over GRPO by level with its interval: rows Pass@1 and Pass@16, one column per mix."""
    ks = (paper_numbers()["k"][0], paper_numbers()["k"][-1])
    found = _whole(read_evaluations(results, paper_numbers()["k"]))
    rows = effect_rows(found, list(ks))
    rows = rows[rows["by"] == "level"]
    families = list(dict.fromkeys(zip(rows["mix"], rows["model"], strict=True)))
    figure, axes = panels(2, len(families), (3.6, 2.6), 0.0, results)
    if not families:
        for ax in axes.flat:
            say_empty(ax, "GRPO and another method", results)
        return figure
    for column, (mix, model) in zip(axes.T, families, strict=True):
        for ax, k in zip(column, ks, strict=True):
            part = rows[(rows["mix"] == mix) & (rows["model"] == model) & (rows["k"] == k)]
            if part.empty:
                say_empty(ax, f"enough samples for Pass@{k}", results)
                continue
            _gains(ax, part)
            _paper_gain(ax, mix, model, k)
            members = [run for run in results.runs if (run.mix, run.model) == (mix, model)]
            ax.set_title(f"{model} on {mix}, {seeds_of(members)}")
            ax.set_ylabel(f"gain in Pass@{k} over GRPO\n(points)")
    legend_above(figure)
    return figure


def _gains(ax: Axes, part: pd.DataFrame) -> None:
    labels = list(dict.fromkeys(part["label"]))
    methods = list(dict.fromkeys(part["method"]))
    ax.axhline(0, color="0.3", linewidth=0.8)
    for place, method in enumerate(methods):
        rows = part[part["method"] == method]
        style = method_styles(methods)[method] | {"linestyle": "none"}
        x = np.arange(len(rows)) + 0.16 * (place - (len(methods) - 1) / 2)
        bars = 100 * np.array([rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]])
        ax.errorbar(x, 100 * rows["estimate"], bars, **style, elinewidth=1, label=label(method))
    problems = part.drop_duplicates("label")["problems"]
    ticks = [f"{level}\n({n})" for level, n in zip(labels, problems, strict=True)]
    ax.set_xticks(range(len(labels)), ticks)
    ax.set_xlabel("level (problems)")
    # Intervals of two seeds may be far wider than any effect: they leave the picture.
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -WIDEST), min(high, WIDEST))


def _paper_gain(ax: Axes, mix: str, model: str, k: int) -> None:
    """The paper's gain of LENS, which it gives for all levels together; hollow, at the right."""
    gains = lens_gains(mix)
    if gains.empty:
        return
    gains = gains[gains["k"] == k]
    known = paper_numbers()["models"].get(model)
    gains = gains[gains["model"] == known] if known else gains
    x = len(ax.get_xticks())
    whose = "its model" if known else "other models"
    style = {"marker": "o", "color": "0.2"}
    name = f"paper's LENS, all levels ({whose})"
    ax.plot([x] * len(gains), gains["gain"], **style, **HOLLOW, label=name)
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    ax.set_xticks(range(x + 1), [*ticks, "paper\n(all)"])


def reliability(results: Results) -> Figure:
    """Share of correct responses against confidence: test set | training rollouts, by step.

    Confidence: geometric-mean token probability. Points: equal numbers of responses. A model that
    knows what it does not know rises to the right; a flat right end is confident mistakes.
    """
    families = _families(results)
    figure, axes = panels(len(families), 1 + len(ROLLOUT_METHODS), (2.9, 2.5), 0.9, results)
    for row, ((mix, model), members) in zip(axes, families.items(), strict=False):
        _test_set(row[0], results, model, members)
        row[0].set_ylabel(f"{model}, {mix}, {seeds_of(members)}\ncorrect (%)", fontsize=8)
        row[0].set_title("evaluation, all samples", fontsize=8)
        for ax, method in zip(row[1:], ROLLOUT_METHODS, strict=True):
            seeds = [run for run in members if run.method == method]
            if not seeds:
                say_empty(ax, label(method), results)
                continue
            _rollouts(ax, results, seeds)
            ax.set_title(f"training rollouts of {label(method)}", fontsize=8)
        for ax in [ax for ax in row if ax.axison]:
            ax.set_xscale("logit")
            ax.set_xticks(CONFIDENCES, [f"{tick:g}" for tick in CONFIDENCES], fontsize=7)
            ax.set_xticks([], minor=True)
            ax.set_xlabel("confidence")
            ax.set_ylim(-3, 103)
    legend_above(figure)
    return figure


def _test_set(ax: Axes, results: Results, model: str, members: list[Run]) -> None:
    names = {"base": [base_name(model)]}
    for run in members:
        names.setdefault(run.method, []).append(run.name)
    styles = method_styles(names)
    for method, chosen in names.items():
        columns = ["correct", "log_prob", "length"]
        samples = pd.concat(results.samples(name, columns=columns) for name in chosen)
        confidence = np.exp(samples["log_prob"] / samples["length"].clip(lower=1))
        points = _binned(confidence, samples["correct"], BINS)
        ax.plot(*points, **styles[method], label=label(method))


def _rollouts(ax: Axes, results: Results, seeds: list[Run]) -> None:
    """One line per dumped step, light to dark."""
    columns = ["step", "confidence", "reward"]
    dumps = pd.concat(results.rollouts(run.name, columns) for run in seeds)
    steps = sorted(dumps["step"].unique())
    if not steps:
        ax.text(0.5, 0.5, "no dump\n(train.dump_every)", transform=ax.transAxes, ha="center")
        return
    steps = [steps[i] for i in sorted({round(i) for i in np.linspace(0, len(steps) - 1, 4)})]
    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.15, 0.95, len(steps)))
    for step, shade, marker in zip(steps, shades, "o^sD", strict=False):
        part = dumps[dumps["step"] == step]
        line = {"color": shade, "marker": marker, "linewidth": 1.2}
        points = _binned(part["confidence"], part["reward"], ROLLOUT_BINS)
        ax.plot(*points, **line, label=f"rollouts, step {step}")


def _binned(confidence: pd.Series, correct: pd.Series, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean confidence and % correct of bins with equal numbers of responses."""
    order = np.argsort(confidence.to_numpy(), kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    x, y = confidence.to_numpy(), correct.to_numpy().astype(float)
    means = np.array([[x[part].mean(), 100 * y[part].mean()] for part in parts])
    # A confidence of 1 has no place on a logit axis.
    return means[:, 0].clip(1e-3, 0.9995), means[:, 1]


def negative_mass(results: Results) -> Figure:
    """Share of all |advantage| that comes from all-wrong groups, against step."""

    def share(name: str) -> pd.Series:
        lines = pd.DataFrame(results.metrics(name)).set_index("step")
        negative = lines["groups_all_wrong"] * lines["advantage_negative"].fillna(0)
        total = negative + lines["groups_mixed"] * lines["advantage_mixed"].fillna(0)
        return 100 * (negative / total.where(total > 0)).fillna(0)

    return _lines(results, share, "|advantage| from\nall-wrong groups (%)", smooth=True)


def rescued(results: Results) -> Figure:
    """Share of the validation problems all wrong at step 0 that have a correct sample later.

    A problem of low but positive chance is now and then solved without any learning, so the level
    of the first steps is the mark to compare with, and methods are compared with each other.
    """

    def share(name: str) -> pd.Series:
        correct = results.curves(name).pivot(index="problem_id", columns="step", values="correct")
        missed = correct[correct[0] == 0]
        return 100 * (missed.drop(columns=0) > 0).mean()

    name = "of the problems all wrong at step 0,\nwith a correct sample (%)"
    return _lines(results, share, name, smooth=False)


def _lines(results: Results, share: Callable[[str], pd.Series], name: str, smooth: bool) -> Figure:
    """One line per method of share(run) -> [step], mean over seeds; one panel per mix and model."""
    families = _families(results)
    figure, axes = panels(1, len(families), (3.6, 3.4), 0.0, results)
    for ax, ((mix, model), members) in zip(axes[0], families.items(), strict=False):
        styles = method_styles(run.method for run in members)
        for method, style in styles.items():
            seeds = [run for run in members if run.method == method]
            values = pd.DataFrame({run.seed: share(run.name) for run in seeds})
            window = max(1, len(values) // 10) if smooth else 1
            values = values.rolling(window, center=True, min_periods=1).mean()
            mean_line(ax, values.index, values.to_numpy(), style, label(method))
        about = f", mean of {count(window, 'step')}" if window > 1 else ""
        ax.set_title(f"{model} on {mix}, {seeds_of(members)}{about}", fontsize=8)
        ax.set_xlabel("step (rollout batch)")
        ax.set_ylim(0, None)
    axes[0, 0].set_ylabel(name)
    legend_above(figure)
    return figure


def _families(results: Results) -> dict[tuple, list[Run]]:
    """(mix, model) -> its runs, GRPO first."""
    first = sorted(results.runs, key=lambda run: run.method != BASELINE)
    return dict(sorted(grouped(first, "mix", "model").items()))


def _whole(found: Evaluations) -> Evaluations:
    """The evaluations; UserError where one is missing or damaged, since a figure cannot say so."""
    if found.faults:
        raise UserError(f"figure: a run cannot be drawn. {' '.join(found.faults)}")
    return found
