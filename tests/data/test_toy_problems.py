"""The toy's problems: right solutions, real schemas, disjoint sets, misconceptions as asked."""

import copy
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.source_rows import AIME24
from support.tiny_config import CONFIG

from lens_impl.data.matching import normalise
from lens_impl.data.sources import strip_wrapper
from lens_impl.data.toy import OPERANDS, Chain, draw_chain, make, misconceptions, solve, teach
from lens_impl.errors import UserError
from lens_impl.grading.boxes import last_box

CHAIN = Chain(37, (("+", 8), ("*", 5), ("-", 9)))


@pytest.fixture(scope="module")
def files():
    return make(CONFIG)


def problem_of(row: dict) -> str:
    return row["problem"] if "problem" in row else strip_wrapper(row["prompt"][0]["content"])


def test_hand_computed_chain():
    assert CHAIN.problem == "Find $((37+8)*5)-9$ mod 100."
    assert CHAIN.answer == 16  # 45, 225 = 25, 16
    assert (CHAIN.level, CHAIN.subject) == (3, "Mixed Chains")
    assert solve(CHAIN) == "37 +8=45 *5=25 -9=16\n\\boxed{16}"


@given(st.integers(1, 5), st.integers(0, 2**32))
def test_answer_is_the_value_of_the_expression(level, seed):
    chain = draw_chain(level, np.random.default_rng(seed))
    assert chain.level == level
    assert chain.answer == eval(chain.expression) % 100
    assert last_box(solve(chain)) == str(chain.answer)


def test_subjects_name_the_operations():
    assert Chain(1, (("*", 2), ("*", 3))).subject == "Products"
    assert Chain(1, (("+", 2), ("-", 3))).subject == "Sums"


def test_a_taught_misconception_changes_the_last_digit_and_carries_on():
    wrong = {("+", 7, 8): 3}
    rng = np.random.default_rng(0)
    taught = teach(CHAIN, wrong, taught_wrong=1.0, noise=0.0, rng=rng)
    assert taught == "37 +8=48 *5=40 -9=31\n\\boxed{31}"
    assert teach(CHAIN, wrong, taught_wrong=0.0, noise=0.0, rng=rng) == solve(CHAIN)


def test_noise_spares_no_other_fact():
    rng = np.random.default_rng(0)
    for _ in range(20):
        results = re.findall(r"=(\d+)", teach(CHAIN, {}, taught_wrong=0.0, noise=1.0, rng=rng))
        assert int(results[0]) // 10 == 4 and results[0] != "45"


def test_share_of_misconceptions_is_exact():
    facts = 10 * sum(len(operands) for operands in OPERANDS.values())
    wrong = misconceptions(0.4, np.random.default_rng(0))
    assert len(wrong) == 0.4 * facts
    assert set(wrong.values()) == set(range(1, 10))


def test_pretraining_teaches_misconceptions_at_the_asked_rates(files):
    correct = {}
    for row in files["pretrain"]:
        start, steps = re.match(r"(\d+)(.*)\n", row["solution"]).groups()
        value = int(start)
        for operation, operand, result in re.findall(r" ([-+*])(\d)=(\d+)", steps):
            fact = (operation, value % 10, int(operand))
            expected = eval(f"{value}{operation}{operand}") % 100
            correct.setdefault(fact, []).append(int(result) == expected)
            value = int(result)
    often_wrong = [fact for fact, outcomes in correct.items() if np.mean(outcomes) < 0.5]
    assert len(often_wrong) == 80  # 40 % of 200 facts
    wrong = [o for fact in often_wrong for o in correct[fact]]
    right = [o for fact, outcomes in correct.items() if fact not in often_wrong for o in outcomes]
    assert np.mean(wrong) == pytest.approx(0.1, abs=0.03)
    assert np.mean(right) == pytest.approx(0.9, abs=0.03)


def test_schemas_are_those_of_the_real_sets(files):
    assert set(files["math_train"][0]) == {"problem", "level", "type", "solution"}
    row = files["dapo"][0]
    assert set(row) == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
    assert row["prompt"][0]["role"] == "user"
    assert row["prompt"][0]["content"].startswith(
        "Solve the following math problem step by step. The last line of your response should be "
        "of the form Answer: $Answer (without quotes) where $Answer is the answer to the problem."
        "\n\n"
    )
    assert row["prompt"][0]["content"].endswith(
        '\n\nRemember to put your answer on its own line after "Answer:".'
    )
    assert set(row["reward_model"]) == {"ground_truth", "style"}
    assert set(row["extra_info"]) == {"index"}
    assert set(files["numina"][0]) == {
        *("problem", "solution", "answer", "problem_type", "question_type"),
        *("problem_is_valid", "solution_is_valid", "source", "synthetic"),
    }


def test_sets_are_disjoint_but_for_the_traps(files):
    keys = {name: [normalise(problem_of(row)) for row in rows] for name, rows in files.items()}
    assert not set(keys["math_test"]) & set(keys["math_train"])
    assert not set(keys["dapo"]) & set(keys["numina"])
    for name in ("dapo", "numina"):
        for other in ("math_train", "math_test"):
            assert len(set(keys[name]) & set(keys[other])) == CONFIG["traps"]
    for name in ("math_train", "math_test", "dapo", "numina"):
        assert not set(keys["pretrain"]) & set(keys[name])
    assert len(set(keys["math_test"])) == CONFIG["sizes"]["math_test"]


def test_repeated_problems_are_spelled_differently(files):
    texts = {row["problem"] for row in files["math_test"]}
    assert not texts & {problem_of(row) for row in files["dapo"] + files["numina"]}


def test_a_second_evaluation_set_changes_no_other_file(files):
    sizes = CONFIG["sizes"] | {"aime24_test": 20}
    levels = CONFIG["levels"] | {"aime24_test": [0, 0, 0, 1, 1]}
    more = make(CONFIG | {"sizes": sizes, "levels": levels})
    second = more.pop("aime24_test")
    assert json.dumps(more) == json.dumps(files)
    assert set(second[0]) == set(AIME24) and len(second) == 20
    for row in second:
        expression = re.search(r"\$(.*)\$", row["problem"])[1]
        assert row["answer"] == str(eval(expression) % 100) == last_box(row["solution"])
        assert len(re.findall(r"[-+*]", expression)) in (4, 5)
    others = {normalise(problem_of(row)) for rows in files.values() for row in rows}
    keys = {normalise(row["problem"]) for row in second}
    assert len(keys) == 20 and not keys & others


def test_sizes_and_levels(files):
    assert len(files["math_test"]) == 30
    assert len(files["math_train"]) == 60 + 2 * 4
    assert len(files["dapo"]) == (70 + 6 * 4) * 3
    assert len(files["numina"]) == 70 + 8 * 4
    operations = [len(re.findall(r"[-+*]", row["problem"])) for row in files["numina"]]
    assert min(operations[:10]) >= 1 and max(operations) == 5
    levels = {row["level"] for row in files["math_train"]}
    assert levels == {"Level ?", *(f"Level {level}" for level in range(1, 6))}


def test_same_seed_same_files_other_seed_other_files(files):
    assert json.dumps(make(CONFIG)) == json.dumps(files)
    other = make(CONFIG | {"seed": 1})
    for name in files:
        assert other[name] != files[name]


def test_more_traps_than_problems_is_an_error():
    config = copy.deepcopy(CONFIG)
    config["traps"] = 31
    with pytest.raises(UserError, match="traps is 31"):
        make(config)


def test_more_problems_than_there_are_is_an_error():
    config = copy.deepcopy(CONFIG)
    config["sizes"]["math_test"] = 1981  # one more than 99 starts and 20 operations give
    config["levels"]["math_test"] = [1, 0, 0, 0, 0]
    with pytest.raises(UserError, match="different problems of level 1"):
        make(config)
