"""Figures 2, 4, 5 and 6 of the paper, drawn from the runs' files alone.

Bold lines are means over seeds, thin lines single seeds, bands 95 % intervals of the mean over
problems (not over seeds: those are the thin lines). The paper's values are hollow.

    python -m lens_impl.report.figures.paper figure5_math_dapo --runs JSON --results DIR \\
        --scale tiny \\
        --paper config/paper_numbers.yaml --out-pdf X --out-png Y
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lens_impl.comparison.paper import paper_rows
from lens_impl.errors import run_cli
from lens_impl.evaluation.intervals import bootstrap_interval
from lens_impl.evaluation.levels import HARD_LEVELS
from lens_impl.files import read_json, read_jsonl, read_parquet, read_yaml, write_atomically
from lens_impl.report.figures import beyond as figures_beyond
from lens_impl.report.figures.style import (
    HOLLOW,
    context,
    count,
    label,
    legend_above,
    mean_line,
    method_styles,
    new_figure,
    say_empty,
    scale_note,
)
from lens_impl.report.names import method_name

CURVE_METHODS = ("grpo", "lens")  # Figures 5 and 6
PANELS = {"all levels": None, "Levels 4-5": HARD_LEVELS}
MODEL_STYLES = (
    {"color": "#D55E00", "linestyle": "-"},
    {"color": "#0072B2", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
)


def figure2_negative_ratio(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
    """Share of all-wrong groups against step, GRPO on MATH + NuminaMath 1.5; a line a model."""
    figure, axes = new_figure(1, 1, (4.8, 3.6), scale_note(scale))
    ax = axes[0, 0]
    ax.set(xlabel="step (rollout batch)", ylabel="all-wrong groups (%)")
    chosen = _select(runs, "math-numina", ["grpo"])
    if not chosen:
        say_empty(ax, "GRPO on math-numina", scale)
        return figure
    last = 1
    for (model, members), style in zip(_by(chosen, "model").items(), MODEL_STYLES, strict=False):
        shares = pd.DataFrame({run["seed"]: _all_wrong(results, run["run"]) for run in members})
        shares = 100 * shares
        settings = read_json(results / "runs" / members[0]["run"] / "config.json")["settings"]
        ax.plot(shares.index, shares, color=style["color"], linewidth=0.6, alpha=0.45)
        window = max(1, len(shares) // 10)
        smooth = shares.mean(axis=1).rolling(window, center=True, min_periods=1).mean()
        name = (
            f"{model}: {settings['prompts_per_rollout']} groups a step, "
            f"G = {settings['group_size']}, {count(len(members), 'seed')}"
            f" (bold: mean of {count(window, 'step')})"
        )
        ax.plot(smooth.index, smooth, **style, label=name)
        last = max(last, shares.index[-1])
    theirs = paper["figures"]["figure2_negative_ratio"]
    ends = [theirs["all_wrong_early"], theirs["all_wrong_end"]]
    name = f"paper: {theirs['model']}, start and end"
    ax.plot([1, last], ends, marker="D", color="0.2", **HOLLOW, label=name, clip_on=False)
    ax.set_ylim(0, None)
    legend_above(figure, columns=1)
    return figure


def figure4_weight(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
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


def weight(z: np.ndarray) -> np.ndarray:
    """Equation 13, for 0 < z < 1."""
    return -np.log1p(-z) / z - 1


def figure5_math_dapo(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
    return _curves(results, _select(runs, "math-dapo", CURVE_METHODS), "table1", scale, paper)


def figure6_math_numina(results: Path, runs: list[dict], scale: str, paper: dict) -> Figure:
    return _curves(results, _select(runs, "math-numina", CURVE_METHODS), "table3", scale, paper)


def _curves(results: Path, runs: list[dict], table: str, scale: str, paper: dict) -> Figure:
    """Accuracy over all validation samples against step: all levels | Levels 4-5; a row a model.

    Hollow: Pass@1 of the paper's table, which is the accuracy at its training's end, where the
    model is the paper's.
    """
    models = _by(runs, "model")
    rows = max(1, len(models))
    figure, axes = new_figure(rows, 2, (7.2, 0.8 + 2.6 * rows), scale_note(scale))
    if not models:
        for ax in axes[0]:
            say_empty(ax, f"GRPO or LENS on {paper['tables'][table]['mix']}", scale)
    published = paper_rows(paper, table)
    published = published[published["k"] == 1].set_index(["model", "method"])["estimate"]
    for row, (model, members) in zip(axes, models.items(), strict=False):
        curves = {run["run"]: read_curves(results, run["run"]) for run in members}
        for ax, (name, levels) in zip(row, PANELS.items(), strict=True):
            for method, seeds in _by(members, "method").items():
                accuracy = pd.concat(
                    {run["seed"]: _accuracy(curves[run["run"]], levels) for run in seeds}, axis=1
                )
                _draw_method(ax, accuracy, method)
                place = (paper["models"].get(model), method)
                if levels is None and place in published.index:
                    _hollow(ax, accuracy, method, published[place])
            # verl draws the validation problems by seed, so two seeds share only part of them.
            problems = accuracy.iloc[:, 0].dropna().groupby("step").size().iloc[0]
            n = int(next(iter(curves.values()))["n"].iloc[0])
            ax.set_title(f"{model}\n{name}: {problems} problems x {n} samples")
            ax.set(xlabel="step (rollout batch)", ylabel="accuracy (%)")
    legend_above(figure)
    return figure


def read_curves(results: Path, run: str) -> pd.DataFrame:
    """Columns step, problem_id, level, n, correct of a training's validations."""
    return read_parquet(results / "runs" / run / "curves.parquet")


