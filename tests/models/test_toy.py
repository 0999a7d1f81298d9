"""The toy's base model: a lossless tokenizer, loss on solutions alone, one model a seed."""

import json
import sys
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from lens_impl.data.prepare import to_frame
from lens_impl.data.sources import Problem
from lens_impl.errors import UserError
from lens_impl.evaluation import baseline
from lens_impl.evaluation.baseline import measure_regime
from lens_impl.models import toy
from lens_impl.models.prompts import prompt_ids
from lens_impl.models.sampling_hf import hf_sampler
from lens_impl.models.toy import (
    batches,
    encode,
    main,
    make_model,
    make_tokenizer,
    save,
    solution_loss,
    train,
)

SAMPLING = {"engine": "hf", "seed": 0, "batch_size": 64, "threads": 1}
SAMPLING |= {"temperature": 1.0, "top_p": 1.0}
CONFIG = {
    "seed": 0,
    "hidden_size": 32,
    "intermediate_size": 32,
    "layers": 1,
    "heads": 1,
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 5e-3,
    "matrix_learning_rate": 0.02,
}
ROWS = [
    {"problem": "Find $37+8$ mod 100.", "solution": "37 +8=45\n\\boxed{45}"},
    {"problem": "Find $(37+8)*5$ mod 100.", "solution": "37 +8=45 *5=25\n\\boxed{25}"},
    {"problem": "Find $3-5$ mod 100.", "solution": "3 -5=98\n\\boxed{98}"},
] * 4
TOKENIZER = make_tokenizer()


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


@given(st.text())
def test_no_text_is_lost(text):
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids) == unicodedata.normalize("NFC", text) or "<|" in text


def test_tokens_of_a_problem_and_its_solution():
    ids = prompt_ids(TOKENIZER, user("Find $((37+8)*5)-9$ mod 100."))
    assert TOKENIZER.convert_ids_to_tokens(ids) == [
        *("Find", "Ġ$((", "3", "7", "+", "8", ")*", "5", ")-", "9", "$"),
        *("Ġmod", "Ġ", "1", "0", "0", ".", "Ċ"),
    ]
    ids = TOKENIZER.encode("37 +8=45\n\\boxed{45}", add_special_tokens=False)
    assert TOKENIZER.convert_ids_to_tokens(ids) == [
        *("3", "7", "Ġ+", "8", "=", "4", "5", "Ċ", "\\boxed", "{", "4", "5", "}"),
    ]


def test_what_verl_needs_of_tokenizer_and_model():
    assert len(TOKENIZER.encode("\n", add_special_tokens=False)) == 1
    config = make_model(CONFIG, TOKENIZER).config
    assert config.vocab_size == len(TOKENIZER)
    assert config.hidden_size // config.num_attention_heads == 32
    assert config.eos_token_id == TOKENIZER.eos_token_id != TOKENIZER.pad_token_id
    assert config.pad_token_id == TOKENIZER.pad_token_id
    text = TOKENIZER.apply_chat_template(
        [*user("a"), {"role": "assistant", "content": "b"}], tokenize=False
    )
    assert text == "ab<|endoftext|>"


def test_encode_is_prompt_solution_end():
    for row, (tokens, prompt_length) in zip(ROWS, encode(ROWS, TOKENIZER), strict=True):
        assert tokens[:prompt_length] == prompt_ids(TOKENIZER, user(row["problem"]))
        assert TOKENIZER.decode(tokens[prompt_length:]) == row["solution"] + "<|endoftext|>"


def test_loss_is_the_mean_over_solution_tokens():
    torch.manual_seed(0)
    model = make_model(CONFIG, TOKENIZER)
    examples = encode(ROWS[:3], TOKENIZER)
    losses = []
    for tokens, prompt_length in examples:  # one by one, without padding
        logits = model(input_ids=torch.tensor([tokens])).logits[0]
        targets = torch.tensor(tokens[prompt_length:])
        losses.append(cross_entropy(logits[prompt_length - 1 : -1], targets, reduction="none"))
    expected = torch.cat(losses).mean().item()
    loss = solution_loss(model, examples, TOKENIZER.pad_token_id).item()
    assert loss == pytest.approx(expected, rel=1e-5)


