"""Mixes and evaluation sets: every drop counted, counts that add up, errors that help."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from support.source_rows import AIME24, MATH
from support.tiny_config import CONFIG

from lens_impl.data.matching import EvaluationIndex
from lens_impl.data.prepare import (
    Prompts,
    describe_lengths,
    prepare_evaluation,
    prepare_mix,
    prepare_source,
    to_frame,
)
from lens_impl.data.rows import read_rows
from lens_impl.data.sources import Problem, read_problems, set_files
from lens_impl.data.toy import make
from lens_impl.data.unique import Usable, same_answer, sample, unique
from lens_impl.errors import UserError
from lens_impl.files import write_jsonl
from lens_impl.models.toy import make_tokenizer


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


def test_the_first_reason_counts_for_all_rows_of_a_problem():
    """Copies with different answers are no conflict where the problem goes for another reason."""
    rows = [Problem("In test.", "7"), Problem("earlier", "1"), Problem("In test.", "8")]
    rows += [Problem("earlier", "2"), Problem("earlier", "1")]
    evaluation = EvaluationIndex([rows[0]], same_answer)
    assert unique(rows, evaluation, {"earlier"}) == (
        [],
        {"in_evaluation_set": 2, "duplicate_across_sources": 3},
        [],
    )


def test_near_duplicates_are_reported_once_with_their_rows_counted():
    text = "Two reals $x$ and $y$ are such that $x-y=4$ and $x^3-y^3=28$. Compute $xy$."
    other = text.replace("Two reals", "Two real numbers")
    evaluation = EvaluationIndex([Problem(text, "-3")], same_answer)
    problems, drops, near = unique([Problem(other, "-3")] * 3, evaluation, set())
    assert (problems, drops) == ([], {"near_evaluation_problem": 3})
    (found,) = near
    assert (found["problem"], found["near"]) == (other, text) and 0.5 <= found["similarity"] < 1


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


def test_describe_lengths_by_hand():
    lengths = pd.DataFrame({"a": [1, 2, 3, 4, 90], "b": [7] * 5})
    assert describe_lengths(lengths)["a"] == {
        **{"min": 1.0, "5%": 1.2, "median": 3.0, "mean": 20.0},
        **{"95%": 72.8, "99%": 86.6, "max": 90.0},
    }
    assert set(describe_lengths(lengths)["b"].values()) == {7.0}
    assert describe_lengths(lengths.head(0)) == describe_lengths(pd.DataFrame(index=[0])) == {}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    """The toy's: one token per character."""
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save_pretrained(folder)
    return folder


def test_a_prompt_that_is_too_long_for_one_model_is_dropped_for_all(tokenizer):
    short, long = Problem("1+1", "2"), Problem("1+1+1+1", "4")
    prompts = Prompts({"a": tokenizer, "b": tokenizer})
    lengths = prompts.lengths([short, long])
    assert list(lengths) == ["a", "b"] and (lengths.diff().iloc[1] == 4).all()
    limit = int(lengths["a"][0])
    found = Usable([short, long], Counter(proof=2), [])
    part = prepare_source(found, 9, 0, Prompts({"a": tokenizer}, limit=limit))
    assert part.problems == part.usable == [short]
    assert part.report["dropped"] == {"proof": 2, "prompt_too_long": 1}
    assert part.report["rows_in"] == 4 and len(part.lengths) == 1
    assert prepare_source(found, None, 0, Prompts()).problems == [short, long]


def test_an_evaluation_prompt_that_is_too_long_is_one_sentence(tokenizer, raw):
    with pytest.raises(
        UserError, match="'math' has a prompt of .*max_prompt_tokens is 20 and .*at least 22"
    ):
        prepare_evaluation(raw, "math", Prompts({"tiny": tokenizer}, limit=20))


def test_an_evaluation_set_without_levels(tmp_path):
    write_jsonl(tmp_path / "aime24_test.jsonl", [AIME24])
    frame, report = prepare_evaluation(tmp_path, "aime24")
    assert report["levels"] == {"0": 1} and report["types"] == {"": 1}
    assert frame["reward_model"][0]["ground_truth"] == "025"


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
