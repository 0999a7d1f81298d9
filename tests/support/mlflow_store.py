"""What is in an MLflow store, for tests of the mirror."""

from mlflow import MlflowClient

from lens_impl.tracking.mlflow_runs import METRIC_NAMES

EXPERIMENT = "lens-test"


def history(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, float]]:
    """(step, value) of every time that a metric was logged."""
    return [(m.step, m.value) for m in client.get_metric_history(run_id, name)]


def check_mirrored_once(client: MlflowClient, run_id: str, lines: list[dict]) -> None:
    """Every number of metrics.jsonl is in MLflow once, and no other."""
    for key, name in METRIC_NAMES.items():
        found = [(line["step"], line.get(key)) for line in lines]
        expected = [(step, value) for step, value in found if value is not None]
        assert sorted(history(client, run_id, name)) == expected, name
    for part in lines[0]["seconds"]:
        expected = [(line["step"], line["seconds"][part]) for line in lines]
        assert sorted(history(client, run_id, f"time/{part}")) == expected, part
