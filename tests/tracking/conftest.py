import pytest
from mlflow import MlflowClient


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
