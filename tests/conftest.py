"""Settings of every test process, made before torch is imported."""

import os
from pathlib import Path

# Two threads of a tiny model wait for each other more than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from support.pipeline import make_inputs

# No test is timed: a busy machine is no error of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """Files with slow tests first: two processes then end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Data, base model and tracking database of the smoke scale."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    """An sqlite file with MLflow's tables: the migration takes seconds, a copy takes none."""
    from mlflow import MlflowClient

    from lens_impl.tracking.mlflow_runs import init

    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    init(MlflowClient(f"sqlite:///{database}"), "unused")
    return database
