"""Evaluation with a random Qwen2: seeds, shards, grading, Pass@k by level."""

import json
import shutil
import sys
import tempfile
from dataclasses import astuple
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from lens_impl.errors import UserError
from lens_impl.evaluation import evaluate
from lens_impl.evaluation.counts import problem_counts
from lens_impl.evaluation.intervals import pass_at_k_interval
from lens_impl.evaluation.levels import level_masks
from lens_impl.files import read_parquet, write_json, write_parquet
from lens_impl.models.sampling import sampler
from lens_impl.models.toy import make_model, make_tokenizer

CONFIG = {
    "n": 4,
    "k": [1, 2, 4],
    "seed": 0,
    "batch_size": 6,
    "max_response_tokens": 8,
    "temperature": 1.0,
    "top_p": 1.0,
    "engine": "hf",
    "threads": 1,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    tokenizer = make_tokenizer()
    size = {"hidden_size": 16, "intermediate_size": 32, "layers": 1, "heads": 2}
    make_model(size, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def problems():
    rows = []
    for i, level in enumerate([1, 1, 3, 4, 5]):
        info = {"problem_id": f"p{i}", "level": level, "type": "Algebra", "index": i}
        rows.append(
            {
                "prompt": [{"role": "user", "content": f"Find {i} + {level}" + " mod 7" * i}],
                "reward_model": {"style": "rule", "ground_truth": str(i + level)},
                "extra_info": info,
            }
        )
    return pd.DataFrame(rows)


def sample(model, problems, shard=0, shards=1, parts=None, **changes) -> pd.DataFrame:
    config = CONFIG | changes
    load = partial(sampler, model, config)
    with tempfile.TemporaryDirectory() as folder:
        parts = parts or Path(folder)
        return evaluate.sample_problems(load, problems, config, shard, shards, parts)


def test_one_row_per_sample(model, problems):
    rows = sample(model, problems)
    assert list(rows["problem_id"]) == [f"p{i}" for i in range(5) for _ in range(4)]
    assert list(rows["sample"]) == [0, 1, 2, 3] * 5
    assert list(rows["gold"].unique()) == ["1", "2", "5", "7", "9"]
    assert rows["length"].between(1, 8).all()
    assert (rows["log_prob"] < 0).all()
    # An untrained model almost never ends a response: it is cut off at the limit.
    assert (rows.loc[~rows["finished"], "length"] == 8).all()
    assert rows["response"].nunique() > 15


def test_shards_and_batches_do_not_change_the_samples(model, problems):
    whole = sample(model, problems)
    shards = [sample(model, problems, shard, 3, batch_size=2) for shard in range(3)]
    assert [len(shard) for shard in shards] == [8, 8, 4]
    joined = pd.concat(shards).sort_values(["problem_id", "sample"], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole, rtol=1e-4)


def test_a_killed_shard_resumes_where_it_was(model, problems, tmp_path):
    whole = sample(model, problems, parts=tmp_path / "whole", batch_size=8)
    parts = sorted((tmp_path / "whole").iterdir())
    assert [part.name for part in parts] == ["000000.parquet", "000002.parquet", "000004.parquet"]
    for part in parts[:2]:
        (tmp_path / "killed").mkdir(exist_ok=True)
        shutil.copy2(part, tmp_path / "killed")
    asked = []

    def load():
        generate = sampler(model, CONFIG | {"batch_size": 8})

        def counting(messages, seeds):
            asked.append(len(messages))
            return generate(messages, seeds)

        return counting

    config = CONFIG | {"batch_size": 8}
    resumed = evaluate.sample_problems(load, problems, config, 0, 1, tmp_path / "killed")
    pd.testing.assert_frame_equal(resumed, whole)
    assert asked == [1]
    evaluate.sample_problems(lambda: 1 / 0, problems, config, 0, 1, tmp_path / "killed")


def test_parts_of_other_samples_are_not_taken(model, problems, tmp_path):
    data = tmp_path / "eval.parquet"
    write_parquet(data, problems)
    out = tmp_path / "samples.0.parquet"
    first = evaluate.parts_folder(out, model, data, CONFIG, 2)
    assert first == evaluate.parts_folder(out, model, data, CONFIG, 2)
    others = {evaluate.parts_folder(out, model, data, CONFIG | {"seed": 1}, 2)}
    others.add(evaluate.parts_folder(out, model, data, CONFIG, 3))
    write_parquet(data, problems.head(3))
    others.add(evaluate.parts_folder(out, model, data, CONFIG, 2))
    assert len(others) == 3 and first not in others


def test_the_seed_decides_the_samples(model, problems):
    first = sample(model, problems, seed=1)["response"]
    assert list(sample(model, problems, seed=1)["response"]) == list(first)
    assert (sample(model, problems, seed=2)["response"] != first).mean() > 0.9


def test_a_manifest_stands_for_its_model(model, problems, tmp_path):
    write_json(tmp_path / "manifest.json", {"model_dir": str(model)})
    rows = sample(tmp_path / "manifest.json", problems)
    pd.testing.assert_frame_equal(rows, sample(model, problems))


def test_wrong_input_is_one_sentence(model, problems, tmp_path):
    with pytest.raises(UserError, match="--shard 2 is not a shard of 2: use 0 to 1"):
        sample(model, problems, shard=2, shards=2)
    with pytest.raises(UserError, match="no config.json"):
        sample(tmp_path, problems)
    with pytest.raises(
        UserError, match="evaluate.n is 3, but Pass@4 in evaluate.k needs at least 4"
    ):
        sample(model, problems, n=3)
    with pytest.raises(UserError, match="missing.parquet does not exist"):
        read_parquet(tmp_path / "missing.parquet")


def test_vllm_that_is_not_installed(model, problems, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="train_gpu"):
        sample(model, problems, engine="vllm")


def samples_of(responses: dict[str, list[str]], levels: dict[str, int]) -> pd.DataFrame:
    """Ungraded samples; the right answer is always 7."""
    rows = [
        {
            "problem_id": problem,
            "sample": i,
            "level": levels[problem],
            "type": "Algebra",
            "gold": "7",
            "response": text,
        }
        for problem, texts in responses.items()
        for i, text in enumerate(texts)
    ]
    return pd.DataFrame(rows)


RIGHT, WRONG, SILENT = r"So \boxed{7}.", r"So \boxed{8}.", ""
RESPONSES = {
    "b": [WRONG, SILENT, WRONG, WRONG],
    "a": [RIGHT, WRONG, RIGHT, WRONG],
    "c": [RIGHT, RIGHT, RIGHT, RIGHT],
}
LEVELS = {"a": 1, "b": 4, "c": 5}


def test_score_grades_in_the_order_of_problems():
    shuffled = samples_of(RESPONSES, LEVELS).iloc[::-1]
    graded = evaluate.score_samples(shuffled, CONFIG)
    assert list(graded["problem_id"]) == [p for p in "abc" for _ in range(4)]
    assert list(graded["correct"]) == [True, False, True, False] + [False] * 4 + [True] * 4
    assert list(graded["status"][4:8]) == ["wrong", "no_answer", "wrong", "wrong"]
    assert graded["extracted"][0] == "7"


def test_score_needs_every_sample_once():
    samples = samples_of(RESPONSES, LEVELS)
    with pytest.raises(UserError, match="problem c does not have the samples 0 to 3"):
        evaluate.score_samples(samples.iloc[:-1], CONFIG)
    with pytest.raises(UserError, match="problem a"):
        evaluate.score_samples(pd.concat([samples, samples.iloc[4:5]]), CONFIG)


def test_pass_at_k_by_level():
    graded = evaluate.score_samples(samples_of(RESPONSES, LEVELS), CONFIG)
    table = evaluate.pass_at_k_by_level(graded, CONFIG).set_index(["level", "k"])
    assert list(table.index.get_level_values(0).unique()) == ["all", "1", "4", "5", "4-5"]
    # a has 2 of 4: Pass@2 = 1 - C(2,2)/C(4,2) = 5/6; b has none, c all.
    expected = {("all", 1): (0.5 + 0 + 1) / 3, ("all", 2): (5 / 6 + 0 + 1) / 3}
    expected |= {("all", 4): 2 / 3, ("1", 2): 5 / 6, ("4", 4): 0.0, ("5", 1): 1.0, ("4-5", 1): 0.5}
    for place, value in expected.items():
        assert table.loc[place, "estimate"] == pytest.approx(value)
    assert (table["low"] <= table["estimate"]).all() and (table["estimate"] <= table["high"]).all()
    assert list(table.loc["all", "problems"]) == [3, 3, 3]
    assert table.loc[("4-5", 1), "problems"] == 2


def test_intervals_are_those_of_the_one_function_within_0_and_1():
    """Its seed decides the samples, not the interval."""
    graded = evaluate.score_samples(samples_of(RESPONSES, LEVELS), CONFIG)
    table = evaluate.pass_at_k_by_level(graded, CONFIG | {"seed": 7}).set_index(["level", "k"])
    for k in CONFIG["k"]:
        found = table.loc[("all", k)]
        interval = pass_at_k_interval(4, [2, 0, 4], k)
        assert tuple(found[["estimate", "low", "high"]]) == astuple(interval)
        assert (found["low"], found["high"]) == (0.0, 1.0)  # three problems say little


def test_counts_per_problem():
    graded = evaluate.score_samples(samples_of(RESPONSES, LEVELS), CONFIG)
    counts = problem_counts(graded.iloc[::-1])
    assert list(counts) == ["level", "type", "n", "correct"]
    assert counts["correct"].to_dict() == {"a": 2, "b": 0, "c": 4}
    assert counts["n"].to_dict() == {"a": 4, "b": 4, "c": 4}
    assert counts["level"].to_dict() == LEVELS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.iloc[:-1], "problem c does not have 4 different samples"),
        (lambda rows: rows.assign(sample=[0, 1, 1, 3] * 3), "problem a does not have 4 different"),
        (lambda rows: rows.iloc[:0], "there is no sample"),
    ],
)
def test_counts_need_the_same_samples_of_every_problem(change, words):
    graded = evaluate.score_samples(samples_of(RESPONSES, LEVELS), CONFIG)
    with pytest.raises(UserError, match=words):
        problem_counts(change(graded))


