"""Manifest of a run, and MLflow as a mirror of the files under results/.

The files are the truth: nothing reads MLflow, and what MLflow missed is mirrored later.

    python -m lens_impl.tracking.mirror init      create database and experiment, once
    python -m lens_impl.tracking.mirror mirror    log everything that MLflow does not have
"""

import argparse
import json
import logging
import os
import time
from datetime import datetime
from pathlib import Path

import pandas as pd

from lens_impl.errors import UserError, run_cli
from lens_impl.files import read_growing_jsonl, read_json, read_jsonl, write_json
from lens_impl.tracking.mlflow_runs import (
    end_run,
    find_or_create,
    init,
    mirror_description,
    mirror_metrics,
    start_run,
)

log = logging.getLogger(__name__)


ID_FILE = "mlflow_run_id"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"  # what the page shows as the run's description
RETRY_AFTER_SECONDS = 600.0  # how long a training leaves an MLflow alone that did not answer

_quiet_until = 0.0


def try_mirror(
    uri: str, experiment: str, folder: Path, id_file: Path, tags: dict[str, object]
) -> str | None:
    """Mirror a training that goes on; the one call that a training makes.

    folder: the checkpoint folder with config.json, the growing metrics.jsonl and
    validation/step_*.parquet; id_file: keeps the MLflow run's id, in the same folder so that a
    resumed training resumes its MLflow run; tags: run, model, mix, method, seed, git_commit, ...
    Returns the MLflow run's id, or None when MLflow does not answer: then it warns once and stays
    away for RETRY_AFTER_SECONDS.
    """
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return None
    _lose_patience()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    lines = read_growing_jsonl(folder / "metrics.jsonl")
    validations = list(map(pd.read_parquet, folder.glob("validation/step_*.parquet")))
    curves = pd.concat(validations) if validations else None
    params = _params(folder / "config.json")
    try:
        run_id = start_run(uri, experiment, id_file, str(tags["run"]))
        mirror_description(uri, run_id, params, tags)
        mirror_metrics(uri, run_id, lines, curves)
        if lines and lines[-1]["step"] == params["steps"]:
            end_run(uri, run_id)
    except (MlflowException, SQLAlchemyError, ConnectionError) as error:
        if _quiet_until == 0:
            log.warning(
                "MLflow does not answer; training goes on, and `python -m "
                "lens_impl.tracking.mirror mirror` logs what is missed. (%s)",
                str(error).splitlines()[0][:300],
            )
        _quiet_until = time.monotonic() + RETRY_AFTER_SECONDS
        return None
    return run_id


def _lose_patience() -> None:
    """MLflow's own patience is 7 retries of up to 120 s each: no training must wait for that."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    # It prints two lines at the end of every run.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def _params(config_file: Path) -> dict:
    """The settings and the schedule of a training; not the hundreds that verl is given."""
    config = read_json(config_file)
    return config["settings"] | config["schedule"]


def mirror_results(uri: str, experiment: str, results: Path, runs: list[dict]) -> dict[str, str]:
    """Mirror all trainings with their Pass@k, the base models, tables and figures; run name -> id.

    Trainings and base models are children of one run, which holds tables, figures, summary and
    report. A training without manifest.json has not ended and is left to its own process.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment_id = init(uri, experiment)
    parent = find_or_create(client, experiment_id, f"{results.name}: paper", {"kind": "paper"})
    for folder in ("tables", "figures"):
        for path in sorted((results / folder).glob("[!.]*")):
            client.log_artifact(parent, str(path), folder)
    for name in ("summary.md", "report.html"):
        if (results / name).is_file():
            client.log_artifact(parent, str(results / name))
    client.set_tag(parent, NOTE_TAG, _about_results(results, runs))
    client.set_terminated(parent)
    ids = {"paper": parent}
    for run in runs:
        run_dir = results / "runs" / run["run"]
        if not (run_dir / "manifest.json").is_file():
            print(f"{run['run']} has no manifest.json yet: not mirrored")
            continue
        manifest = read_json(run_dir / "manifest.json")
        checkpoints = Path(manifest["checkpoints"])
        folder = checkpoints if checkpoints.is_dir() else run_dir
        started, finished = (_milliseconds(manifest[key]) for key in ("started", "finished"))
        known = manifest["mlflow_run_id"]
        run_id = start_run(uri, experiment, folder / ID_FILE, run["run"], known, started)
        tags = run | {"kind": "training", "scale": results.name, PARENT_TAG: parent}
        tags |= {f"git_{key}": value for key, value in manifest["git"].items()}
        tags[NOTE_TAG] = _about_run(results, run, manifest)
        mirror_description(uri, run_id, _params(run_dir / "config.json"), tags)
        curves = pd.read_parquet(run_dir / "curves.parquet")
        mirror_metrics(uri, run_id, read_jsonl(run_dir / "metrics.jsonl"), curves)
        for name in ("config.json", "manifest.json"):
            client.log_artifact(run_id, str(run_dir / name))
        _mirror_evaluation(client, run_dir, run_id)
        client.set_terminated(run_id, end_time=finished)
        ids[run["run"]] = run_id
    for model in sorted({run["model"] for run in runs}):
        base = results / "runs" / f"{model}_base"
        tags = {"kind": "base", "run": base.name}
        run_id = find_or_create(client, experiment_id, base.name, tags)
        client.set_tag(run_id, PARENT_TAG, parent)
        _mirror_evaluation(client, base, run_id)
        client.set_terminated(run_id)
        ids[base.name] = run_id
    return ids


