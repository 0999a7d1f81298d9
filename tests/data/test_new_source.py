"""CONTRIBUTING.md, "Add a training source": entries of sources.py and a mix."""

import pytest
from support.project import changed, copy_tracked, files, python

ENTRY = """SOURCES = {
    "deepmath": Source(
        "zwhe99/DeepMath-103K",
        "0" * 40,
        "data/train-*.parquet",
        ("problem", "answer"),
        "MIT",
        parse_answered,
    ),
"""


@pytest.mark.slow
def test_a_source_is_an_entry_and_a_mix(tmp_path):
    copy_tracked(tmp_path)
    before = files(tmp_path)
    sources = tmp_path / "lens_impl" / "data" / "sources.py"
    text = sources.read_text().replace("SOURCES = {\n", ENTRY, 1)
    sources.write_text(
        text.replace("TRAINING = {\n", 'TRAINING = {\n    "deepmath": "deepmath",\n')
    )
    config = tmp_path / "config" / "config.yaml"
    mixes = "  mixes:\n"
    mix = f"{mixes}    math-deepmath: {{math: null, deepmath: 17500}}\n"
    config.write_text(config.read_text().replace(mixes, mix, 1))
    assert changed(before, files(tmp_path)) == {"lens_impl/data/sources.py", "config/config.yaml"}

    scale = ("--config", "scale=paper", "--", "results/paper/data/math-deepmath.parquet")
    planned = python(tmp_path, "-m", "snakemake", "--dry-run", *scale)
    assert planned.returncode == 0, planned.stdout
    assert "output: results/paper/data/raw/deepmath" in planned.stdout + planned.stderr