def test_masks_by_level():
    masks = level_masks([3, 5, 4, 3])
    assert list(masks) == ["all", "3", "4", "5", "4-5"]
    assert masks["4-5"].tolist() == [False, True, True, False]
    assert masks["3"].tolist() == [True, False, False, True]
    assert masks["all"].all()


def test_unknown_levels_count_only_in_all():
    masks = level_masks(pd.Series([0, 0, 2], index=["a", "b", "c"]))
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"all": 3, "2": 1}


def test_a_set_without_levels_has_its_own_n_and_k():
    levels = dict.fromkeys("abc", 0)
    config = CONFIG | {"n": 4, "k": [1, 3]}
    graded = evaluate.score_samples(samples_of(RESPONSES, levels), config)
    table = evaluate.pass_at_k_by_level(graded, config)
    assert list(zip(table["level"], table["k"], strict=True)) == [("all", 1), ("all", 3)]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
    evaluate.main()


def test_commands(model, problems, tmp_path, monkeypatch, capsys):
    data = tmp_path / "eval.parquet"
    write_parquet(data, problems)
    config = ("--config", json.dumps(CONFIG))
    shards = [tmp_path / f"samples.{i}.parquet" for i in range(2)]
    for i, shard in enumerate(shards):
        sources = ("--model", model, "--data", data, "--shard", i, "--shards", 2)
        run(monkeypatch, "sample", *sources, *config, "--out", shard)
    assert "sampled problem 3/3" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {data.name, *[s.name for s in shards]}
    out, passes = tmp_path / "samples_math.parquet", tmp_path / "pass_at_k_math.csv"
    run(monkeypatch, "score", "--shards", *shards, *config, "--out", out, "--pass-at-k", passes)
    samples = pd.read_parquet(out)
    expected = ["problem_id", "sample", "level", "type", "gold", "response"]
    expected += ["length", "log_prob", "finished", "extracted", "correct", "status"]
    assert list(samples) == expected and len(samples) == 20
    table = pd.read_csv(passes, dtype={"level": str})
    assert list(table) == ["level", "k", "n", "problems", "estimate", "low", "high"]
    assert set(table["level"]) == {"all", "1", "3", "4", "5", "4-5"}
