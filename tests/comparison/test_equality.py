"""Comparing two results folders: what must be found and what must not."""

import shutil

import pandas as pd
import pytest
from support.synthetic_results import synthetic_results, synthetic_runs

from lens_impl.comparison.equality import compare, report
from lens_impl.errors import UserError
from lens_impl.files import read_jsonl, write_jsonl, write_text

RUN = "tiny_math-dapo_lens_s1"


@pytest.fixture
def folders(tmp_path):
    """Two equal results folders."""
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1,))
    before = synthetic_results(tmp_path / "before", runs, problems=5, steps=10).path
    write_text(before / "tables" / "table1.md", "Pass@1 of the trainings: 12.5 ±1.0\n")
    shutil.copytree(before, tmp_path / "after")
    return before, tmp_path / "after"


def differences(folders) -> dict[str, str]:
    return {v.file: v.difference for v in compare(*folders) if v.difference}


def test_equal_folders_are_equal(folders):
    text, equal = report(*folders)
    assert (
        equal and "| metrics.jsonl" in text and "- " not in text.replace("|-", "").split("\n")[-1]
    )


def test_seconds_and_words_do_not_count(folders):
    path = folders[1] / "runs" / RUN / "metrics.jsonl"
    write_jsonl(path, [line | {"seconds": {"step": 99.0}} for line in read_jsonl(path)])
    write_text(folders[1] / "tables" / "table1.md", "Pass@1 of all runs: 12.5 ±1.0\n")
    assert differences(folders) == {}


def test_one_digit_of_one_step_is_found(folders):
    path = folders[1] / "runs" / RUN / "metrics.jsonl"
    lines = read_jsonl(path)
    lines[3]["reward"] += 1e-15
    write_jsonl(path, lines)
    found = differences(folders)
    assert list(found) == [f"runs/{RUN}/metrics.jsonl"] and found[f"runs/{RUN}/metrics.jsonl"]
    assert "item 4" in found[f"runs/{RUN}/metrics.jsonl"]
    assert not report(*folders)[1]


def test_a_number_in_markdown_a_sample_and_a_missing_file_are_found(folders):
    write_text(folders[1] / "tables" / "table1.md", "Pass@1 of the trainings: 12.6 ±1.0\n")
    samples = folders[1] / "runs" / RUN / "samples_math.parquet"
    frame = pd.read_parquet(samples)
    frame.loc[0, "response"] = "another"
    frame.to_parquet(samples)
    (folders[1] / "runs" / RUN / "curves.parquet").unlink()
    found = differences(folders)
    assert found["tables/table1.md"] == "item 2: 12.5 -> 12.6"
    assert found[f"runs/{RUN}/curves.parquet"] == "missing after"
    assert set(found) == {
        "tables/table1.md",
        f"runs/{RUN}/samples_math.parquet",
        f"runs/{RUN}/curves.parquet",
    }


def test_ends_of_intervals_are_compared_within_0_and_1(folders):
    """Results of before the ends were kept within 0 and 1 are equal to those of after."""
    path = folders[0] / "runs" / RUN / "pass_at_k_math.csv"
    table = pd.read_csv(path)
    table.loc[0, "high"], table.loc[0, "low"] = 1.0, 0.0
    table.to_csv(folders[1] / "runs" / RUN / "pass_at_k_math.csv", index=False)
    table.loc[0, "high"], table.loc[0, "low"] = 1.02, -0.1
    table.to_csv(path, index=False)
    assert differences(folders) == {}


def test_folders_without_results_are_a_sentence(tmp_path):
    with pytest.raises(UserError, match="have no results. Hint"):
        compare(tmp_path / "a", tmp_path / "b")
