"""Figures that the paper does not have: what changes by level, by k, by confidence, and in negative
groups. Drawn as figures.py draws; every one has a column or row a mix and model.
"""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lens_impl.comparison.evaluations import read_evaluations
from lens_impl.comparison.gains import BASELINE, effect_rows, passes_of
from lens_impl.comparison.paper import paper_gains
from lens_impl.errors import UserError
from lens_impl.evaluation.intervals import bootstrap_interval
from lens_impl.files import read_jsonl, read_parquet
from lens_impl.report.figures.style import (
    HOLLOW,
    count,
    label,
    legend_above,
    mean_line,
    method_styles,
    new_figure,
    say_empty,
    scale_note,
    seeds_of,
)

BINS = 10  # of confidence, with equal numbers of responses
ROLLOUT_BINS = 6  # a dump holds few groups
ROLLOUT_METHODS = (BASELINE, "lens")
CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.995)  # ticks of a logit axis
WIDEST = 20.0  # points


def pass_at_k_by_level(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
    """Pass@k against k: a panel a level, a row a mix and model; bars: interval over problems."""
    families = _families(runs)
    found = read_evaluations(results, runs, paper["k"])
    _stop_at_faults(found)
    levels = sorted({level for table in found.counts.values() for level in table["level"]} - {0})
    panels = ["all", *levels]
    rows = max(1, len(families))
    figure, axes = new_figure(
        rows, len(panels), (1.6 * len(panels), 0.9 + 2.1 * rows), scale_note(scale)
    )
    for row, ((mix, model), members) in zip(axes, families.items(), strict=False):
        counts = found.counts[members[0]["run"]]
        passes = {k: passes_of(found, members, model, k) for k in paper["k"]}
        styles = method_styles(["base", *(run["method"] for run in members)])
        for ax, level in zip(row, panels, strict=True):
            mask = np.ones(len(counts), bool) if level == "all" else (counts["level"] == level)
            for method, style in styles.items():
                ks = [k for k in paper["k"] if method in passes[k]]
                values = [passes[k][method][np.asarray(mask)].to_numpy() for k in ks]
                means = [bootstrap_interval(100 * value.mean(1)) for value in values]
                bars = [[m.estimate - m.low for m in means], [m.high - m.estimate for m in means]]
                ax.errorbar(
                    ks,
                    [m.estimate for m in means],
                    bars,
                    **style,
                    elinewidth=0.6,
                    label=label(method),
                )
            title = "all levels" if level == "all" else f"Level {level}"
            problems = count(int(np.sum(mask)), "problem")
            ax.set_title(f"{title}\n{problems}", fontsize=8)
            ax.set_xscale("log", base=2)
            ax.set_xticks(paper["k"], [str(k) for k in paper["k"]])
            ax.set(xlabel="k", ylim=(0, 102))
            ax.label_outer()
        about = f"Pass@k (%), n = {counts['n'].iloc[0]}, {seeds_of(members)}"
        row[0].set_ylabel(f"{model}, {mix}\n{about}", fontsize=8)
    legend_above(figure)
    return figure


def gain_by_level(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
    """Gain over GRPO by level with its interval: a row Pass@1 and Pass@16, a column a mix."""
    found = read_evaluations(results, runs, paper["k"])
    _stop_at_faults(found)
    ks = (paper["k"][0], paper["k"][-1])
    rows = effect_rows(found, runs, list(ks))
    rows = rows[rows["by"] == "level"]
    families = list(dict.fromkeys(zip(rows["mix"], rows["model"], strict=True)))
    columns = max(1, len(families))
    figure, axes = new_figure(2, columns, (3.6 * columns, 5.2), scale_note(scale))
    if not families:
        for ax in axes.flat:
            say_empty(ax, "GRPO and another method", scale)
        return figure
    for column, (mix, model) in zip(axes.T, families, strict=True):
        for ax, k in zip(column, ks, strict=True):
            part = rows[(rows["mix"] == mix) & (rows["model"] == model) & (rows["k"] == k)]
            if part.empty:
                say_empty(ax, f"enough samples for Pass@{k}", scale)
                continue
            _gains(ax, part)
            _paper_gain(ax, paper, mix, model, k)
            members = [run for run in runs if (run["mix"], run["model"]) == (mix, model)]
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


def _paper_gain(ax: Axes, paper: dict, mix: str, model: str, k: int) -> None:
    """The paper's gain of LENS, which it gives for all levels together; hollow, at the right."""
    table = "table1" if mix == paper["tables"]["table1"]["mix"] else "table3"
    if mix != paper["tables"][table]["mix"]:
        return
    gains = paper_gains(paper, table)
    gains = gains[(gains["method"] == "lens") & (gains["k"] == k)]
    known = paper["models"].get(model)
    gains = gains[gains["model"] == known] if known else gains
    x = len(ax.get_xticks())
    whose = "its model" if known else "other models"
    style = {"marker": "o", "color": "0.2"}
    name = f"paper's LENS, all levels ({whose})"
    ax.plot([x] * len(gains), gains["gain"], **style, **HOLLOW, label=name)
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    ax.set_xticks(range(x + 1), [*ticks, "paper\n(all)"])


def reliability(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
    """Share of correct responses against confidence: test set | training rollouts, by step.

    Confidence: geometric-mean token probability. Points: equal numbers of responses. A model that
    knows what it does not know rises to the right; a flat right end is confident mistakes.
    """
    families = _families(runs)
    rows, columns = max(1, len(families)), 1 + len(ROLLOUT_METHODS)
    size = (2.9 * columns, 0.9 + 2.5 * rows)
    figure, axes = new_figure(rows, columns, size, scale_note(scale))
    for row, ((mix, model), members) in zip(axes, families.items(), strict=False):
        _test_set(row[0], results, model, members)
        row[0].set_ylabel(f"{model}, {mix}, {seeds_of(members)}\ncorrect (%)", fontsize=8)
        row[0].set_title("evaluation, all samples", fontsize=8)
        for ax, method in zip(row[1:], ROLLOUT_METHODS, strict=True):
            seeds = [run for run in members if run["method"] == method]
            if not seeds:
                say_empty(ax, label(method), scale)
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


def _test_set(ax: Axes, results: Path, model: str, members: list[dict]) -> None:
    names = {"base": [f"{model}_base"]}
    for run in members:
        names.setdefault(run["method"], []).append(run["run"])
    styles = method_styles(names)
    for method, chosen in names.items():
        columns = ["correct", "log_prob", "length"]
        paths = [results / "runs" / name / "samples_math.parquet" for name in chosen]
        samples = pd.concat(read_parquet(path, columns=columns) for path in paths)
        confidence = np.exp(samples["log_prob"] / samples["length"].clip(lower=1))
        points = _binned(confidence, samples["correct"], BINS)
        ax.plot(*points, **styles[method], label=label(method))


def _rollouts(ax: Axes, results: Path, seeds: list[dict]) -> None:
    """A line a dumped step, light to dark."""
    paths = [results / "runs" / run["run"] / "rollouts.parquet" for run in seeds]
    columns = ["step", "confidence", "reward"]
    dumps = pd.concat(read_parquet(path, columns=columns) for path in paths)
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


def negative_mass(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
    """Share of all |advantage| that comes from all-wrong groups, against step; a column a mix."""

    def share(run: str) -> pd.Series:
        lines = pd.DataFrame(read_jsonl(results / "runs" / run / "metrics.jsonl")).set_index("step")
        negative = lines["groups_all_wrong"] * lines["advantage_negative"].fillna(0)
        total = negative + lines["groups_mixed"] * lines["advantage_mixed"].fillna(0)
        return 100 * (negative / total.where(total > 0)).fillna(0)

    return _lines(runs, scale, share, "|advantage| from\nall-wrong groups (%)", smooth=True)


def rescued(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
    """Share of the validation problems all wrong at step 0 that have a correct sample later.

    A problem of low but positive chance is now and then solved without any learning, so the level
    of the first steps is the mark to compare with, and methods are compared with each other.
    """

    def share(run: str) -> pd.Series:
        curves = read_parquet(results / "runs" / run / "curves.parquet")
        correct = curves.pivot(index="problem_id", columns="step", values="correct")
        missed = correct[correct[0] == 0]
        return 100 * (missed.drop(columns=0) > 0).mean()

    name = "of the problems all wrong at step 0,\nwith a correct sample (%)"
    return _lines(runs, scale, share, name, smooth=False)


def _lines(runs: list[dict], scale: str, share, name: str, smooth: bool) -> Figure:
    """A line a method of share(run) -> [step], mean over seeds; a panel a mix and model."""
    families = _families(runs)
    columns = max(1, len(families))
    figure, axes = new_figure(1, columns, (3.6 * columns, 3.4), scale_note(scale))
    for ax, ((mix, model), members) in zip(axes[0], families.items(), strict=False):
        styles = method_styles(run["method"] for run in members)
        for method, style in styles.items():
            seeds = [run for run in members if run["method"] == method]
            values = pd.DataFrame({run["seed"]: share(run["run"]) for run in seeds})
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


def _families(runs: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """(mix, model) -> its runs, GRPO first."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for run in sorted(runs, key=lambda run: run["method"] != BASELINE):
        groups.setdefault((run["mix"], run["model"]), []).append(run)
    return dict(sorted(groups.items()))


def _stop_at_faults(found) -> None:
    if found.faults:
        raise UserError(f"figure: a run cannot be drawn. {' '.join(found.faults)}")
