"""Figures 2, 4, 5 and 6 of the paper, drawn from the runs' files alone.

Colours are Okabe and Ito's; line style and marker tell the methods apart in grey. The same files
give the same bytes.

    python -m lens_impl.figures figure5_math_dapo --runs JSON --results DIR --scale tiny \\
        --out-pdf X --out-png Y
"""

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lens_impl.display import TOY_SCALES, method_name
from lens_impl.errors import run_cli
from lens_impl.evaluate import HARD_LEVELS, read_parquet
from lens_impl.files import read_jsonl, write_atomically
from lens_impl.statistics import bootstrap_interval

STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "savefig.dpi": 200,
}
METHOD_STYLES = {
    "grpo": {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    "lens": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
}
PANELS = {"all levels": None, "Levels 4-5": HARD_LEVELS}
MODEL_STYLES = (
    {"color": "#D55E00", "linestyle": "-"},
    {"color": "#0072B2", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
)


def figure2_negative_ratio(results: Path, runs: list[dict], scale: str) -> Figure:
    """Share of all-wrong groups against step, GRPO on MATH + NuminaMath 1.5; a line a model."""
    figure, axes = _figure(1, 1, (4.8, 3.2), _note(scale))
    ax = axes[0, 0]
    ax.set(xlabel="step (rollout batch)", ylabel="all-wrong groups (%)")
    chosen = _select(runs, "math-numina", ["grpo"])
    if not chosen:
        _say_empty(ax, "GRPO on math-numina", scale)
        return figure
    for (model, members), style in zip(_by(chosen, "model").items(), MODEL_STYLES, strict=False):
        shares = pd.DataFrame({run["seed"]: _all_wrong(results, run["run"]) for run in members})
        shares = 100 * shares
        settings = _settings(results, members[0]["run"])
        ax.plot(shares.index, shares, color=style["color"], linewidth=0.6, alpha=0.45)
        window = max(1, len(shares) // 10)
        smooth = shares.mean(axis=1).rolling(window, center=True, min_periods=1).mean()
        label = (
            f"{model}: {settings['prompts_per_rollout']} groups a step, "
            f"G = {settings['group_size']}, {_count(len(members), 'seed')}"
        )
        ax.plot(smooth.index, smooth, **style, label=f"{label}\n(bold: mean of {window} steps)")
    ax.set_ylim(0, None)
    ax.legend(loc="best")
    return figure


def figure4_weight(results: Path, runs: list[dict], scale: str) -> Figure:
    """The weight of a wrong answer, w(z) = -log(1 - z) / z - 1 (eq. 13). A formula: no run."""
    figure, axes = _figure(1, 1, (4.8, 3.2), "a formula (eq. 13): the same at every scale")
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


def figure5_math_dapo(results: Path, runs: list[dict], scale: str) -> Figure:
    return _curves(results, _select(runs, "math-dapo", METHOD_STYLES), "math-dapo", scale)


def figure6_math_numina(results: Path, runs: list[dict], scale: str) -> Figure:
    return _curves(results, _select(runs, "math-numina", METHOD_STYLES), "math-numina", scale)


def _curves(results: Path, runs: list[dict], mix: str, scale: str) -> Figure:
    """Accuracy over all validation samples against step: all levels | Levels 4-5.

    A row a model. Bold: mean over seeds; band: its 95 % bootstrap interval over problems and seeds;
    thin: each seed.
    """
    models = _by(runs, "model")
    rows = max(1, len(models))
    figure, axes = _figure(rows, 2, (7.2, 0.5 + 2.6 * rows), _note(scale))
    if not models:
        for ax in axes[0]:
            _say_empty(ax, f"GRPO or LENS on {mix}", scale)
    for row, (model, members) in zip(axes, models.items(), strict=False):
        curves = {run["run"]: _read_curves(results, run["run"]) for run in members}
        for ax, (name, levels) in zip(row, PANELS.items(), strict=True):
            for method, seeds in _by(members, "method").items():
                accuracy = pd.concat(
                    {run["seed"]: _accuracy(curves[run["run"]], levels) for run in seeds}, axis=1
                )
                _draw_method(ax, accuracy, method)
            problems, n = accuracy.index.get_level_values("problem_id").nunique(), _n(curves)
            ax.set_title(f"{model}\n{name}: {problems} problems x {n} samples")
            ax.set(xlabel="step (rollout batch)", ylabel="accuracy (%)")
        row[0].legend(loc="lower right")
    return figure


def _read_curves(results: Path, run: str) -> pd.DataFrame:
    return read_parquet(results / "runs" / run / "curves.parquet")


def _n(curves: dict[str, pd.DataFrame]) -> int:
    return int(next(iter(curves.values()))["n"].iloc[0])


def _accuracy(curves: pd.DataFrame, levels: tuple | None) -> pd.Series:
    """Share of correct samples in %, by (step, problem_id)."""
    if levels is not None:
        curves = curves[curves["level"].isin(levels)]
    curves = curves.set_index(["step", "problem_id"])
    return 100 * curves["correct"] / curves["n"]


def _draw_method(ax: Axes, accuracy: pd.DataFrame, method: str) -> None:
    """accuracy: [(step, problem), seed] in %."""
    style = METHOD_STYLES[method]
    by_seed = accuracy.groupby("step").mean()
    intervals = [bootstrap_interval(rows.to_numpy().T) for _, rows in accuracy.groupby("step")]
    bounds = np.array([(interval.low, interval.high) for interval in intervals])
    label = f"{method_name(method)} ({_count(accuracy.shape[1], 'seed')})"
    ax.fill_between(by_seed.index, *bounds.T, color=style["color"], alpha=0.13, linewidth=0)
    if accuracy.shape[1] > 1:
        thin = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 0.6}
        ax.plot(by_seed.index, by_seed, **thin, alpha=0.7)
    # Few markers, so that the line styles can be told apart between them.
    every = max(1, len(by_seed) // 8)
    ax.plot(by_seed.index, by_seed.mean(axis=1), **style, markevery=every, label=label)


def _figure(rows: int, columns: int, size: tuple, note: str) -> tuple[Figure, np.ndarray]:
    # A Figure of its own, not pyplot's: no global state, and no display is looked for.
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.supxlabel(note, fontsize=8, style="italic", color="0.3")
    return figure, axes


def _note(scale: str) -> str:
    if scale in TOY_SCALES:
        return f"{scale} scale: designed toy, not the paper's models"
    return f"scale {scale}"


def _say_empty(ax: Axes, what: str, scale: str) -> None:
    text = f"no run of {what}\nat scale {scale}"
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center")
    ax.set_axis_off()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


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


def _settings(results: Path, run: str) -> dict:
    path = results / "runs" / run / "config.json"
    return json.loads(path.read_text(encoding="utf-8"))["settings"]


FIGURES = {
    "figure2_negative_ratio": figure2_negative_ratio,
    "figure4_weight": figure4_weight,
    "figure5_math_dapo": figure5_math_dapo,
    "figure6_math_numina": figure6_math_numina,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lens_impl.figures", description=__doc__)
    parser.add_argument("figure", choices=FIGURES)
    parser.add_argument("--runs", type=json.loads, required=True, help="JSON list of runs")
    parser.add_argument("--results", type=Path, required=True, help="results/{scale}")
    parser.add_argument("--scale", required=True)
    parser.add_argument("--out-pdf", type=Path, required=True)
    parser.add_argument("--out-png", type=Path, required=True)
    args = parser.parse_args()
    with matplotlib.rc_context(STYLE):
        figure = FIGURES[args.figure](args.results, args.runs, args.scale)
        # No creation date, so that the same files give the same bytes.
        write_atomically(
            args.out_pdf, lambda path: figure.savefig(path, metadata={"CreationDate": None})
        )
        write_atomically(args.out_png, lambda path: figure.savefig(path))


if __name__ == "__main__":
    run_cli(main)
