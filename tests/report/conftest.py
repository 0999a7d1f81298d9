"""Synthetic results of the toy with the paper's tables written."""

import pytest
from support.synthetic_results import synthetic_results, synthetic_runs
from support.tables import command

from lens_impl.comparison.paper import paper_numbers
from lens_impl.results import Results


@pytest.fixture(scope="module")
def runs():
    return synthetic_runs()


@pytest.fixture(scope="module")
def results(tmp_path_factory, runs) -> Results:
    made = synthetic_results(tmp_path_factory.mktemp("results") / "tiny", runs)
    for table in paper_numbers()["tables"]:
        command(made, table)
    return made
