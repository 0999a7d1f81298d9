"""Mixes and evaluation sets: every drop counted, counts that add up, errors that help."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.source_rows import MATH
from support.tiny_config import CONFIG

from lens_impl.data.matching import EvaluationIndex
from lens_impl.data.prepare import prepare_evaluation, prepare_mix, to_frame
from lens_impl.data.rows import read_rows
from lens_impl.data.sources import Problem, read_problems, set_files
from lens_impl.data.toy import make
from lens_impl.data.unique import same_answer, sample, unique
from lens_impl.errors import UserError
from lens_impl.files import write_jsonl


@pytest.fixture
def raw(tmp_path) -> Path:
    for name, rows in make(CONFIG).items():
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    return tmp_path


NOTHING = EvaluationIndex([], same_answer)


def test_unique_counts_every_row():
    rows = [
        Problem("a", "1"),
        Problem("$a$ ", "1"),
        Problem("b", "1"),
        Problem("b", "2"),
        Problem("b", "1"),
        Problem("$In\\,$ test", "1"),
        Problem("In test?", "1"),
        Problem("earlier", "1"),
        Problem("求", "1"),
        "proof",
        Problem("c", "3"),
        Problem("d", "???"),
    ]
    evaluation = EvaluationIndex([Problem("In test.", "7")], same_answer)
    problems, drops, near = unique(rows, evaluation, {"earlier"}, languages=["en"])
    assert near == []
    assert problems == [rows[0], rows[10]]
    assert drops == {
        "duplicate": 1,
        "conflicting_answers": 3,
        "in_evaluation_set": 2,
        "duplicate_across_sources": 1,
        "language": 1,
        "proof": 1,
        "unparseable_answer": 1,
    }
    assert unique([rows[8]], NOTHING, set())[0] == [rows[8]]
    assert unique([rows[8]], NOTHING, set(), languages=["zh"])[0] == [rows[8]]


def test_one_answer_in_two_spellings_is_no_conflict():
    rows = [Problem("a", r"\frac{1}{3}"), Problem("a", r"\frac13"), Problem("b", "3")]
    problems, drops, _ = unique([*rows, Problem("b", "-3")], NOTHING, set())
    assert problems == [rows[0]]
    assert drops == {"duplicate": 1, "conflicting_answers": 2}


def test_sample_is_a_subset_in_order():
    problems = [Problem(str(i), "1") for i in range(50)]
    some = sample(problems, 20, seed=3)
    assert len(some) == 20 and some == sorted(some, key=lambda problem: int(problem.text))
    assert some == sample(problems, 20, seed=3) != sample(problems, 20, seed=4)
    assert sample(problems, 60, seed=3) == sample(problems, None, seed=3) == problems


def test_columns_are_those_that_verl_reads():
    frame = to_frame([("math", Problem("What?", "2", 3, "Algebra"))], "train", "Put it in a box.")
    assert frame.to_dict("records") == [
        {
            "data_source": "math",
            "prompt": [{"role": "user", "content": "What?\n\nPut it in a box."}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": "2"},
            "extra_info": {
                "problem_id": "a4949e2c96de2668",  # printf 'What?' | sha256sum
                "level": 3,
                "type": "Algebra",
                "split": "train",
                "index": 0,
            },
        }
    ]
    plain = to_frame([("math", Problem("$What$ ?", "2"))], "test").to_dict("records")[0]
    assert plain["prompt"][0]["content"] == "$What$ ?"
    assert plain["extra_info"]["problem_id"] == "a4949e2c96de2668"


def test_mix_of_the_toy(raw):
    sizes = {"math": None, "dapo": 50}
    frame, report = prepare_mix(sizes, raw, ["math"], seed=0, languages=["en"])
    copies, traps = CONFIG["dapo_copies"], CONFIG["traps"]
    assert report["sources"]["math"]["dropped"] == {"unusable_level": traps, "empty_answer": traps}
    assert report["sources"]["dapo"]["dropped"] == {
        "duplicate": 70 * (copies - 1),
        "conflicting_answers": 2 * traps * copies,
        "empty_answer": traps * copies,
        "language": traps * copies,
        "in_evaluation_set": traps * copies,
        "duplicate_across_sources": traps * copies,
        "not_sampled": 20,
    }
    assert report["rows_out"] == len(frame) == 60 + 50
    for part in (report, *report["sources"].values()):
        assert part["rows_in"] == part["rows_out"] + sum(part["dropped"].values())
        assert sum(part["levels"].values()) == part["rows_out"]
    assert report["warnings"] == []
    ids = [info["problem_id"] for info in frame["extra_info"]]
    assert len(set(ids)) == len(ids)
    test_ids = {info["problem_id"] for info in prepare_evaluation(raw, "math")[0]["extra_info"]}
    assert not test_ids & set(ids)
    assert frame.equals(prepare_mix(sizes, raw, ["math"], seed=0, languages=["en"])[0])


def test_numina_mix_of_the_toy(raw):
    _, report = prepare_mix({"math": 10, "numina": None}, raw, ["math"], seed=0)
    traps = CONFIG["traps"]
    assert report["sources"]["numina"] == {
        "rows_in": 70 + 8 * traps,
        "dropped": {
            "proof": 2 * traps,
            "answer_not_found": traps,
            "multiple_choice": traps,
            "invalid_problem": traps,
            "invalid_solution": traps,
            "in_evaluation_set": traps,
            "duplicate_across_sources": traps,
        },
        "rows_out": 70,
        "asked": None,
        "levels": {"0": 70},
        "types": {"Algebra": 70},
        "near_evaluation_problems": [],
    }


def test_asking_for_more_than_there_is_warns(raw):
    _, report = prepare_mix({"dapo": 17500}, raw, ["math"], seed=0, languages=["en"])
    assert report["warnings"] == [
        f"dapo: 17500 problems asked, {70 + CONFIG['traps']} usable, all of them taken"
    ]


def test_evaluation_keeps_file_order(raw):
    frame, report = prepare_evaluation(raw, "math")
    assert report["unparseable_answers"] == [] and report["rows"] == 30
    rows = [json.loads(line) for line in open(raw / "math_test.jsonl", encoding="utf-8")]
    assert [prompt[0]["content"] for prompt in frame["prompt"]] == [r["problem"] for r in rows]
    assert [f"Level {info['level']}" for info in frame["extra_info"]] == [r["level"] for r in rows]
    assert {info["split"] for info in frame["extra_info"]} == {"test"}


def test_evaluation_never_drops_a_row(tmp_path):
    write_jsonl(tmp_path / "math_test.jsonl", [MATH, MATH | {"solution": "none"}])
    with pytest.raises(UserError, match="row 2 .* cannot be evaluated: empty_answer"):
        prepare_evaluation(tmp_path, "math")


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no file numina.*AI-MO/NuminaMath-1.5.*data.local_dir"):
        set_files(tmp_path, "numina")
    with pytest.raises(UserError, match="unknown source 'deepmath'.*math, dapo, dapo-processed"):
        prepare_mix({"deepmath": 1}, tmp_path, [], seed=0)
    with pytest.raises(UserError, match="unknown language 'fr'.*en, zh"):
        prepare_mix({"math": 1}, tmp_path, [], seed=0, languages=["fr"])
    (tmp_path / "dapo.jsonl").write_text('{"prompt": "a"}\n\n{"prompt\n')
    with pytest.raises(UserError, match="row 1 is not a row of BytedTsinghua"):
        list(read_problems(tmp_path, "dapo"))
    with pytest.raises(UserError, match="line 3 is not JSON"):
        list(read_rows(tmp_path / "dapo.jsonl"))
    (tmp_path / "math_train.parquet").write_text("PK")
    with pytest.raises(UserError, match="is not a whole parquet file"):
        list(read_rows(tmp_path / "math_train.parquet"))


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lens_impl.data.prepare", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_command_line(raw, tmp_path):
    arguments = ["mix", "--mix", "m", "--sizes", '{"dapo": 99}', "--raw", str(raw)]
    arguments += ["--evaluation-sets", '["math"]', "--seed", "1", "--languages", '["en"]']
    arguments += ["--out", str(tmp_path / "m.parquet"), "--report", str(tmp_path / "m.json")]
    arguments += ["--out-md", str(tmp_path / "m.md")]
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "warning: m: dapo: 99 problems asked, 74 usable, all of them taken\n"
    assert len(pd.read_parquet(tmp_path / "m.parquet")) == 74
    assert json.loads((tmp_path / "m.json").read_text())["rows_out"] == 74
    card = (tmp_path / "m.md").read_text()
    assert re.search(r"\| in the mix +\| +74 \| +74 \|", card)
    assert "99 problems asked, 74 usable" in card

    result = run(*arguments, "--strict")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and "has no usable answer" in result.stderr
