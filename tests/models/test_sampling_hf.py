"""The sampler against Hugging Face's forward pass and generate, on a small random model."""

import pytest
import torch
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from lens_impl.models.sampling_hf import sample

EOS, PAD, VOCABULARY = 1, 0, 12


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.5,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    return Qwen2ForCausalLM(config).eval()


def draw(model, prompts, seeds, **options):
    options = {"max_new_tokens": 16, "eos_token_id": EOS, "pad_token_id": PAD, **options}
    return sample(model, prompts, seeds, **options)


PROMPTS = [[3, 4, 5], [6], [7, 8, 9, 10, 11], [3, 4, 5], [2, 2]] * 8


def test_log_probs_are_those_of_a_forward_pass(model):
    for temperature in (1.0, 0.7):
        completions = draw(model, PROMPTS, list(range(40)), temperature=temperature)
        for prompt, completion in zip(PROMPTS, completions, strict=True):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + completion.token_ids])).logits[0]
            expected = (logits / temperature).log_softmax(-1)[len(prompt) - 1 : -1]
            expected = expected.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            assert torch.allclose(torch.tensor(completion.log_probs), expected, atol=1e-5)


def test_completions_end_at_the_end_of_text_and_only_there(model):
    completions = draw(model, PROMPTS, list(range(40)))
    assert {completion.finished for completion in completions} == {True, False}
    for completion in completions:
        assert EOS not in completion.token_ids[:-1]
        assert completion.finished == (completion.token_ids[-1] == EOS)
        assert completion.finished or len(completion.token_ids) == 16


def test_a_completion_depends_on_prompt_and_seed_alone(model):
    seeds = list(range(40))
    together = draw(model, PROMPTS, seeds)
    split = draw(model, PROMPTS, seeds, batch_size=3)
    backwards = draw(model, PROMPTS[::-1], seeds[::-1])[::-1]
    for other in (split, backwards):
        assert [c.token_ids for c in other] == [c.token_ids for c in together]
    assert draw(model, PROMPTS, seeds) == together
    another = draw(model, PROMPTS, [seed + 1000 for seed in seeds])
    assert [c.token_ids for c in another] != [c.token_ids for c in together]


def test_greedy_is_generate(model):
    greedy = draw(model, PROMPTS[:5], [0] * 5, temperature=0)
    for prompt, completion in zip(PROMPTS[:5], greedy, strict=True):
        settings = GenerationConfig(
            max_new_tokens=16, do_sample=False, eos_token_id=EOS, pad_token_id=PAD
        )
        expected = model.generate(torch.tensor([prompt]), generation_config=settings)
        assert completion.token_ids == expected[0, len(prompt) :].tolist()


def test_first_tokens_follow_the_distribution(model):
    draws = 4000
    prompt = [3, 4, 5]
    completions = draw(model, [prompt] * draws, list(range(draws)), max_new_tokens=1)
    counts = torch.bincount(
        torch.tensor([c.token_ids[0] for c in completions]), minlength=VOCABULARY
    )
    with torch.no_grad():
        probs = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    deviation = (counts - draws * probs) / (draws * probs * (1 - probs)).sqrt()
    assert deviation.abs().max() < 4.5


def test_top_p_keeps_the_smallest_set_that_reaches_it(model):
    prompt = [3, 4, 5]
    with torch.no_grad():
        probs = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    ranked, index = probs.sort(descending=True)
    allowed = set(index[: int((ranked.cumsum(0) < 0.6).sum()) + 1].tolist())
    completions = draw(model, [prompt] * 500, list(range(500)), max_new_tokens=1, top_p=0.6)
    assert {c.token_ids[0] for c in completions} == allowed
    # The log-probabilities stay those of the policy, which verl's actor recomputes.
    for completion in completions:
        token = completion.token_ids[0]
        assert completion.log_probs[0] == pytest.approx(float(probs[token].log()), abs=1e-5)
