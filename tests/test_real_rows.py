"""Preparation on rows of the real sets, where LENS_REAL_DATA names a folder with them."""

import os
from pathlib import Path

import pytest

from lens_impl.data.prepare import prepare_evaluation, prepare_mix
from lens_impl.data.rows import read_rows
from lens_impl.data.sources import last_box, read_problems

needs_real_rows = pytest.mark.skipif(
    "LENS_REAL_DATA" not in os.environ,
    reason="LENS_REAL_DATA does not name a folder with rows of the real sets",
)


@pytest.fixture
def real(tmp_path) -> Path:
    """The real rows under the names that preparation reads."""
    names = {
        "math_train": "math_train_7500",
        "math_test": "math_test_5000",
        "dapo": "dapo_math_17k_sample",
        "numina": "numina_math_1.5_sample",
    }
    folder = Path(os.environ["LENS_REAL_DATA"]).resolve()
    for name, file in names.items():
        (tmp_path / f"{name}.jsonl").symlink_to(folder / f"{file}.jsonl")
    return tmp_path


@needs_real_rows
def test_real_math_and_dapo(real):
    frame, report = prepare_mix({"math": None, "dapo": 17500}, real, ["math"], seed=0)
    assert report["sources"]["math"]["rows_in"] == 7500
    assert report["sources"]["math"]["dropped"] == {
        "unusable_level": 2,
        "empty_answer": 2,
        "in_evaluation_set": 3,
        "duplicate": 3,
    }
    assert report["sources"]["dapo"]["rows_out"] == 7
    assert report["rows_out"] == len(frame) == 7490 + 7
    answers = frame["reward_model"][frame["data_source"] == "dapo"]
    assert {a["ground_truth"] for a in answers} == {"34", "113", "-3", "10", "509", "5"}
    prompts = frame["prompt"][frame["data_source"] == "dapo"]
    assert not any("Answer" in prompt[0]["content"] for prompt in prompts)


@needs_real_rows
def test_real_numina_rows_are_proofs(real):
    rows = list(read_problems(real, "numina"))
    assert rows == ["proof", "proof"]


@needs_real_rows
def test_real_evaluation_set(real):
    levels = [info["level"] for info in prepare_evaluation(real, "math")["extra_info"]]
    assert [levels.count(level) for level in range(1, 6)] == [437, 894, 1131, 1214, 1324]


@needs_real_rows
@pytest.mark.parametrize("name", ["math_train", "math_test"])
def test_real_answers(real, name):
    without_braces = {888: "2", 1011: "9"} if name == "math_train" else {}
    for _, row in read_rows(real / f"{name}.jsonl"):
        expected = without_braces.get(row["idx"], row["answer"].strip())
        assert last_box(row["solution"]) == expected, row["idx"]


@needs_real_rows
@pytest.mark.parametrize(("file", "count"), [("amc23", 40), ("aime2025", 30)])
def test_real_sets_without_solutions(tmp_path, file, count):
    source = Path(os.environ["LENS_REAL_DATA"]).resolve() / f"{file}.parquet"
    (tmp_path / f"{file}_test.parquet").symlink_to(source)
    frame = prepare_evaluation(tmp_path, file)
    assert len(frame) == count
    assert all(model["ground_truth"] for model in frame["reward_model"])
