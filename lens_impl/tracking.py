"""Manifest of a run, and MLflow as a mirror of the files under results/.

The files are the truth: nothing reads MLflow, and a run that MLflow missed is mirrored later.
Everything here is idempotent, since metrics.jsonl lines are logged from the first step that MLflow
does not have, with time stamps that follow from the file.

    python -m lens_impl.tracking init      create database and experiment, once, in one process
    python -m lens_impl.tracking mirror    log everything under results/ that MLflow does not have
"""

import argparse
import json
import logging
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from lens_impl.errors import UserError, run_cli
from lens_impl.files import read_jsonl, write_json, write_text

log = logging.getLogger(__name__)

PACKAGES = (
    "torch",
    "transformers",
    "verl",
    "ray",
    "vllm",
    "math-verify",
    "numpy",
    "pandas",
    "snakemake",
    "mlflow",
)

# Keys of metrics.jsonl and their grouped MLflow names; `seconds` becomes time/*.
METRIC_NAMES = {
    "reward": "reward/mean",
    "groups_all_wrong": "groups/all_wrong",
    "groups_mixed": "groups/mixed",
    "groups_all_correct": "groups/all_correct",
    "confidence_correct": "confidence/correct",
    "confidence_wrong": "confidence/wrong",
    "advantage_mixed": "advantage/mixed",
    "advantage_negative": "advantage/negative",
    "gradient_relevant": "advantage/gradient_relevant",
    "entropy": "policy/entropy",
    "clip_fraction": "policy/clip_fraction",
    "log_prob_difference": "policy/log_prob_difference",
    "grad_norm": "optimizer/grad_norm",
    "loss": "optimizer/loss",
    "learning_rate": "optimizer/learning_rate",
    "response_length": "response/length",
    "tokens": "response/tokens",
}
ID_FILE = "mlflow_run_id"
LAST_STEP = "progress/step"  # its latest value is the last step that MLflow has
LAST_VALIDATION = "progress/validation_step"
PARENT_TAG = "mlflow.parentRunId"
METRICS_A_BATCH = 1000  # MLflow's limit
PARAMS_A_BATCH = 100  # MLflow's limit
RETRY_AFTER_SECONDS = 600.0  # how long a training leaves an MLflow alone that did not answer

_quiet_until = 0.0


