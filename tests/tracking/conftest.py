from pathlib import Path

import pytest
from mlflow import MlflowClient

from lens_impl.tracking import mlflow_runs


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    """An sqlite file with MLflow's tables: the migration takes seconds, a copy takes none."""
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow_runs.init(MlflowClient(f"sqlite:///{database}"), "unused")
    return database


@pytest.fixture
def uri(migrated, tmp_path) -> str:
    (tmp_path / "mlflow.db").write_bytes(migrated.read_bytes())
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def client(uri) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """The mirror shortens MLflow's patience for the whole process: undone after each test."""
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")
