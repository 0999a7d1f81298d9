"""Batched sampling from a Hugging Face causal language model with a seed for every completion.

Used by the verl rollout engine `hf`, by evaluation and by the measurement of the base model, so
that all three draw from one sampler.

Sampling is inverse-CDF: token t of a completion is the first token whose cumulative probability
exceeds the t-th number of the completion's own random stream. A completion therefore depends on
its prompt and its seed alone, up to the rounding of batched matrix products.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import Cache, DynamicLayer

from lens_impl.models.prompts import Sampler, repeated_prompts

# Finished rows leave the batch when they are more than this share of it: to leave copies the cache.
IDLE_SHARE = 0.2


@dataclass(frozen=True)
class Completion:
    """Tokens of one response (end-of-text included), their log-probabilities, and its end."""

    token_ids: list[int]
    log_probs: list[float]
    finished: bool  # False: cut off at max_new_tokens


def sample(
    model,
    prompts: list[list[int]],
    seeds: list[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    eos_token_id: int,
    pad_token_id: int,
    batch_size: int = 512,
) -> list[Completion]:
    """One completion for each prompt and seed, in the given order.

    temperature 0 is greedy. log_probs are those of the distribution that was sampled
    (temperature applied, top-p not), as verl's actor recomputes them.
    """
    # Batches of like prompt length waste no padding; the order is a function of the input alone.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    completions: list[Completion | None] = [None] * len(prompts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = _sample_batch(
            model,
            [prompts[i] for i in chosen],
            [seeds[i] for i in chosen],
            max_new_tokens,
            temperature,
            top_p,
            eos_token_id,
            pad_token_id,
        )
        for i, completion in zip(chosen, batch, strict=True):
            completions[i] = completion
    return completions


class _ReservedLayer(DynamicLayer):
    """A cache layer in memory of its final size, where Hugging Face's copies all at every token.

    For layers of full attention.
    """

    def __init__(self, capacity: int):
        super().__init__()
        self.capacity = capacity

    def update(self, key_states, value_states, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._reserve([key_states[:, :, :0], value_states[:, :, :0]])
        start, end = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        for room, states in zip(self.rooms, (key_states, value_states), strict=True):
            room[:, :, start:end] = states
        self.keys, self.values = (room[:, :, :end] for room in self.rooms)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self._reserve([self.keys[indices], self.values[indices]])

    def _reserve(self, held: list[torch.Tensor]) -> None:
        length = held[0].shape[-2]
        self.rooms = [h.new_empty(*h.shape[:2], self.capacity, h.shape[-1]) for h in held]
        for room, states in zip(self.rooms, held, strict=True):
            room[:, :, :length] = states
        self.keys, self.values = (room[:, :, :length] for room in self.rooms)


@torch.inference_mode()
def _sample_batch(
    model, prompts, seeds, max_new_tokens, temperature, top_p, eos_token_id, pad_token_id
) -> list[Completion]:
    # The completions of a group share their prompt, which is read once.
    distinct = list(dict.fromkeys(map(tuple, prompts)))
    places = {prompt: place for place, prompt in enumerate(distinct)}
    rows, width, device = len(prompts), max(map(len, distinct)), model.device
    input_ids = torch.full((len(distinct), width), pad_token_id)
    attention_mask = torch.zeros((len(distinct), width), dtype=torch.long)
    for row, prompt in enumerate(distinct):
        input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
        attention_mask[row, width - len(prompt) :] = 1
    input_ids, attention_mask = input_ids.to(device), attention_mask.to(device)
    position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)
    uniforms = torch.from_numpy(
        np.stack([np.random.default_rng(seed).random(max_new_tokens) for seed in seeds])
    ).to(device)

    tokens = torch.full((rows, max_new_tokens), pad_token_id, device=device)
    log_probs = torch.zeros((rows, max_new_tokens), device=device)
    lengths = torch.full((rows,), max_new_tokens, device=device)
    finished = torch.zeros(rows, dtype=torch.bool, device=device)
    of_row = torch.tensor([places[tuple(prompt)] for prompt in prompts], device=device)
    # Which completion a row of the batch is, and whether it goes on.
    active = torch.arange(rows, device=device)
    going = torch.ones(rows, dtype=torch.bool, device=device)
    layers = model.config.num_hidden_layers
    cache = Cache(layers=[_ReservedLayer(width + max_new_tokens) for _ in range(layers)])
    for step in range(max_new_tokens):
        output = model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1].float()
        if step == 0:
            cache.batch_select_indices(of_row)
            logits, attention_mask = logits[of_row], attention_mask[of_row]
            position_ids = position_ids[of_row]
        chosen, chosen_log_probs = _choose(logits, uniforms[active, step], temperature, top_p)
        tokens[active[going], step] = chosen[going]
        log_probs[active[going], step] = chosen_log_probs[going]
        ended = going & (chosen == eos_token_id)
        lengths[active[ended]] = step + 1
        finished[active[ended]] = True
        going &= ~ended
        if not going.any():
            break
        if going.sum() < (1 - IDLE_SHARE) * len(going):
            keep = torch.nonzero(going)[:, 0]
            active, chosen, going = active[keep], chosen[keep], going[keep]
            attention_mask, position_ids = attention_mask[keep], position_ids[keep]
            cache.batch_select_indices(keep)
        input_ids = chosen[:, None]
        attention_mask = torch.cat([attention_mask, attention_mask.new_ones(len(active), 1)], 1)
        position_ids = position_ids[:, -1:] + 1
    return [
        Completion(
            tokens[row, : lengths[row]].tolist(),
            log_probs[row, : lengths[row]].tolist(),
            bool(finished[row]),
        )
        for row in range(rows)
    ]


def _choose(logits, uniforms, temperature, top_p):
    """[B, V] logits and [B] uniform numbers -> [B] tokens and their log-probabilities."""
    if temperature == 0:
        log_probs = logits.log_softmax(-1)
        chosen = logits.argmax(-1)
    else:
        log_probs = (logits / temperature).log_softmax(-1)
        probs = log_probs.exp().double()
        if top_p < 1:
            ranked, index = probs.sort(-1, descending=True)
            # A token stays when the mass ranked above it is below top_p.
            ranked[ranked.cumsum(-1) - ranked >= top_p] = 0
            probs = torch.zeros_like(probs).scatter(-1, index, ranked)
        cumulative = probs.cumsum(-1)
        chosen = torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)
        chosen = chosen[:, 0].clamp(max=logits.shape[-1] - 1)
    return chosen, log_probs.gather(-1, chosen[:, None])[:, 0]


def load_hf(folder: Path, config: dict) -> Sampler:
    torch.set_num_threads(config["threads"])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return hf_sampler(model, AutoTokenizer.from_pretrained(folder), config)


def hf_sampler(model, tokenizer, config: dict) -> Sampler:
    """Batched Hugging Face sampling: a seed decides its completion."""
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def generate(messages: Sequence, seeds: Sequence[int]) -> pd.DataFrame:
        prompts = repeated_prompts(tokenizer, messages, config["n"])
        completions = []
        for start in range(0, len(prompts), config["batch_size"]):
            chosen = slice(start, start + config["batch_size"])
            completions += sample(
                model,
                prompts[chosen],
                seeds[chosen],
                max_new_tokens=config["max_response_tokens"],
                temperature=config["temperature"],
                top_p=config["top_p"],
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=pad,
                batch_size=config["batch_size"],
            )
        texts = [
            tokenizer.decode(completion.token_ids, skip_special_tokens=True)
            for completion in completions
        ]
        return pd.DataFrame(
            {
                "response": texts,
                "length": [len(completion.token_ids) for completion in completions],
                "log_prob": [float(sum(completion.log_probs)) for completion in completions],
                "finished": [completion.finished for completion in completions],
            }
        )

    return generate