def _accuracy(curves: pd.DataFrame, levels: tuple | None) -> pd.Series:
    """Share of correct samples in %, by (step, problem_id)."""
    if levels is not None:
        curves = curves[curves["level"].isin(levels)]
    curves = curves.set_index(["step", "problem_id"])
    return 100 * curves["correct"] / curves["n"]


def _draw_method(ax: Axes, accuracy: pd.DataFrame, method: str) -> None:
    """accuracy: [(step, problem), seed] in %."""
    by_seed = accuracy.groupby("step").mean()
    of_seeds = accuracy.mean(axis=1).groupby("step")
    intervals = [bootstrap_interval(rows.to_numpy()) for _, rows in of_seeds]
    band = np.array([(interval.low, interval.high) for interval in intervals]).T
    style = method_styles([method])[method]
    name = label(method, accuracy.shape[1])
    mean_line(ax, by_seed.index, by_seed.to_numpy(), style, name, band)


def _hollow(ax: Axes, accuracy: pd.DataFrame, method: str, value: float) -> None:
    style = method_styles([method])[method]
    last = accuracy.index.get_level_values("step").max()
    name = f"paper's {method_name(method)} at its end"
    marker = {"marker": style["marker"], "color": style["color"]}
    ax.plot([last], [value], **marker, **HOLLOW, label=name, clip_on=False)


def _select(runs: list[dict], mix: str, methods) -> list[dict]:
    return [run for run in runs if run["mix"] == mix and run["method"] in methods]


def _by(runs: list[dict], key: str) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for run in runs:
        groups.setdefault(run[key], []).append(run)
    return groups


def _all_wrong(results: Path, run: str) -> pd.Series:
    lines = read_jsonl(results / "runs" / run / "metrics.jsonl")
    return pd.Series({line["step"]: line["groups_all_wrong"] for line in lines})


FIGURES = {
    "figure2_negative_ratio": figure2_negative_ratio,
    "figure4_weight": figure4_weight,
    "figure5_math_dapo": figure5_math_dapo,
    "figure6_math_numina": figure6_math_numina,
    "pass_at_k_by_level": figures_beyond.pass_at_k_by_level,
    "gain_by_level": figures_beyond.gain_by_level,
    "reliability": figures_beyond.reliability,
    "negative_mass": figures_beyond.negative_mass,
    "rescued": figures_beyond.rescued,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lens_impl.report.figures.paper", description=__doc__
    )
    parser.add_argument("figure", choices=FIGURES)
    parser.add_argument("--runs", type=json.loads, required=True, help="JSON list of runs")
    parser.add_argument("--results", type=Path, required=True, help="results/{scale}")
    parser.add_argument("--scale", required=True)
    parser.add_argument("--paper", type=Path, required=True, help="config/paper_numbers.yaml")
    parser.add_argument("--out-pdf", type=Path, required=True)
    parser.add_argument("--out-png", type=Path, required=True)
    args = parser.parse_args()
    with context():
        paper = read_yaml(args.paper)
        figure = FIGURES[args.figure](args.results, args.runs, args.scale, paper)
        # No creation date, so that the same files give the same bytes.
        write_atomically(
            args.out_pdf, lambda path: figure.savefig(path, metadata={"CreationDate": None})
        )
        write_atomically(args.out_png, lambda path: figure.savefig(path))


if __name__ == "__main__":
    run_cli(main)
