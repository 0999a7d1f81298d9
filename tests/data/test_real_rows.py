"""Preparation and grading of real rows, where LENS_REAL_DATA names a folder with them.

The data rules run as real Snakemake jobs. Of the second sources there are a few rows only, so that
DeepMath and old AIME problems stand in for DAPO, in its columns, copies and wrapper.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support.source_rows import dapo

from lens_impl.data.matching import problem_id
from lens_impl.data.prepare import prepare_mix
from lens_impl.data.rows import read_rows
from lens_impl.data.sources import read_problems
from lens_impl.data.unique import unusable_answers
from lens_impl.files import ROOT, write_jsonl
from lens_impl.grading.boxes import last_box
from lens_impl.grading.grader import grade_many

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "LENS_REAL_DATA" not in os.environ,
        reason="LENS_REAL_DATA does not name a folder with rows of the real sets",
    ),
]
REAL = Path(os.environ.get("LENS_REAL_DATA", ".")).resolve()
SETS = ["math", "math500", "amc23", "aime25"]
DISGUISES = [
    lambda text: text.replace(" ", "  \n "),
    lambda text: text.replace("$", ""),
    lambda text: re.sub(r"\$([^$]+)\$", r"\\(\1\\)", text),
    lambda text: text.replace("=", r"\;=\, ").replace("(", r"\left(").replace(")", r"\right)"),
    lambda text: text.rstrip(" .?") + " .",
]


def rows(file: str) -> list[dict]:
    return [row for _, row in read_rows(REAL / file)]


def disguised(tests: list[dict]) -> list[dict]:
    """50 test problems that look otherwise to a computer; each also carries DAPO's wrapper."""
    return [
        dapo(DISGUISES[i % 5](row["problem"]), row["answer"]) for i, row in enumerate(tests[:50])
    ]


def near_misses(tests: list[dict]) -> list[dict]:
    """50 test problems with their last number raised by 7, and the old answer."""
    changed = []
    for row in tests:
        numbers = list(re.finditer(r"\d+", row["problem"]))
        if numbers and "[asy]" not in row["problem"] and len(changed) < 50:
            last = numbers[-1]
            text = row["problem"]
            text = text[: last.start()] + str(int(last[0]) + 7) + text[last.end() :]
            changed.append(dapo(text, row["answer"]))
    return changed


@pytest.fixture(scope="module")
def planted() -> tuple[list[dict], list[dict]]:
    tests = rows("math_test_5000.jsonl")
    order = np.random.default_rng(0).permutation(len(tests))
    tests = [tests[i] for i in order]
    return disguised(tests), near_misses(tests[50:])


@pytest.fixture(scope="module")
def raw(tmp_path_factory, planted) -> Path:
    """The folder that a user without the hub would name as data.local_dir."""
    folder = tmp_path_factory.mktemp("raw")
    files = {
        "math_train.jsonl": "math_train_7500.jsonl",
        "math_test.jsonl": "math_test_5000.jsonl",
        "math500_test.jsonl": "math500.jsonl",
        "amc23_test.parquet": "amc23.parquet",
        "aime25_test.parquet": "aime2025.parquet",
    }
    for name, file in files.items():
        (folder / name).symlink_to(REAL / file)
    second = [dapo(row["prompt"], row["ground_truth"]) for row in rows("deepmath_4994.jsonl")]
    second += [dapo(row["problem"], str(row["answer"])) for row in rows("aime_1983_2023.json")]
    second += rows("dapo_math_17k_sample.jsonl") + planted[0] + planted[1]
    write_jsonl(folder / "dapo.jsonl", second * 2)
    return folder


def copy_project(folder: Path, raw: Path) -> Path:
    for name in ("rules", "config", "workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    mine = {
        "data": {
            "local_dir": str(raw),
            "evaluation_sets": SETS,
            "mixes": {"math-dapo": {"math": None, "dapo": 17500}},
        },
        # The toy's tokenizer has a token a character.
        "train": {"max_prompt_tokens": 5000},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine, sort_keys=False))
    return folder


