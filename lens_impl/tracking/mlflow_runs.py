"""MLflow runs: created once, resumed, and given what they lack.

Everything here is idempotent: lines of metrics.jsonl are logged from the first step that MLflow
does not have, with time stamps that follow from the file. MLflow takes a second to import, so the
functions that need it import it themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lens_impl.evaluation.levels import HARD_LEVELS
from lens_impl.files import write_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Keys of metrics.jsonl and their grouped MLflow names; `seconds` becomes time/*.
METRIC_NAMES = {
    "reward": "reward/mean",
    "groups_all_wrong": "groups/all_wrong",
    "groups_mixed": "groups/mixed",
    "groups_all_correct": "groups/all_correct",
    "groups_sampled": "groups/sampled",
    "groups_dropped": "groups/dropped",
    "confidence_correct": "confidence/correct",
    "confidence_wrong": "confidence/wrong",
    "confidence_gap": "confidence/gap",
    "calibration_error": "confidence/calibration_error",
    "advantage_mixed": "advantage/mixed",
    "advantage_negative": "advantage/negative",
    "advantage_mass_mixed": "advantage/mass_mixed",
    "advantage_mass_all_wrong": "advantage/mass_all_wrong",
    "advantage_mass_all_correct": "advantage/mass_all_correct",
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
LAST_STEP = "progress/step"  # its latest value is the last step that MLflow has
LAST_VALIDATION = "progress/validation_step"
FOLDER_TAG = "lens.checkpoints"  # the checkpoint folder that an MLflow run belongs to
METRICS_PER_BATCH = 1000  # MLflow's limit
PARAMS_PER_BATCH = 100  # MLflow's limit


def init(client: MlflowClient, experiment: str) -> str:
    """Create the database and the experiment, if missing, and return the experiment's id.

    To be called by one process before all others: eight processes that touch a fresh sqlite file
    at once spoil its migration.
    """
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        return found.experiment_id
    # Else the page greets with tools for language-model applications.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    location = _artifact_location(client.tracking_uri)
    return client.create_experiment(experiment, artifact_location=location, tags=tags)


def _artifact_location(uri: str) -> str | None:
    """mlartifacts/ next to an sqlite database; a tracking server chooses for itself (None)."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()


def start_run(
    client: MlflowClient,
    experiment: str,
    id_file: Path,
    name: str,
    known_id: str | None = None,
    started: int | None = None,
) -> str:
    """The id of a run that is running: the one in `id_file` (else `known_id`), or a new one.

    An id that this MLflow does not know (another server, a deleted database) is replaced.
    started: milliseconds since 1970 of a run that is created after its time.
    """
    run_id = id_file.read_text().strip() if id_file.is_file() else known_id
    if run_id and _resume(client, run_id):
        return run_id
    # By its folder, since a server that died may have created a run and not said so.
    tags = {FOLDER_TAG: str(id_file.parent.resolve())}
    run_id = find_or_create(client, init(client, experiment), name, tags, started)
    write_text(id_file, run_id + "\n")
    return run_id


def _resume(client: MlflowClient, run_id: str) -> bool:
    """Mark a run as running; False where this MLflow has no such run."""
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    if info.lifecycle_stage != "active":
        return False
    if info.status != "RUNNING":
        client.update_run(run_id, "RUNNING")
    return True


def find_or_create(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    tags: dict[str, str],
    started: int | None = None,
) -> str:
    """The id of the run with these tags."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = client.search_runs([experiment_id], wanted, max_results=1)
    if found:
        return found[0].info.run_id
    return client.create_run(experiment_id, started, tags, name).info.run_id


def mirror_metrics(
    client: MlflowClient, run_id: str, lines: Iterable[dict], curves: pd.DataFrame | None = None
) -> int:
    """Log the lines of metrics.jsonl and the steps of curves.parquet that MLflow lacks.

    Returns how many steps were logged.
    """
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
        hard = rows[rows["level"].isin(HARD_LEVELS)]
        metrics = {"validation/accuracy": rows["correct"].sum() / rows["n"].sum()}
        if len(hard):
            metrics["validation/accuracy_level_4-5"] = hard["correct"].sum() / hard["n"].sum()
        yield int(step), metrics | {LAST_VALIDATION: step}


def _log_steps(
    client: MlflowClient, run_id: str, steps: list[tuple[int, float, dict[str, float]]]
) -> None:
    """Log (step, seconds since 1970, metrics); a step is never split between two batches."""
    from mlflow.entities import Metric

    batch: list[Metric] = []
    for step, seconds, metrics in steps:
        entries = [
            Metric(name, float(value), int(seconds * 1000), step) for name, value in metrics.items()
        ]
        if len(batch) + len(entries) > METRICS_PER_BATCH:
            client.log_batch(run_id, metrics=batch)
            batch = []
        batch += entries
    if batch:
        client.log_batch(run_id, metrics=batch)


def mirror_description(client: MlflowClient, run_id: str, params: dict, tags: dict) -> None:
    """Set the tags, and log the parameters that are not there (MLflow forbids changing one)."""
    from mlflow.entities import Param, RunTag

    known = client.get_run(run_id).data.params
    new = [Param(name, str(value)) for name, value in flatten(params).items() if name not in known]
    client.log_batch(run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])
    for start in range(0, len(new), PARAMS_PER_BATCH):
        client.log_batch(run_id, params=new[start : start + PARAMS_PER_BATCH])


def flatten(config: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, object] = {}
    for key, value in config.items():
        flat |= (
            flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat
