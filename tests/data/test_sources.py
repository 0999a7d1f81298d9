"""The sets: their rows as problems, reasons to drop, file formats, names in a configuration."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from support.source_rows import AIME24, AIME25, AMC23, MATH, MATH500, NUMINA, ROWS, dapo
from support.tiny_config import CONFIG

from lens_impl.data.matching import normalise
from lens_impl.data.sources import (
    DAPO_HEAD,
    DAPO_TAIL,
    EVALUATION,
    SOURCES,
    TRAINING,
    Problem,
    check_data,
    parse_answered,
    parse_dapo,
    parse_dapo_processed,
    parse_math,
    parse_numina,
    read_problems,
    strip_wrapper,
)
from lens_impl.errors import UserError
from lens_impl.files import write_jsonl


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
    assert parse_math(MATH | {"solution": r"\boxed{1}, cut off \boxed{2"}) == "empty_answer"
    assert parse_math(MATH | {"problem": " "}) == "empty_problem"
    assert parse_math({"problem": "p", "answer": 588}) == Problem("p", "588")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (MATH500, Problem("What is $1+2$?", "3", 2, "Algebra")),
        (AMC23, Problem("What is $9\\cdot3$?", "27")),  # its answers are floats
        ({"problem": "p", "answer": 588}, Problem("p", "588")),
        (AIME24, Problem("Find $m+n$.", "025")),
        (AIME25, Problem("Find $b$.", "70")),
    ],
)
def test_parse_answered(row, problem):
    assert parse_answered(row) == problem


@pytest.mark.parametrize("name", SOURCES)
def test_every_set_reads_rows_of_its_own_columns(tmp_path, name):
    assert set(SOURCES[name].columns) <= set(ROWS[name])
    write_jsonl(tmp_path / f"{name}.jsonl", [ROWS[name]])
    (problem,) = read_problems(tmp_path, name)
    assert isinstance(problem, Problem)


def test_parse_dapo():
    assert parse_dapo(dapo("What?", "34")) == Problem("What?", "34")
    assert parse_dapo(dapo("What?", " ")) == "empty_answer"
    assert parse_dapo(dapo("What?", None)) == "empty_answer"
    assert parse_dapo_processed({"prompt": "What?", "solution": " 34"}) == Problem("What?", "34")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": "proof"}, "proof"),
        ({"question_type": "proof", "answer": "4"}, "proof"),
        ({"answer": "notfound"}, "answer_not_found"),
        ({"question_type": "MCQ", "answer": "B"}, "multiple_choice"),
        ({"question_type": "MCQ", "answer": "(c)."}, "multiple_choice"),
        ({"question_type": "MCQ", "answer": "(C)."}, "multiple_choice"),
        ({"question_type": "MCQ", "answer": ""}, "multiple_choice"),
        ({"problem": "Which? (A) 1 (B) 2", "answer": "A"}, "multiple_choice"),
        ({"problem": "Which? A. 1  B. 2", "answer": "A"}, "multiple_choice"),
        ({"problem_is_valid": "Incomplete"}, "invalid_problem"),
        ({"solution_is_valid": "No"}, "invalid_solution"),
        ({"answer": None}, "empty_answer"),
    ],
)
def test_parse_numina_drops(change, reason):
    parsed = parse_numina(NUMINA | change)
    assert parsed == reason if reason else isinstance(parsed, Problem)


def test_parse_numina_keeps():
    assert parse_numina(NUMINA) == Problem("What is $2+2$?", "4", 0, "Algebra")
    assert parse_numina(NUMINA | {"question_type": "MCQ"}).answer == "4"
    assert parse_numina(NUMINA | {"answer": "C"}).answer == "C"


WHICH = "Which? A. 1 B. 2 C. 3 D. 4"


@pytest.mark.parametrize(
    "answer",
    ["B", "(B)", "b", "(b)", "B.", r"\text{(B)}", r"$\mathrm{B}$", r"\textbf{(B)}\ 2", "B. 2"]
    + ["(B) 2", "B: 2", "B) 2", "\uff22", "\uff08\uff22\uff09", "AC", "A, C", "A and C", "**B**"],
)
def test_a_letter_in_any_writing_is_multiple_choice(answer):
    assert parse_numina(NUMINA | {"problem": WHICH, "answer": answer}) == "multiple_choice"
    assert parse_numina(NUMINA | {"answer": answer, "question_type": "MCQ"}) == "multiple_choice"


@pytest.mark.parametrize("answer", ["2", "a+b", r"\frac{A}{2}", "Bob", "BC = 2", "(2, 3)", "D=4"])
def test_the_value_of_a_multiple_choice_problem_is_kept(answer):
    assert parse_numina(NUMINA | {"problem": WHICH, "answer": answer}).answer == answer


@pytest.mark.parametrize(
    "options",
    ["(A) 1 (B) 2", "(a) 1 (b) 2", "A) 1\nB) 2", "A\u30011 B\u30012", "A\uff0e1 B\uff0e2"]
    + ["\uff08A\uff091 \uff08B\uff092", "\u2460 1 \u2461 2", r"$\text{A}$ 1 $\text{B}$ 2"]
    + [r"$\textbf{(A)}\ 1 \qquad \textbf{(B)}\ 2$"],
)
def test_options_in_any_writing_are_seen(options):
    row = NUMINA | {"problem": f"Pick one: {options}", "answer": "B"}
    assert parse_numina(row) == "multiple_choice"


def test_a_letter_that_is_no_option_is_kept():
    row = NUMINA | {"problem": "Which set, B or C, is bigger?", "answer": "B"}
    assert parse_numina(row).answer == "B"


@pytest.mark.parametrize(
    "text",
    [
        "Find x. ![](https://pictures.example/1.jpg)",
        "<image>\nFind x.",
        "As shown in the diagram, x?",
    ]
    + ["In the figure, find x.", "Find the area of the figure below.", "\u5982\u56fe x?"]
    + [r"\includegraphics{a.png} Find x.", "As shown in Figure 2, find x."],
)
def test_a_problem_that_needs_a_picture_is_dropped(text):
    assert parse_numina(NUMINA | {"problem": text}) == "needs_picture"
    assert isinstance(
        parse_numina(NUMINA | {"problem": f"{text} [asy] draw(A--B); [/asy]"}), Problem
    )


@pytest.mark.parametrize(
    "text", ["The data are as shown in the table: 1, 2.", "Draw a graph of x!", "Is 4! even?"]
)
def test_a_problem_without_a_picture_is_kept(text):
    assert isinstance(parse_numina(NUMINA | {"problem": text}), Problem)


@pytest.mark.parametrize(
    ("value", "text"),
    [("4 ", "4"), (4, "4"), (27.0, "27"), (0.5, "0.5"), (1e-05, "0.00001"), (1e22, "1" + "0" * 22)],
)
def test_numbers_are_read_as_text(value, text):
    assert parse_numina(NUMINA | {"answer": value}).answer == text


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_a_missing_answer_is_counted(missing):
    assert parse_numina(NUMINA | {"answer": missing}) == "empty_answer"
    assert parse_answered(AIME25 | {"answer": missing}) == "empty_answer"


@pytest.mark.parametrize("value", [["34"], {"value": 34}, True, float("inf")])
@pytest.mark.parametrize("column", ["answer", "problem"])
def test_a_value_of_another_type_is_one_sentence(tmp_path, value, column):
    write_jsonl(tmp_path / "numina.jsonl", [NUMINA, NUMINA | {column: value}])
    with pytest.raises(UserError, match=r"numina\.jsonl row 2 .* is neither text nor a number"):
        list(read_problems(tmp_path, "numina"))


def test_bytes_are_one_sentence(tmp_path):
    pd.DataFrame([NUMINA | {"problem": b"What?"}]).to_parquet(tmp_path / "numina.parquet")
    with pytest.raises(UserError, match=r"row 1 .* is neither text nor a number"):
        list(read_problems(tmp_path, "numina"))


def test_a_list_as_ground_truth_is_one_sentence(tmp_path):
    write_jsonl(tmp_path / "dapo.jsonl", [dapo("a", ["34"])])
    with pytest.raises(UserError, match=r'\["34"\] is neither text nor a number'):
        list(read_problems(tmp_path, "dapo"))


def test_a_system_message_is_not_the_problem():
    row = dapo("What is $2+3$?", "5")
    row["prompt"].insert(0, {"role": "system", "content": "You are a helpful assistant."})
    assert parse_dapo(row) == Problem("What is $2+3$?", "5")


def test_strict_names_file_and_row(tmp_path):
    write_jsonl(tmp_path / "dapo.jsonl", [dapo("a", "1"), dapo("b", "")])
    assert list(read_problems(tmp_path, "dapo")) == [Problem("a", "1"), "empty_answer"]
    with pytest.raises(UserError, match=r"dapo\.jsonl row 2 has no usable answer"):
        list(read_problems(tmp_path, "dapo", strict=True))


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
    assert list(read_problems(tmp_path, "dapo")) == expected


def test_snakemake_imports_the_sets_without_pandas():
    code = (
        "import sys, lens_impl.data.sources\n"
        "assert not {'numpy', 'pandas', 'pyarrow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def config_with(toy: bool = False, **data) -> dict:
    sizes = CONFIG["sizes"] | {"aime24_test": 5}
    defaults = {"mixes": {"m": {"math": None}}, "languages": ["en"]}
    defaults |= {"evaluation_sets": ["math"], "local_dir": None}
    return {"data": defaults | data} | ({"tiny_problems": {"sizes": sizes}} if toy else {})


def test_a_configuration_names_known_sets():
    assert EVALUATION == ("math", "math500", "amc23", "aime24", "aime25")
    check_data(config_with(evaluation_sets=list(EVALUATION), mixes={"m": dict.fromkeys(TRAINING)}))
    check_data(config_with(toy=True, evaluation_sets=["math", "aime24"]))
    check_data(config_with(local_dir="/folder", evaluation_sets=["my-own"]))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            config_with(mixes={"a": {"math": 1}, "b": {"numnia": 1}}),
            "unknown source 'numnia' in data.mixes.b: use one of math, dapo.*mean 'numina'",
        ),
        (config_with(languages=["fr"]), "unknown language 'fr' in data.languages.*en, zh"),
        (
            config_with(evaluation_sets=["math", "aime26"]),
            "unknown set 'aime26' in data.evaluation_sets: the hub has math, .*aime25.*local_dir",
        ),
        (
            config_with(toy=True, evaluation_sets=["aime25"]),
            "unknown set 'aime25' in data.evaluation_sets: tiny_problems.sizes has math, aime24",
        ),
    ],
)
def test_an_unknown_name_is_one_sentence(config, words):
    with pytest.raises(UserError, match=words) as error:
        check_data(config)
    assert "\n" not in str(error.value)
