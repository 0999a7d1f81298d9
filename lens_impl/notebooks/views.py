"""What the notebooks show; the notebooks contain no logic.

A notebook reads the folder named by LENS_RESULTS, else results/<scale of config/config.yaml>.
"""

import io
import os
import sys
from itertools import cycle
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lens_impl.comparison.evaluations import Evaluations, read_evaluations
from lens_impl.comparison.gains import effect_rows, pass_at_k_of_mixes
from lens_impl.comparison.paper import paper_numbers
from lens_impl.errors import UserError
from lens_impl.experiments.runs import Run
from lens_impl.files import ROOT, read_yaml
from lens_impl.report import registry
from lens_impl.report.figures.style import context, legend_above, panels
from lens_impl.results import PAPER_SET, Results

VARIABLE = "LENS_RESULTS"


def open_results(path: Path | str | None = None) -> Results:
    """The finished runs that a notebook shows; UserError where there is none.

    In IPython a UserError is from now on shown as its sentence, without a traceback.
    """
    _show_sentences()
    default = ROOT / "results" / read_yaml(ROOT / "config" / "config.yaml")["scale"]
    path = Path(path or os.environ.get(VARIABLE) or default)
    manifests = sorted(path.glob("runs/*/manifest.json"))
    # A run that another workflow has just ended may not be evaluated yet.
    wanted = (f"pass_at_k_{PAPER_SET}.csv", "rollouts.parquet")
    done = [m.parent for m in manifests if all((m.parent / name).is_file() for name in wanted)]
    if not done:
        raise UserError(
            f"{path} has no finished run. Hint: `make reproduce` makes results/tiny; or set "
            f"{VARIABLE} to another results folder."
        )
    return Results(path, tuple(Run.named(folder.name) for folder in done))


def _show_sentences() -> None:
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:  # not in IPython
        return
    shell.set_custom_exc(
        (UserError,),
        lambda self, kind, error, trace, **_: print(f"error: {error}", file=sys.stderr),
    )


def picture(figure: Figure):
    """A figure as an image that Jupyter shows."""
    from IPython.display import Image

    buffer = io.BytesIO()
    with context():
        figure.savefig(buffer, format="png", dpi=130)
    return Image(buffer.getvalue())


def draw(results: Results, name: str):
    """One of the workflow's figures, from the results' files."""
    with context():
        return picture(registry.figure(name)(results))


def metrics(results: Results, run: str) -> pd.DataFrame:
    """metrics.jsonl of a run by step, `seconds` as columns seconds.*."""
    return pd.json_normalize(results.metrics(results.find(run).name)).set_index("step")


def draw_metrics(results: Results, runs: list[str], names: list[str]):
    """Metrics of some runs against step, one panel per metric."""
    with context():
        return picture(metrics_figure(results, runs, names))


def metrics_figure(results: Results, runs: list[str], names: list[str]) -> Figure:
    """The figure of draw_metrics."""
    tables = {run: metrics(results, run) for run in runs}
    columns = min(3, len(names))
    figure, axes = panels(-(-len(names) // columns), columns, (3.1, 2.3), 0.8, results)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        for (run, table), marker in zip(tables.items(), cycle("os^vDPx*")):
            style = {"marker": marker, "markevery": 0.2, "linewidth": 1}
            ax.plot(table.index, table[name].astype(float), **style, label=run)
        ax.set_title(name)
        ax.set_xlabel("step (rollout batch)")
    legend_above(figure, columns=2)
    return figure


def pass_at_k(results: Results) -> pd.DataFrame:
    """Pass@k of every method and its gains over GRPO, by mix; see comparison/gains.py."""
    return pass_at_k_of_mixes(_evaluations(results), paper_numbers()["k"])


def gains(results: Results) -> pd.DataFrame:
    """Gains over GRPO by level and subject; see comparison/gains.py."""
    ks = paper_numbers()["k"]
    return effect_rows(_evaluations(results), [ks[0], ks[-1]])


def _evaluations(results: Results) -> Evaluations:
    found = read_evaluations(results, paper_numbers()["k"])
    if found.faults:
        raise UserError(" ".join(found.faults))
    return found


def compare_files(results: Results, runs: list[str]) -> pd.DataFrame:
    """One column per run: settings that differ, last metrics, Pass@k."""
    columns = {}
    for run in runs:
        settings = pd.json_normalize(results.config(results.find(run).name)["settings"]).iloc[0]
        table = results.pass_at_k(run)
        names = "pass_at_" + table["k"].astype(str) + "/level_" + table["level"]
        last = metrics(results, run).tail(5).mean(numeric_only=True).add_prefix("last 5 steps/")
        estimates = pd.Series(table["estimate"].to_numpy(), names)
        columns[run] = pd.concat([settings, estimates, last])
    frame = pd.DataFrame(columns)
    return frame[frame.astype(str).nunique(axis=1) > 1] if len(runs) > 1 else frame


def compare_mlflow(results: Results) -> pd.DataFrame:
    """One row per run that MLflow knows, by name, with its parameters and last metrics."""
    import mlflow

    database = f"sqlite:///{results.path.resolve().parent / 'mlflow.db'}"
    uri = os.environ.get("MLFLOW_TRACKING_URI", database)
    experiment = f"lens-{results.scale}"
    if uri == database and not Path(database.removeprefix("sqlite:///")).is_file():
        raise UserError(f"{database} does not exist. Hint: `make reproduce` makes it.")
    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(experiment) is None:
        raise UserError(
            f"MLflow at {uri} has no experiment {experiment!r}. Hint: `make reproduce` makes it."
        )
    found = mlflow.search_runs(
        experiment_names=[experiment], filter_string="tags.kind = 'training'"
    )
    return found.set_index("tags.mlflow.runName").sort_index()