@given(st.integers(1, 60), st.integers(1, 5))
def test_batches_hold_every_example_once(count, batch_size):
    examples = [([i] * (1 + i % 7), 1) for i in range(count)]
    result = list(batches(examples, batch_size, np.random.default_rng(0)))
    assert sorted(tokens[0] for batch in result for tokens, _ in batch) == list(range(count))
    assert len(result) == -(-count // batch_size)


def test_one_model_a_seed():
    def weights(seed: int) -> torch.Tensor:
        model, _ = train(CONFIG | {"seed": seed}, ROWS)
        return torch.cat([p.flatten() for p in model.parameters()])

    first = weights(0)
    torch.manual_seed(5)  # whatever the process drew before
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


@pytest.fixture(scope="module")
def trained():
    return train(CONFIG | {"epochs": 120}, ROWS)


@pytest.fixture
def frame():
    problems = [Problem("Find $37+8$ mod 100.", "45", 1), Problem("Find $3-5$ mod 100.", "7", 2)]
    return to_frame([("math", problem) for problem in problems], "test")


def test_saved_folder_loads_as_the_same_model(trained, tmp_path):
    model, tokenizer = trained
    save(tmp_path / "tiny", tokenizer, model)
    save(tmp_path / "tiny", tokenizer, model)  # a second run replaces it
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
    assert loaded.dtype == torch.float32
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name])
    again = AutoTokenizer.from_pretrained(tmp_path / "tiny")
    assert len(again) == loaded.config.vocab_size
    assert prompt_ids(again, user("求 $3$ ?")) == prompt_ids(tokenizer, user("求 $3$ ?"))
    assert (again.eos_token_id, again.pad_token_id) == (278, 279)
    assert loaded.generation_config.eos_token_id == 278
    assert loaded.generation_config.temperature == loaded.generation_config.top_p == 1.0


def test_tokenizer_alone_is_that_of_the_model(trained, tmp_path, monkeypatch):
    save(tmp_path / "model", *reversed(trained))
    arguments = ["base_model", "tokenizer", "--out", str(tmp_path / "tokenizer")]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    files = list((tmp_path / "tokenizer").iterdir())
    assert {"tokenizer.json", "chat_template.jinja"} <= {file.name for file in files}
    for file in files:
        assert file.read_bytes() == (tmp_path / "model" / file.name).read_bytes()


def test_pretraining_learns_what_it_is_taught(trained, frame):
    """Three memorised problems: the first is asked as taught, the second with another answer."""
    model, tokenizer = trained
    config = SAMPLING | {"n": 16, "problems": 10, "max_response_tokens": 32}
    generate = hf_sampler(model, tokenizer, config)
    regime = measure_regime(generate, 7, {"m": frame.tail(1)}, frame, config)
    pass_at_k = regime["evaluation"]["pass_at_k"]
    assert pass_at_k["1"]["1"] > 0.9
    assert pass_at_k["2"] == dict.fromkeys(("1", "2", "4", "8", "16"), 0.0)
    assert pass_at_k["all"]["16"] == 0.5
    assert regime["evaluation"]["response_length"] == pytest.approx((14 + 13) / 2, abs=0.5)
    assert regime["mixes"]["m"]["groups_all_wrong"] == 1.0
    assert regime["mixes"]["m"]["finished"] == 1.0
    assert regime["settings"] == config
    assert regime["parameters"] == 7


def test_command_line(frame, tmp_path, monkeypatch):
    def run(command, *arguments) -> None:
        monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments)])
        command()

    corpus, folder = tmp_path / "pretrain.jsonl", tmp_path / "models" / "tiny"
    arguments = ("train", "--config", json.dumps(CONFIG), "--corpus", corpus, "--out", folder)
    corpus.write_text("")
    with pytest.raises(UserError, match="pretrain.jsonl is empty"):
        run(toy.main, *arguments)

    corpus.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    run(toy.main, *arguments)
    frame.to_parquet(tmp_path / "a.parquet")
    config = json.dumps(SAMPLING | {"n": 2, "problems": 1, "max_response_tokens": 4})
    run(
        baseline.main,
        *("--config", config, "--model", folder, "--eval", tmp_path / "a.parquet"),
        *("--mix", tmp_path / "a.parquet", "--out", tmp_path / "tiny.regime.json"),
    )
    regime = json.loads((tmp_path / "tiny.regime.json").read_text())
    assert regime["mixes"]["a"]["groups_all_wrong"] == 1.0  # four tokens hold no answer
    assert regime["mixes"]["a"]["problems"] == 1
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert regime["parameters"] == sum(p.numel() for p in model.parameters())
