import pytest
from support.synthetic_results import synthetic_results, synthetic_runs

from lens_impl.notebooks.views import open_results
from lens_impl.results import Results


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Results:
    """One seed of every synthetic method and mix, as a notebook opens it; 30 steps."""
    folder = tmp_path_factory.mktemp("results") / "tiny"
    synthetic_results(folder, synthetic_runs(seeds=(1,)), problems=20)
    return open_results(folder)


@pytest.fixture
def pair(results) -> list[str]:
    """GRPO and LENS on one mix."""
    return ["tiny_math-dapo_grpo_s1", "tiny_math-dapo_lens_s1"]
