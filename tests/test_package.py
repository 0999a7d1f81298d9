"""The package as pip sees it."""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lens_impl
from lens_impl.files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ALL = [*PROJECT["dependencies"], *(name for extra in EXTRAS.values() for name in extra)]


def pins(environment: str) -> dict[str, str]:
    """Package -> version of an environment's list."""
    lines = (ROOT / "envs" / f"{environment}.txt").read_text().splitlines()
    return dict(line.split(" ;")[0].split("==") for line in lines)


@pytest.mark.parametrize("environment", ["train_cpu", "train_gpu"])
def test_every_dependency_is_pinned_at_a_version_that_it_allows(environment):
    pinned = pins(environment)
    for requirement in map(Requirement, ALL):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_the_version_has_one_home():
    assert "version" in PROJECT["dynamic"]
    assert lens_impl.__version__.count(".") == 2