def git_state(repo: Path | str) -> dict:
    """{commit: 40 hex digits, dirty: tracked files have changes}, both null outside git."""
    try:
        commit = _git(repo, "rev-parse", "HEAD")
        dirty = bool(_git(repo, "status", "--porcelain", "--untracked-files=no"))
    except (subprocess.CalledProcessError, FileNotFoundError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": dirty}


def _git(repo: Path | str, *arguments: str) -> str:
    command = ["git", "-C", str(repo), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def versions() -> dict[str, str | None]:
    """Python's version and those of the packages that can move a result; null = not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def init(uri: str, experiment: str) -> str:
    """Create the database and the experiment, if missing, and return the experiment's id.

    To be run by one process before all others: eight processes that touch a fresh sqlite file at
    once spoil its migration.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        return found.experiment_id
    return client.create_experiment(experiment, artifact_location=_artifact_location(uri))


def _artifact_location(uri: str) -> str | None:
    """mlartifacts/ beside an sqlite database; a tracking server chooses for itself (None)."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()


def start_run(
    uri: str, experiment: str, id_file: Path, name: str, known_id: str | None = None
) -> str:
    """Resume the MLflow run whose id is in `id_file` (or is `known_id`), or create one.

    An id that this MLflow does not know (another server, a deleted database) is replaced.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    run_id = id_file.read_text().strip() if id_file.is_file() else known_id
    if run_id:
        try:
            if client.get_run(run_id).info.lifecycle_stage == "active":
                return run_id
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    run_id = client.create_run(init(uri, experiment), run_name=name).info.run_id
    write_text(id_file, run_id + "\n")
    return run_id


def mirror_metrics(
    uri: str, run_id: str, lines: Iterable[dict], curves: pd.DataFrame | None = None
) -> int:
    """Log the lines of metrics.jsonl and the steps of curves.parquet that MLflow lacks.

    Returns how many steps were logged.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    run = client.get_run(run_id)
    started = run.info.start_time / 1000
    last_step = run.data.metrics.get(LAST_STEP, -1)
    steps = []
    seconds = started
    for line in lines:
        seconds += line["seconds"]["step"]
        if line["step"] > last_step:
            steps.append((line["step"], seconds, _step_metrics(line)))
    if curves is not None:
        last_validation = run.data.metrics.get(LAST_VALIDATION, -1)
        for step, metrics in _validation_metrics(curves):
            if step > last_validation:
                steps.append((step, started, metrics))
    _log_steps(client, run_id, steps)
    return len(steps)


def _step_metrics(line: dict) -> dict[str, float]:
    metrics = {METRIC_NAMES[key]: line[key] for key in METRIC_NAMES if line.get(key) is not None}
    metrics |= {f"time/{part}": value for part, value in line["seconds"].items()}
    return metrics | {LAST_STEP: line["step"]}


def _validation_metrics(curves: pd.DataFrame) -> Iterator[tuple[int, dict[str, float]]]:
    for step, rows in curves.groupby("step"):
        hard = rows[rows["level"] >= 4]
        metrics = {"validation/accuracy": rows["correct"].sum() / rows["n"].sum()}
        if len(hard):
            metrics["validation/accuracy_level_4-5"] = hard["correct"].sum() / hard["n"].sum()
        yield int(step), metrics | {LAST_VALIDATION: step}


def _log_steps(client, run_id: str, steps: list[tuple[int, float, dict[str, float]]]) -> None:
    """Log (step, seconds since 1970, metrics); a step is never split between two batches."""
    from mlflow.entities import Metric

    batch: list[Metric] = []
    for step, seconds, metrics in steps:
        entries = [
            Metric(name, float(value), int(seconds * 1000), step) for name, value in metrics.items()
        ]
        if len(batch) + len(entries) > METRICS_A_BATCH:
            client.log_batch(run_id, metrics=batch)
            batch = []
        batch += entries
    if batch:
        client.log_batch(run_id, metrics=batch)


def mirror_description(uri: str, run_id: str, params: dict, tags: dict) -> None:
    """Set the tags, and log the parameters that are not there (MLflow forbids changing one)."""
    from mlflow import MlflowClient
    from mlflow.entities import Param, RunTag

    client = MlflowClient(uri)
    known = client.get_run(run_id).data.params
    new = [Param(name, str(value)) for name, value in flatten(params).items() if name not in known]
    client.log_batch(run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])
    for start in range(0, len(new), PARAMS_A_BATCH):
        client.log_batch(run_id, params=new[start : start + PARAMS_A_BATCH])


def flatten(config: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for key, value in config.items():
        flat |= (
            flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


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
    # MLflow's own patience is 7 retries of up to 120 s each: a training must not wait for that.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    lines = _complete_lines(folder / "metrics.jsonl")
    validations = list(map(pd.read_parquet, folder.glob("validation/step_*.parquet")))
    curves = pd.concat(validations) if validations else None
    params = _params(folder / "config.json")
    try:
        run_id = start_run(uri, experiment, id_file, str(tags["run"]))
        mirror_description(uri, run_id, params, tags)
        mirror_metrics(uri, run_id, lines, curves)
    except (MlflowException, SQLAlchemyError, ConnectionError) as error:
        if _quiet_until == 0:
            log.warning(
                "MLflow does not answer; training goes on, and `python -m lens_impl.tracking "
                "mirror` logs what is missed. (%s)",
                str(error).splitlines()[0][:300],
            )
        _quiet_until = time.monotonic() + RETRY_AFTER_SECONDS
        return None
    return run_id


def _complete_lines(path: Path) -> list[dict]:
    """The lines of a file that grows: its last line may be half written."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _params(config_file: Path) -> dict:
    """The settings and the schedule of a training; not the hundreds that verl is given."""
    config = read_json(config_file)
    return config["settings"] | config["schedule"]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def mirror_results(uri: str, experiment: str, results: Path, runs: list[dict]) -> dict[str, str]:
    """Mirror all trainings, their Pass@k, and the paper's tables and figures; run name -> id.

    A training without manifest.json has not ended and is left to its own process.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment_id = init(uri, experiment)
    ids = {}
    paper = _find_or_create(client, experiment_id, "paper", {"kind": "paper"})
    for folder in ("tables", "figures"):
        for path in sorted((results / folder).glob("[!.]*")):
            client.log_artifact(paper, str(path), folder)
    if (results / "summary.md").is_file():
        client.log_artifact(paper, str(results / "summary.md"))
    client.set_terminated(paper)
    for run in runs:
        run_dir = results / "runs" / run["run"]
        if not (run_dir / "manifest.json").is_file():
            print(f"{run['run']} has no manifest.json yet: not mirrored")
            continue
        manifest = read_json(run_dir / "manifest.json")
        checkpoints = Path(manifest["checkpoints"])
        folder = checkpoints if checkpoints.is_dir() else run_dir
        run_id = start_run(uri, experiment, folder / ID_FILE, run["run"], manifest["mlflow_run_id"])
        tags = run | {"kind": "training", "scale": results.name}
        tags |= {f"git_{key}": value for key, value in manifest["git"].items()}
        mirror_description(uri, run_id, _params(run_dir / "config.json"), tags)
        curves = pd.read_parquet(run_dir / "curves.parquet")
        mirror_metrics(uri, run_id, read_jsonl(run_dir / "metrics.jsonl"), curves)
        for name in ("config.json", "manifest.json"):
            client.log_artifact(run_id, str(run_dir / name))
        client.set_terminated(run_id)
        ids[run["run"]] = run_id
        _mirror_evaluation(client, experiment_id, run_dir, run_id, "evaluate")
    for model in sorted({run["model"] for run in runs}):
        _mirror_evaluation(client, experiment_id, results / "runs" / f"{model}_base", paper, model)
    return ids | {"paper": paper}


def _mirror_evaluation(client, experiment_id: str, run_dir: Path, parent: str, name: str) -> None:
    """Log every pass_at_k_{set}.csv of a run to a child of the MLflow run `parent`."""
    from mlflow.entities import Metric

    for path in sorted(run_dir.glob("pass_at_k_*.csv")):
        dataset = path.stem.removeprefix("pass_at_k_")
        tags = {PARENT_TAG: parent, "kind": "evaluate", "run": run_dir.name, "set": dataset}
        child = _find_or_create(client, experiment_id, name, tags)
        # The file's own time: the same file logs nothing twice, a newer one replaces the values.
        written = int(path.stat().st_mtime * 1000)
        table = pd.read_csv(path, dtype={"level": str})
        metrics = [
            Metric(f"{dataset}/pass_at_{row.k}/level_{row.level}", row.estimate, written, 0)
            for row in table.itertuples()
        ]
        client.log_batch(child, metrics=metrics)
        client.log_artifact(child, str(path))
        client.set_terminated(child)


def _find_or_create(client, experiment_id: str, name: str, tags: dict[str, str]) -> str:
    """The id of the run with these tags."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = client.search_runs([experiment_id], wanted, max_results=1)
    if found:
        return found[0].info.run_id
    return client.create_run(experiment_id, tags=tags, run_name=name).info.run_id


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lens_impl.tracking", description=__doc__)
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
    from mlflow.exceptions import MlflowException

    try:
        if args.verb == "init":
            marker = {"experiment_id": init(args.tracking_uri, args.experiment)}
        else:
            marker = mirror_results(args.tracking_uri, args.experiment, args.results, args.runs)
    except MlflowException as error:
        raise UserError(
            f"MLflow at {args.tracking_uri} refused or did not answer: {str(error)[:500]} "
            "Hint: start the server, or set mlflow.tracking_uri; no result is lost."
        ) from error
    write_json(args.out, marker)


if __name__ == "__main__":
    run_cli(main)
