"""MLflow as a mirror of the files under results/.

The files are the truth: nothing reads MLflow, and what MLflow missed is mirrored later.

    python -m lens_impl.tracking.mirror init      create database and experiment, once
    python -m lens_impl.tracking.mirror mirror    log everything that MLflow does not have
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lens_impl.errors import UserError, run_cli
from lens_impl.evaluation.levels import ALL
from lens_impl.experiments.runs import Run, base_name
from lens_impl.files import read_growing_jsonl, read_json, write_json
from lens_impl.provenance import origin
from lens_impl.results import Results, add_arguments, from_arguments
from lens_impl.tracking.mlflow_runs import (
    find_or_create,
    init,
    mirror_description,
    mirror_metrics,
    start_run,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

ID_FILE = "mlflow_run_id"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"  # what the page shows as the run's description
RETRY_AFTER_SECONDS = 600.0  # how long an MLflow that did not answer is left alone


class LiveMirror:
    """Mirrors a run while it trains. An MLflow that does not answer never stops the run.

    folder: the checkpoint folder with config.json, the growing metrics.jsonl and
    validation/step_*.parquet. It also keeps the MLflow run's id, so that a run that resumes
    continues its MLflow run. tags: run, model, mix, method, seed, git_commit, ...
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        folder: Path,
        tags: dict[str, object],
        retry_after_s: float = RETRY_AFTER_SECONDS,
    ) -> None:
        self.uri, self.experiment, self.folder, self.tags = uri, experiment, folder, tags
        self.retry_after_s = retry_after_s
        self._quiet_until: float | None = None

    def __call__(self) -> str | None:
        """Log what MLflow lacks; the MLflow run's id, or None when MLflow does not answer.

        Then it warns once and stays away for retry_after_s seconds.
        """
        if self._quiet_until is not None and time.monotonic() < self._quiet_until:
            return None
        _lose_patience()
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return self._mirror()
        except (MlflowException, SQLAlchemyError, ConnectionError) as error:
            if self._quiet_until is None:
                log.warning(
                    "MLflow does not answer; the run continues without it, and `python -m "
                    "lens_impl.tracking.mirror mirror` logs later what it missed. (%s)",
                    str(error).splitlines()[0][:300],
                )
            self._quiet_until = time.monotonic() + self.retry_after_s
            return None

    def _mirror(self) -> str:
        from mlflow import MlflowClient

        lines = read_growing_jsonl(self.folder / "metrics.jsonl")
        validations = list(map(pd.read_parquet, self.folder.glob("validation/step_*.parquet")))
        curves = pd.concat(validations) if validations else None
        params = _params(read_json(self.folder / "config.json"))
        client = MlflowClient(self.uri)
        name = str(self.tags["run"])
        run_id = start_run(client, self.experiment, self.folder / ID_FILE, name)
        mirror_description(client, run_id, params, self.tags)
        mirror_metrics(client, run_id, lines, curves)
        if lines and lines[-1]["step"] == params["steps"]:
            client.set_terminated(run_id)
        return run_id


def _lose_patience() -> None:
    """MLflow's own patience is 7 retries of up to 120 s each: no run must wait for that."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    # It prints two lines at the end of every run.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def _params(config: dict) -> dict:
    """The settings and the schedule of a run; not the hundreds that verl is given."""
    return config["settings"] | config["schedule"]


def mirror_results(uri: str, experiment: str, results: Results) -> dict[str, str]:
    """Mirror all runs with their Pass@k, the base models, tables and figures; run name -> id.

    Runs and base models are children of one MLflow run, which has the tables, figures, summary and
    report. A run without manifest.json has not ended and is left to its own process.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment_id = init(client, experiment)
    parent = _mirror_pages(client, experiment_id, results)
    ids = {"paper": parent}
    for run in results.runs:
        if results.file(run.name, "manifest.json").is_file():
            ids[run.name] = _mirror_run(client, experiment, results, run, parent)
        else:
            print(f"{run.name} has no manifest.json yet: not mirrored")
    for model in sorted({run.model for run in results.runs}):
        name = base_name(model)
        ids[name] = _mirror_base(client, experiment_id, results, name, parent)
    return ids


def _mirror_pages(client: MlflowClient, experiment_id: str, results: Results) -> str:
    """Log tables, figures, summary and report to the parent run; its id."""
    parent = find_or_create(client, experiment_id, f"{results.scale}: paper", {"kind": "paper"})
    for folder in ("tables", "figures"):
        for path in sorted((results.path / folder).glob("[!.]*")):
            client.log_artifact(parent, str(path), folder)
    for name in ("summary.md", "report.html"):
        if (results.path / name).is_file():
            client.log_artifact(parent, str(results.path / name))
    client.set_tag(parent, NOTE_TAG, _about_results(results))
    client.set_terminated(parent)
    return parent


