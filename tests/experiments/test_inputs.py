"""What jobs read: paths from a configuration, without Snakemake."""

import pytest

from lens_impl.data.raw import raw_files, raw_folder, toy_files
from lens_impl.experiments.configuration import all_methods, load
from lens_impl.experiments.inputs import (
    checkpoint_folder,
    data_models,
    model_of,
    tokenizers,
)
from lens_impl.experiments.runs import Run, evaluated, mixes_of, models_from, models_of
from lens_impl.experiments.settings import checkpoint_hash, training_settings
from lens_impl.files import ROOT, write_json

LLAMA, QWEN = "llama-3-1-8b-instruct", "qwen-2-5-3b-base"


@pytest.fixture
def paper():
    return load("paper", ROOT)


@pytest.fixture
def tiny():
    return load("tiny", ROOT)


def test_a_mix_is_made_of_its_sources_and_keeps_out_every_evaluation_set(paper):
    paper["data"]["evaluation_sets"] = ["math", "aime24"]
    raw = "results/paper/data/raw"
    needed = [f"{raw}/{name}" for name in ("math_train", "dapo", "math_test", "aime24_test")]
    assert raw_files(paper, mix="math-dapo") == needed
    assert raw_files(paper, evaluation_set="aime24") == [f"{raw}/aime24_test"]


def test_the_toys_rows_are_made_together(tiny):
    names = ["math_train", "math_test", "dapo", "numina"]
    files = [f"results/tiny/data/raw/{name}.jsonl" for name in names]
    assert raw_files(tiny, mix="math-dapo") == raw_files(tiny, evaluation_set="math") == files
    assert toy_files(tiny) == [*files, "results/tiny/data/raw/pretrain.jsonl"]
    tiny["tiny_problems"]["sizes"]["aime24_test"] = 30
    assert raw_files(tiny, mix="math-dapo") == [*files, "results/tiny/data/raw/aime24_test.jsonl"]


def test_a_folder_of_the_user_is_read_as_it_is(tiny):
    tiny["data"]["local_dir"] = "/data"
    assert raw_folder(tiny) == "/data"
    assert raw_files(tiny, mix="math-dapo") == raw_files(tiny, evaluation_set="math") == []


def test_tokenizers_are_of_the_models_that_are_asked_for(paper, tiny):
    assert tokenizers(paper, [QWEN], "math-dapo") == {QWEN: f"results/paper/models/{QWEN}"}
    # A model that is pre-trained here has its tokenizer before its weights.
    assert tokenizers(tiny, ["tiny"], "math-dapo") == {"tiny": "results/tiny/tokenizers/tiny"}


def test_data_stay_as_they_are_where_they_suit_more_models(paper, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data_models(paper, [QWEN], "math-dapo") == [QWEN]
    report = "results/paper/data/math-dapo.report.json"
    write_json(report, {"prompt_tokens": {LLAMA: {}, "former": {}}})
    # `former` is no model of the configuration any more.
    assert data_models(paper, [QWEN], "math-dapo") == [LLAMA, QWEN]
    assert data_models(paper, [QWEN, LLAMA], "math-dapo") == [LLAMA, QWEN]
    assert data_models(paper, [QWEN], "math-numina") == [QWEN]


def test_models_and_mixes_are_those_of_the_runs():
    runs = [Run(QWEN, "math-dapo", "lens", 1), Run(QWEN, "math-dapo", "grpo", 1)]
    assert (models_of(runs), mixes_of(runs)) == ([QWEN], ["math-dapo"])
    assert evaluated(runs) == [f"{QWEN}_base", *(run.name for run in runs)]


def test_a_base_model_is_a_folder_and_a_run_its_manifest(paper):
    assert model_of(paper, f"{QWEN}_base") == f"results/paper/models/{QWEN}"
    run = f"{QWEN}_math-dapo_lens_s1"
    assert model_of(paper, run) == f"results/paper/runs/{run}/manifest.json"


def test_the_checkpoint_folder_is_named_by_the_settings(tiny):
    run = Run("tiny", "math-dapo", "lens", 1)
    digest = checkpoint_hash(training_settings(tiny, run))
    folder = f"results/tiny/runs/{run.name}/checkpoints/{digest}"
    assert checkpoint_folder(tiny, run) == folder
    tiny["train"]["group_size"] = 8
    assert checkpoint_folder(tiny, run) != folder


def test_the_pattern_of_models_matches_those_of_one_source(paper):
    assert models_from(paper, "hub") == f"{LLAMA}|{QWEN}"
    assert models_from(paper, "pretrain") == "(?!)"


def test_methods_of_a_configuration_are_laid_over_the_file():
    half = {"advantage": "lens", "alpha": 0.5}
    methods = all_methods({"methods": {"lens-half": half}}, ROOT)
    assert methods["lens-half"] == half and methods["grpo"] == {"advantage": "grpo"}