def build(folder: Path, *targets: str) -> Path:
    """Real jobs of the data rules; the folder of their results."""
    command = ["snakemake", "--cores", "2"]
    command += ["--config", "scale=tiny", "--configfile", "mine.yaml"]
    command += ["--", *(f"results/tiny/data/{target}" for target in targets)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    logs = "".join(log.read_text() for log in (folder / "results").rglob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return folder / "results" / "tiny" / "data"


@pytest.fixture(scope="module")
def first(tmp_path_factory, raw) -> Path:
    evaluations = [f"eval_{name}.parquet" for name in SETS]
    folder = copy_project(tmp_path_factory.mktemp("first") / "project", raw)
    return build(folder, "math-dapo.parquet", *evaluations)


@pytest.fixture(scope="module")
def report(first) -> dict:
    return json.loads((first / "math-dapo.report.json").read_text())


def ids(path: Path) -> set[str]:
    return {info["problem_id"] for info in pd.read_parquet(path)["extra_info"]}


def test_every_row_of_math_train_is_accounted_for(report):
    math = report["sources"]["math"]
    assert math["rows_in"] == 7500
    assert math["dropped"] == {
        "unusable_level": 2,
        "empty_answer": 2,
        "in_evaluation_set": 3,
        "near_evaluation_problem": 22,
        "duplicate": 5,
        "misread_answer": 3,
        "unparseable_answer": 8,
    }
    assert math["rows_out"] == 7500 - sum(math["dropped"].values())


def test_the_second_source_is_accounted_for(report):
    second = report["sources"]["dapo"]
    assert second["rows_in"] == second["rows_out"] + sum(second["dropped"].values())
    assert report["warnings"] == [
        f"dapo: 17500 problems asked, {second['rows_out']} usable, all of them taken"
    ]
    assert second["dropped"]["duplicate_across_sources"] > 500
    assert 4000 < second["rows_out"] < 6000


def test_the_card_says_it(first):
    card = (first / "math-dapo.card.md").read_text()
    assert re.search(r"\| read +\| +7,500 \| +[\d,]+ \|", card)
    assert re.search(r"\| dropped: unusable_level +\| +2 \| +0 \| +2 \|", card)
    assert "MATH has two rows with `Level ?`" in card
    assert "Warning: dapo: 17500 problems asked" in card


def test_no_evaluation_problem_is_trained_on(first, raw, planted):
    mix = ids(first / "math-dapo.parquet")
    for name in SETS:
        assert not mix & ids(first / f"eval_{name}.parquet")
    texts = {prompt[0]["content"] for prompt in pd.read_parquet(first / "math-dapo.parquet").prompt}
    (disguises, misses) = planted
    assert len(disguises) == len(misses) == 50
    plain = [row["prompt"][0]["content"].split("\n\n", 1)[1] for row in disguises + misses]
    plain = [
        text.removesuffix('\n\nRemember to put your answer on its own line after "Answer:".')
        for text in plain
    ]  # noqa: E501
    kept = [text.strip() in texts for text in plain]
    assert sum(kept[:50]) == 0
    assert sum(kept[50:]) == 50
    assert not {problem_id(text) for text in plain[:50]} & mix


def test_levels_of_the_test_set(first):
    frame = pd.read_parquet(first / "eval_math.parquet")
    levels = Counter(info["level"] for info in frame["extra_info"])
    assert [levels[level] for level in range(1, 6)] == [437, 894, 1131, 1214, 1324]
    sizes = {name: len(pd.read_parquet(first / f"eval_{name}.parquet")) for name in SETS}
    assert sizes == {"math": 5000, "math500": 500, "amc23": 40, "aime25": 30}


def test_answers_of_the_test_set_that_responses_cannot_match_are_reported(first):
    report = json.loads((first / "eval_math.report.json").read_text())
    statuses = {found["answer"]: found["status"] for found in report["unparseable_answers"]}
    assert statuses == {
        r"\frac{12}{5,\!525}": "bad_gold",
        r"\frac \pi4 + 2 - \sqrt2": "misread",
        r"8\sqrt{3} \text { square inches}": "misread",
        r"\frac{7}{5} + \frac{1}{5} i.": "misread",
        r"\text{1:03 PM}": "misread",
        r"111, \! 111, \! 111": "misread",
        r"\text{4:30 p.m.}": "misread",
    }


def test_the_same_mix_twice_is_byte_identical(first):
    names = ("math-dapo.parquet", "math-dapo.report.json", "math-dapo.card.md")
    before = {name: (first / name).read_bytes() for name in names}
    for name in names:
        (first / name).unlink()
    build(first.parents[2], "math-dapo.parquet")
    assert {name: (first / name).read_bytes() for name in names} == before


def test_another_seed_is_another_sample(raw, tmp_path):
    some = [row for _, row in zip(range(1500), read_rows(raw / "dapo.jsonl"), strict=False)]
    write_jsonl(tmp_path / "dapo.jsonl", [row for _, row in some])
    (tmp_path / "aime25_test.parquet").symlink_to(REAL / "aime2025.parquet")
    chosen = []
    for seed in (0, 1):
        frame, _ = prepare_mix({"dapo": 300}, tmp_path, ["aime25"], seed)
        chosen.append({info["problem_id"] for info in frame["extra_info"]})
    assert len(chosen[0]) == len(chosen[1]) == 300
    assert len(chosen[0] & chosen[1]) < 150


def test_real_numina_rows_are_proofs(tmp_path):
    (tmp_path / "numina.jsonl").symlink_to(REAL / "numina_math_1.5_sample.jsonl")
    assert list(read_problems(tmp_path, "numina")) == ["proof", "proof"]


@pytest.mark.parametrize("file", ["math_train_7500", "math_test_5000"])
def test_real_answers(file):
    without_braces = {888: "2", 1011: "9"} if file == "math_train_7500" else {}
    for row in rows(f"{file}.jsonl"):
        expected = without_braces.get(row["idx"], row["answer"].strip())
        assert last_box(row["solution"], strict=True) == expected, row["idx"]


# What Math-Verify takes for something else, so that a respelled copy is wrong.
MISREAD = {
    "math_train_7500": [6148, 6811, 6939],
    "math_test_5000": [1714, 1991, 2269, 3770, 3845, 3881],
}
# What Math-Verify cannot parse: a full stop in the box, \! in a fraction, words, several letters.
BAD_GOLD = {
    "math_train_7500": [1907, 2873, 3964, 4688, 5417, 5455, 6477, 6943],
    "math_test_5000": [1598],
}
ANSWERED = {"math_train_7500": 7498, "math_test_5000": 5000}  # two boxes of train are empty


@pytest.mark.parametrize("file", BAD_GOLD)
def test_every_gold_answer_is_correct_in_its_own_words(file):
    answered = [row for row in rows(f"{file}.jsonl") if last_box(row["solution"])]
    assert len(answered) == ANSWERED[file]
    golds = [last_box(row["solution"]) for row in answered]
    for texts in ([row["solution"] for row in answered], [rf"\boxed{{{gold}}}" for gold in golds]):
        statuses = [grade.status for grade in grade_many(golds, texts)]
        pairs = zip(answered, statuses, strict=True)
        wrong = {row["idx"]: status for row, status in pairs if status != "correct"}
        assert wrong == dict.fromkeys(BAD_GOLD[file], "bad_gold")


@pytest.mark.parametrize("file", MISREAD)
def test_every_gold_answer_but_those_known_is_read_as_it_is_meant(file):
    golds = {row["idx"]: last_box(row["solution"]) for row in rows(f"{file}.jsonl")}
    unusable = unusable_answers(gold for gold in golds.values() if gold)
    found = {index: unusable[gold] for index, gold in golds.items() if gold in unusable}
    assert found == dict.fromkeys(BAD_GOLD[file], "bad_gold") | dict.fromkeys(
        MISREAD[file], "misread"
    )