def _milliseconds(time_stamp: str) -> int:
    return int(datetime.fromisoformat(time_stamp).timestamp() * 1000)


def _about_results(results: Path, runs: list[dict]) -> str:
    """The description of the parent run, in markdown."""
    report = (results / "report.html").resolve()
    return (
        f"Tables and figures of scale **{results.name}**, {len(runs)} trainings (the child runs). "
        f"Start with `summary.md` among the artifacts. Report: [{report}](file://{report})."
    )


def _about_run(results: Path, run: dict, manifest: dict) -> str:
    """The description of a training, in markdown."""
    report = (results / "report.html").resolve()
    commit = (manifest["git"]["commit"] or "unknown")[:12]
    return (
        f"**{run['method']}** on {run['mix']}, {run['model']}, seed {run['seed']}: "
        f"{manifest['steps']} steps, commit {commit}, finished {manifest['finished']}. "
        f"Files: `{results / 'runs' / run['run']}`. Report: [{report}](file://{report})."
    )


def _mirror_evaluation(client, run_dir: Path, run_id: str) -> None:
    """Log every pass_at_k_{set}.csv of a run as its metrics {set}/pass_at_{k}/level_{level}."""
    from mlflow.entities import Metric

    for path in sorted(run_dir.glob("pass_at_k_*.csv")):
        dataset = path.stem.removeprefix("pass_at_k_")
        # The file's own time: the same file logs nothing twice, a newer one replaces the values.
        written = int(path.stat().st_mtime * 1000)
        table = pd.read_csv(path, dtype={"level": str})
        metrics = [
            Metric(f"{dataset}/pass_at_{row.k}/level_{row.level}", row.estimate, written, 0)
            for row in table.itertuples()
        ]
        client.log_batch(run_id, metrics=metrics)
        client.log_artifact(run_id, str(path))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lens_impl.tracking.mirror", description=__doc__
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("init", help="create database and experiment, in one process")
    mirror = verbs.add_parser("mirror", help="log all of results/ that MLflow does not have")
    mirror.add_argument("--results", type=Path, required=True, help="results/{scale}")
    mirror.add_argument("--runs", type=json.loads, required=True, help="JSON list of runs")
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
    from mlflow.exceptions import MlflowException

    try:
        if args.verb == "init":
            marker = {"experiment_id": init(args.tracking_uri, args.experiment)}
        else:
            marker = mirror_results(args.tracking_uri, args.experiment, args.results, args.runs)
    except MlflowException as error:
        sentence = (
            f"MLflow at {args.tracking_uri} refused or did not answer: {str(error)[:500]} "
            "Hint: start the server, or set mlflow.tracking_uri; no result is lost."
        )
        if args.verb == "mirror" or args.tracking_uri.startswith("sqlite:"):
            raise UserError(sentence) from error
        # The trainings wait for this marker, and a server that is down must not stop them.
        log.warning("%s The trainings go on without it.", sentence)
        marker = {"experiment_id": None}
    write_json(args.out, marker)


if __name__ == "__main__":
    run_cli(main)
