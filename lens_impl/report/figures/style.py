"""One look for all figures: colours, lines, legends, and the note that every picture carries.

Colours are Okabe and Ito's; line style and marker tell the methods apart in grey. The same files
give the same bytes.
"""

from collections.abc import Iterable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lens_impl.experiments.runs import Run
from lens_impl.report.names import method_name
from lens_impl.results import Results

STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2,
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "savefig.dpi": 200,
}
METHOD_STYLES: dict[str, dict] = {
    "base": {"color": "0.45", "linestyle": ":", "marker": "x"},
    "grpo": {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    "lens": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "lens-mixed-only": {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    "lens-negative-only": {"color": "#CC79A7", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
}
OTHER_STYLES: tuple[dict, ...] = (
    {"color": "#E69F00", "linestyle": (0, (3, 1)), "marker": "D"},
    {"color": "#56B4E9", "linestyle": (0, (1, 1)), "marker": "P"},
    {"color": "#000000", "linestyle": (0, (6, 2)), "marker": "*"},
)
SHORT_NAMES = {
    "lens-mixed-only": "only mixed groups",
    "lens-negative-only": "only negative groups",
}
HOLLOW: dict[str, Any] = {
    "markerfacecolor": "none",
    "markersize": 7,
    "markeredgewidth": 1.3,
    "linestyle": "none",
}


def method_styles(methods: Iterable[str]) -> dict[str, dict]:
    """Method -> colour, line style and marker; unknown methods take the remaining ones in order."""
    methods = list(dict.fromkeys(methods))
    others = [method for method in methods if method not in METHOD_STYLES]
    spare = {m: OTHER_STYLES[i % len(OTHER_STYLES)] for i, m in enumerate(others)}
    return {method: METHOD_STYLES.get(method) or spare[method] for method in methods}


def label(method: str, seeds: int | None = None) -> str:
    """A method's name for a legend, with its number of seeds."""
    name = SHORT_NAMES.get(method, method_name(method))
    return name if seeds is None else f"{name} ({count(seeds, 'seed')})"


def seeds_of(runs: list[Run]) -> str:
    """How many seeds a method of these runs has."""
    methods = [run.method for run in runs]
    counts = sorted({methods.count(method) for method in methods})
    return count(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def new_figure(rows: int, columns: int, size: tuple, note: str) -> tuple[Figure, np.ndarray]:
    """A figure of its own, not pyplot's: no global state, and no display is looked for."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.supxlabel(note, fontsize=8, style="italic", color="0.3")
    return figure, axes


def scale_note(results: Results) -> str:
    """What stands inside every picture of results."""
    if results.toy:
        return f"{results.scale} scale: designed toy, not the paper's models"
    return f"scale {results.scale}"


def say_empty(ax: Axes, what: str, results: Results) -> None:
    """Words where there is nothing to draw."""
    text = f"no run of {what}\nat scale {results.scale}"
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center")
    ax.set_axis_off()


def panels(
    rows: int, columns: int, panel: tuple[float, float], top: float, results: Results
) -> tuple[Figure, np.ndarray]:
    """A figure with panels of that size in inches, at least one, and `top` inches over them."""
    rows, columns = max(1, rows), max(1, columns)
    size = (panel[0] * columns, top + panel[1] * rows)
    return new_figure(rows, columns, size, scale_note(results))


def legend_above(figure: Figure, columns: int = 3) -> None:
    """One legend of all panels, over them, where it can hide nothing."""
    found: dict[str, Artist] = {}
    # By columns: panels of one kind stand below each other.
    for ax in sorted(figure.axes, key=lambda ax: ax.get_subplotspec().colspan.start):
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    if found:
        ncols = min(columns, len(found))
        figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=ncols)


def mean_line(ax: Axes, x, by_seed: np.ndarray, style: dict, name: str, band=None) -> None:
    """by_seed: [x, seeds]. Bold: mean; thin: each of several seeds; band: low and high, [2, x]."""
    if band is not None:
        ax.fill_between(x, *band, color=style["color"], alpha=0.13, linewidth=0)
    if by_seed.shape[1] > 1:
        thin = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 0.6}
        ax.plot(x, by_seed, **thin, alpha=0.7)
    # Few markers, so that the line styles can be told apart between them.
    every = max(1, len(by_seed) // 8)
    ax.plot(x, by_seed.mean(axis=1), **style, markevery=every, label=name)


def context():
    """The style, for the time of drawing and saving."""
    return matplotlib.rc_context(STYLE)