def _mirror_run(
    client: MlflowClient, experiment: str, results: Results, run: Run, parent: str
) -> str:
    """Log what MLflow lacks of a finished run; its id."""
    manifest = results.manifest(run.name)
    checkpoints = Path(manifest["checkpoints"])
    id_file = checkpoints / ID_FILE if checkpoints.is_dir() else results.file(run.name, ID_FILE)
    started, finished = (_milliseconds(manifest[key]) for key in ("started", "finished"))
    known_id = manifest["mlflow_run_id"]
    run_id = start_run(client, experiment, id_file, run.name, known_id, started)
    tags = {
        **{"run": run.name, "kind": "training", "scale": results.scale, PARENT_TAG: parent},
        **vars(run),
        **{f"git_{key}": value for key, value in manifest["git"].items()},
        NOTE_TAG: _about_run(results, run, manifest),
    }
    mirror_description(client, run_id, _params(results.config(run.name)), tags)
    mirror_metrics(client, run_id, results.metrics(run.name), results.curves(run.name))
    for file in ("config.json", "manifest.json"):
        client.log_artifact(run_id, str(results.file(run.name, file)))
    _mirror_evaluation(client, results, run.name, run_id)
    client.set_terminated(run_id, end_time=finished)
    return run_id


def _mirror_base(
    client: MlflowClient, experiment_id: str, results: Results, name: str, parent: str
) -> str:
    """Log the evaluation of a base model; its run's id."""
    run_id = find_or_create(client, experiment_id, name, {"kind": "base", "run": name})
    client.set_tag(run_id, PARENT_TAG, parent)
    _mirror_evaluation(client, results, name, run_id)
    client.set_terminated(run_id)
    return run_id


def _milliseconds(time_stamp: str) -> int:
    return int(datetime.fromisoformat(time_stamp).timestamp() * 1000)


def _about_results(results: Results) -> str:
    """The description of the parent run, in markdown."""
    report = (results.path / "report.html").resolve()
    return (
        f"Tables and figures of scale **{results.scale}**; the {len(results.runs)} training runs "
        "are its children. Start with the artifact `summary.md`. "
        f"Report: [{report}](file://{report})."
    )


def _about_run(results: Results, run: Run, manifest: dict) -> str:
    """The description of a run, in markdown."""
    report = (results.path / "report.html").resolve()
    (commit,) = origin([manifest]).commits
    return (
        f"**{run.method}** on {run.mix}, {run.model}, seed {run.seed}: "
        f"{manifest['steps']} steps, commit {commit}, finished {manifest['finished']}. "
        f"Files: `{results.path / 'runs' / run.name}`. Report: [{report}](file://{report})."
    )


def _mirror_evaluation(client: MlflowClient, results: Results, name: str, run_id: str) -> None:
    """Log every pass_at_k_{set}.csv of a run as its metrics {set}/pass_at_{k}/level_{level}.

    The interval of all levels is logged as well, as level_all_low and level_all_high.
    """
    from mlflow.entities import Metric

    for path in sorted((results.path / "runs" / name).glob("pass_at_k_*.csv")):
        dataset = path.stem.removeprefix("pass_at_k_")
        # The file's own time: the same file logs nothing twice, a newer one replaces the values.
        written = int(path.stat().st_mtime * 1000)
        table = results.on(dataset).pass_at_k(name)
        values = {}
        for row in table.itertuples():
            name_of_row = f"{dataset}/pass_at_{row.k}/level_{row.level}"
            values[name_of_row] = row.estimate
            if row.level == ALL:
                values |= {f"{name_of_row}_low": row.low, f"{name_of_row}_high": row.high}
        metrics = [Metric(key, value, written, 0) for key, value in values.items()]
        client.log_batch(run_id, metrics=metrics)
        client.log_artifact(run_id, str(path))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lens_impl.tracking.mirror", description=__doc__
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("init", help="create database and experiment, in one process")
    mirror = verbs.add_parser("mirror", help="log all of results/ that MLflow does not have")
    add_arguments(mirror)
    for verb in (create, mirror):
        verb.add_argument("--tracking-uri", required=True)
        verb.add_argument("--experiment", required=True)
        verb.add_argument("--out", type=Path, required=True, help="marker, written last")
    return parser.parse_args()


def main() -> None:
    args = _parse()
    if args.verb == "mirror":  # nothing waits for it
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    _lose_patience()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    marker: Mapping[str, str | None]
    try:
        if args.verb == "init":
            experiment_id = init(MlflowClient(args.tracking_uri), args.experiment)
            marker = {"experiment_id": experiment_id}
        else:
            marker = mirror_results(args.tracking_uri, args.experiment, from_arguments(args))
    except MlflowException as error:
        sentence = (
            f"MLflow at {args.tracking_uri} refused or did not answer: {str(error)[:500]} "
            "Hint: start the server, or set mlflow.tracking_uri; no result is lost."
        )
        if args.verb == "mirror" or args.tracking_uri.startswith("sqlite:"):
            raise UserError(sentence) from error
        # The training runs wait for this marker, and a server that is down must not stop them.
        log.warning("%s The runs continue without it.", sentence)
        marker = {"experiment_id": None}
    write_json(args.out, marker)


if __name__ == "__main__":
    run_cli(main)
