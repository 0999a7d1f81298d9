"""What the notebooks show; they hold no logic themselves.

A notebook reads the folder named by LENS_RESULTS, else results/<scale of config/config.yaml>.
"""

import io
import os
import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lens_impl.comparison.evaluations import read_evaluations
from lens_impl.comparison.gains import effect_rows, pass_at_k_rows
from lens_impl.errors import UserError
from lens_impl.files import ROOT, read_json, read_jsonl, read_yaml
from lens_impl.report.figures import paper as figures
from lens_impl.report.figures.style import context, new_figure, scale_note
from lens_impl.results import Results

VARIABLE = "LENS_RESULTS"


def open_results(path: Path | str | None = None) -> Results:
    """The results that a notebook shows; UserError where there is no finished training.

    In IPython a UserError is from now on shown as its sentence, without a traceback.
    """
    _show_sentences()
    default = ROOT / "results" / read_yaml(ROOT / "config" / "config.yaml")["scale"]
    path = Path(path or os.environ.get(VARIABLE) or default)
    manifests = sorted(path.glob("runs/*/manifest.json"))
    # A training that another workflow has just ended may not be evaluated yet.
    wanted = ("pass_at_k_math.csv", "rollouts.parquet")
    done = [m for m in manifests if all((m.parent / name).is_file() for name in wanted)]
    runs = [read_json(manifest) for manifest in done]
    if not runs:
        raise UserError(
            f"{path} holds no finished training. Hint: `make reproduce` makes results/tiny; or set "
            f"{VARIABLE} to another results folder."
        )
    keys = ("run", "model", "mix", "method", "seed")
    return Results(path, [{key: run[key] for key in keys} for run in runs])


def _show_sentences() -> None:
    try:
        shell = get_ipython()  # noqa: F821  IPython's own name, absent elsewhere
    except NameError:
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
        return picture(
            figures.FIGURES[name](results.path, results.runs, results.scale, results.paper)
        )


def metrics(results: Results, run: str) -> pd.DataFrame:
    """metrics.jsonl of a run by step, `seconds` as columns seconds.*."""
    lines = read_jsonl(results.run(run) / "metrics.jsonl")
    return pd.json_normalize(lines).set_index("step")


def draw_metrics(results: Results, runs: list[str], names: list[str]):
    """Metrics of some runs against step, a panel a metric."""
    tables = {run: metrics(results, run) for run in runs}
    with context():
        columns = min(3, len(names))
        rows = -(-len(names) // columns)
        figure, axes = new_figure(
            rows, columns, (3.1 * columns, 0.8 + 2.3 * rows), scale_note(results.scale)
        )
        for ax in axes.flat[len(names) :]:
            ax.set_axis_off()
        markers = ("o", "s", "^", "v", "D", "P", "x", "*")
        for ax, name in zip(axes.flat, names, strict=False):
            for place, (run, table) in enumerate(tables.items()):
                style = {"marker": markers[place % len(markers)], "markevery": 0.2, "linewidth": 1}
                ax.plot(table.index, table[name].astype(float), **style, label=run)
            ax.set_title(name)
            ax.set_xlabel("step (rollout batch)")
        figures.legend_above(figure, columns=2)
        return picture(figure)


def pass_at_k(results: Results) -> pd.DataFrame:
    """Pass@k of every method and its gains over GRPO, a mix at a time; see comparison.py."""
    parts = []
    for mix in dict.fromkeys(run["mix"] for run in results.runs):
        runs = [run for run in results.runs if run["mix"] == mix]
        found = read_evaluations(results.path, runs, results.paper["k"])
        if found.faults:
            raise UserError(" ".join(found.faults))
        parts.append(pass_at_k_rows(found, runs, results.paper["k"]).assign(mix=mix))
    return pd.concat(parts, ignore_index=True)


def gains(results: Results) -> pd.DataFrame:
    """Gains over GRPO by level and subject; see comparison.effect_rows."""
    found = read_evaluations(results.path, results.runs, results.paper["k"])
    if found.faults:
        raise UserError(" ".join(found.faults))
    return effect_rows(found, results.runs, [results.paper["k"][0], results.paper["k"][-1]])


def compare_files(results: Results, runs: list[str]) -> pd.DataFrame:
    """A column a run: settings that differ, last metrics, Pass@k."""
    columns = {}
    for run in runs:
        folder = results.run(run)
        settings = pd.json_normalize(read_json(folder / "config.json")["settings"]).iloc[0]
        table = pd.read_csv(folder / "pass_at_k_math.csv", dtype={"level": str})
        names = "pass_at_" + table["k"].astype(str) + "/level_" + table["level"]
        last = metrics(results, run).tail(5).mean(numeric_only=True).add_prefix("last 5 steps/")
        estimates = pd.Series(table["estimate"].to_numpy(), names)
        columns[run] = pd.concat([settings, estimates, last])
    frame = pd.DataFrame(columns)
    return frame[frame.astype(str).nunique(axis=1) > 1] if len(runs) > 1 else frame


def compare_mlflow(results: Results) -> pd.DataFrame:
    """A row a training that MLflow knows, by run name, with its parameters and last metrics."""
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
