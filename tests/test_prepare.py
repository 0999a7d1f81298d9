"""Preparation: extraction, every reason to drop a row, counts that add up, the real rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_config import CONFIG

from lens_impl.data.prepare import prepare_evaluation, prepare_mix, sample, to_frame, unique
from lens_impl.data.sources import (
    DAPO_HEAD,
    DAPO_TAIL,
    Problem,
    find_file,
    last_box,
    normalise,
    parse_dapo,
    parse_math,
    parse_numina,
    read_problems,
    read_rows,
    strip_wrapper,
)
from lens_impl.data.tiny import make
from lens_impl.errors import UserError
from lens_impl.files import write_jsonl

MATH = {
    "problem": "What is $1+1$?",
    "level": "Level 2",
    "type": "Algebra",
    "solution": r"\boxed{2}",
}
NUMINA = {
    "problem": "What is $2+2$?",
    "answer": "4",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "problem_is_valid": "Yes",
    "solution_is_valid": "Yes",
}


def dapo(problem: str, answer: str) -> dict:
    prompt = [{"content": f"{DAPO_HEAD}{problem}{DAPO_TAIL}", "role": "user"}]
    return {"prompt": prompt, "reward_model": {"ground_truth": answer, "style": "rule"}}


@pytest.fixture
def raw(tmp_path) -> Path:
    for name, rows in make(CONFIG).items():
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"so $\boxed{7}$.", "7"),
        (r"first \boxed{1}, then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{ 3 }", "3"),
        (r"\fbox{4}", "4"),
        (r"$\boxed 9$.", "9"),
        (r"\boxed{}", ""),
        (r"\boxed{1} and \boxed{2", ""),
        ("no box", ""),
        (r"ends with \boxed", ""),
    ],
)
def test_last_box(text, box):
    assert last_box(text) == box


@given(st.recursive(st.text("x1", max_size=3), lambda s: s.map(lambda t: f"{{{t}}}") | s))
def test_last_box_returns_any_balanced_content(content):
    assert last_box(f"\\boxed{{0}} \\boxed{{{content}}} done}}") == content


def test_normalise_removes_white_space_and_dollars_only():
    assert normalise("Find $ 2 +\n3$.") == normalise("Find 2+3 .") == "Find2+3."
    assert normalise("225") != normalise("22.5")
    assert normalise("x = -3") != normalise("x = 3")


def test_wrapper_comes_off_at_both_ends():
    assert strip_wrapper(f"{DAPO_HEAD}For which $n$?\nSay.{DAPO_TAIL}") == "For which $n$?\nSay."
    assert strip_wrapper("no wrapper") == "no wrapper"


def test_parse_math():
    assert parse_math(MATH) == Problem("What is $1+1$?", "2", 2, "Algebra")
    assert parse_math(MATH | {"level": 5}).level == 5
    assert parse_math(MATH | {"level": "Level ?"}) == "unusable_level"
    assert parse_math(MATH | {"solution": r"\boxed{}"}) == "empty_answer"
    assert parse_math({"problem": "p", "answer": 588}) == Problem("p", "588")


def test_parse_dapo():
    assert parse_dapo(dapo("What?", "34")) == Problem("What?", "34")
    assert parse_dapo(dapo("What?", " ")) == "empty_answer"
    assert parse_dapo(dapo("What?", None)) == "empty_answer"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "proof"}, "proof"),
        ({"question_type": "proof", "answer": "4"}, "proof"),
        ({"answer": "notfound"}, "answer_not_found"),
        ({"question_type": "MCQ"}, "multiple_choice"),
        ({"problem_is_valid": "Incomplete"}, "invalid_problem"),
        ({"solution_is_valid": "No"}, "invalid_solution"),
        ({"answer": None}, "empty_answer"),
    ],
)
def test_parse_numina_drops(change, reason):
    assert parse_numina(NUMINA | change) == reason


def test_parse_numina_keeps():
    assert parse_numina(NUMINA) == Problem("What is $2+2$?", "4", 0, "Algebra")


def test_unique_counts_every_row():
    rows = [
        Problem("a", "1"),
        Problem("$a$ ", "1"),
        Problem("b", "1"),
        Problem("b", "2"),
        Problem("b", "1"),
        Problem("in test", "1"),
        Problem("earlier", "1"),
        Problem("求", "1"),
        "proof",
        Problem("c", "3"),
    ]
    problems, drops = unique(rows, {"intest"}, {"earlier"}, languages=["en"])
    assert problems == [rows[0], rows[9]]
    assert drops == {
        "duplicate": 1,
        "conflicting_answers": 3,
        "in_evaluation_set": 1,
        "duplicate_across_sources": 1,
        "language": 1,
        "proof": 1,
    }
    assert unique([rows[7]], set(), set())[0] == [rows[7]]
    assert unique([rows[7]], set(), set(), languages=["zh"])[0] == [rows[7]]


def test_one_answer_in_two_spellings_is_no_conflict():
    rows = [Problem("a", r"\frac{1}{3}"), Problem("a", r"\frac13"), Problem("b", "3")]
    problems, drops = unique([*rows, Problem("b", "-3")], set(), set())
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
    test_ids = {info["problem_id"] for info in prepare_evaluation(raw, "math")["extra_info"]}
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
    }


def test_asking_for_more_than_there_is_warns(raw):
    _, report = prepare_mix({"dapo": 17500}, raw, ["math"], seed=0, languages=["en"])
    assert report["warnings"] == [
        f"dapo: 17500 problems asked, {70 + CONFIG['traps']} usable, all of them taken"
    ]


def test_evaluation_keeps_file_order(raw):
    frame = prepare_evaluation(raw, "math")
    rows = [json.loads(line) for line in open(raw / "math_test.jsonl", encoding="utf-8")]
    assert [prompt[0]["content"] for prompt in frame["prompt"]] == [r["problem"] for r in rows]
    assert [f"Level {info['level']}" for info in frame["extra_info"]] == [r["level"] for r in rows]
    assert {info["split"] for info in frame["extra_info"]} == {"test"}


def test_evaluation_never_drops_a_row(tmp_path):
    write_jsonl(tmp_path / "math_test.jsonl", [MATH, MATH | {"solution": "none"}])
    with pytest.raises(UserError, match="row 2 .* cannot be evaluated: empty_answer"):
        prepare_evaluation(tmp_path, "math")


def test_strict_names_file_and_row(tmp_path):
    write_jsonl(tmp_path / "dapo.jsonl", [dapo("a", "1"), dapo("b", "")])
    assert list(read_problems(tmp_path, "dapo", parse_dapo)) == [Problem("a", "1"), "empty_answer"]
    with pytest.raises(UserError, match=r"dapo\.jsonl row 2 has no usable answer"):
        list(read_problems(tmp_path, "dapo", parse_dapo, strict=True))


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no file numina.*AI-MO/NuminaMath-1.5.*data.local_dir"):
        find_file(tmp_path, "numina")
    with pytest.raises(UserError, match="unknown source 'deepmath'.*math, dapo, numina"):
        prepare_mix({"deepmath": 1}, tmp_path, [], seed=0)
    with pytest.raises(UserError, match="unknown language 'fr'.*en, zh"):
        prepare_mix({"math": 1}, tmp_path, [], seed=0, languages=["fr"])
    (tmp_path / "dapo.jsonl").write_text('{"prompt": "a"}\n\n{"prompt\n')
    with pytest.raises(UserError, match="row 1 is not a row of BytedTsinghua"):
        list(read_problems(tmp_path, "dapo", parse_dapo))
    with pytest.raises(UserError, match="line 3 is not JSON"):
        list(read_rows(tmp_path / "dapo.jsonl"))
    (tmp_path / "math_train.parquet").write_text("PK")
    with pytest.raises(UserError, match="is not a parquet file"):
        list(read_rows(tmp_path / "math_train.parquet"))


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet", "csv"])
def test_all_file_formats_give_the_same_problems(tmp_path, ending):
    rows = [dapo("What is $\\frac{1}{2}$,\nexactly?", "-3"), dapo("b", "")]
    path = tmp_path / f"dapo.{ending}"
    match ending:
        case "jsonl":
            write_jsonl(path, rows)
        case "json":
            path.write_text(json.dumps(rows))
        case "parquet":
            pd.DataFrame(rows).to_parquet(path)
        case "csv":
            pd.DataFrame(rows).map(json.dumps).to_csv(path, index=False)
    expected = [Problem("What is $\\frac{1}{2}$,\nexactly?", "-3"), "empty_answer"]
    assert list(read_problems(tmp_path, "dapo", parse_dapo)) == expected


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lens_impl.data.prepare", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_command_line(raw, tmp_path):
    arguments = ["mix", "--mix", "m", "--sizes", '{"dapo": 99}', "--raw", str(raw)]
    arguments += ["--evaluation-sets", '["math"]', "--seed", "1", "--languages", '["en"]']
    arguments += ["--out", str(tmp_path / "m.parquet"), "--report", str(tmp_path / "m.json")]
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "warning: m: dapo: 99 problems asked, 74 usable, all of them taken\n"
    assert len(pd.read_parquet(tmp_path / "m.parquet")) == 74
    assert json.loads((tmp_path / "m.json").read_text())["rows_out"] == 74

    result = run(*arguments, "--strict")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and "has no usable answer" in result.stderr


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
    rows = list(read_problems(real, "numina", parse_numina))
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
