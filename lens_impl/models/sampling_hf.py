"""Batched sampling from a Hugging Face causal language model with a seed for every completion.

Used by the verl rollout engine `hf`, by evaluation and by the measurement of the base model, so
that all three draw from one sampler.

Sampling is inverse-CDF: token t of a completion is the first token whose cumulative probability
exceeds the t-th number of the completion's own random stream. A completion therefore depends on
its prompt and its seed alone, up to the rounding of batched matrix products.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import Cache, DynamicLayer

from lens_impl.models.prompts import Sampler, repeated_prompts

# Finished rows leave the batch once they exceed this share of it, since leaving copies the cache.
IDLE_SHARE = 0.2


@dataclass(frozen=True)
class Completion:
    """Tokens of one response (end-of-text included), their log-probabilities, and its end."""

    token_ids: list[int]
    log_probs: list[float]
    finished: bool  # False: cut off at max_new_tokens


def sample(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    eos_token_id: int,
    pad_token_id: int,
    batch_size: int = 512,
) -> list[Completion]:
    """One completion per prompt and seed, in the given order.

    temperature 0 is greedy. log_probs are those of the tempered policy before top-p, as verl's
    actor recomputes them.
    """
    # Batches of similar prompt length save padding; the order depends on the input alone.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    completions: dict[int, Completion] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = _sample_batch(
            model,
            [prompts[i] for i in chosen],
            _uniforms([seeds[i] for i in chosen], max_new_tokens).to(model.device),
            partial(_choose, temperature=temperature, top_p=top_p),
            eos_token_id,
            pad_token_id,
        )
        completions.update(zip(chosen, batch, strict=True))
    return [completions[i] for i in range(len(prompts))]


def _uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """[B, count] float64 in [0, 1): each row a random stream of its own seed."""
    return torch.from_numpy(np.stack([np.random.default_rng(seed).random(count) for seed in seeds]))


class _ReservedLayer(DynamicLayer):
    """A cache layer in memory of its final size; Hugging Face's own copies all of it per token.

    For layers of full attention.
    """

    def __init__(self, capacity: int):
        super().__init__()
        self.capacity = capacity

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._reserve([key_states[:, :, :0], value_states[:, :, :0]])
        start, end = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        for room, states in zip(self.rooms, (key_states, value_states), strict=True):
            room[:, :, start:end] = states
        self.keys, self.values = (room[:, :, :end] for room in self.rooms)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self._reserve([self.keys[indices], self.values[indices]])

    def _reserve(self, present: list[Tensor]) -> None:
        length = present[0].shape[-2]
        self.rooms = [
            states.new_empty(*states.shape[:2], self.capacity, states.shape[-1])
            for states in present
        ]
        for room, states in zip(self.rooms, present, strict=True):
            room[:, :, :length] = states
        self.keys, self.values = (room[:, :, :length] for room in self.rooms)


@dataclass
class _Rows:
    """The sequences in the model's batch: R rows of T tokens so far."""

    model: PreTrainedModel
    cache: Cache
    attention_mask: Tensor  # [R, T] int64
    position_ids: Tensor  # [R, 1] int64, of the last token

    @classmethod
    def read(
        cls, model: PreTrainedModel, prompts: list[tuple[int, ...]], new_tokens: int, pad: int
    ) -> tuple["_Rows", Tensor]:
        """Rows that have read their prompts, with room for new tokens; next logits [R, V]."""
        width = max(map(len, prompts))
        input_ids = torch.full((len(prompts), width), pad)
        attention_mask = torch.zeros((len(prompts), width), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
            attention_mask[row, width - len(prompt) :] = 1
        layers = range(model.config.num_hidden_layers)
        cache = Cache(layers=[_ReservedLayer(width + new_tokens) for _ in layers])
        attention_mask = attention_mask.to(model.device)
        position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        rows = cls(model, cache, attention_mask, position_ids)
        logits = rows._forward(input_ids.to(model.device))
        rows.position_ids = position_ids[:, -1:]
        return rows, logits

    def append(self, tokens: Tensor) -> Tensor:
        """Add one token per row, tokens [R]; next logits [R, V]."""
        more = self.attention_mask.new_ones(len(tokens), 1)
        self.attention_mask = torch.cat([self.attention_mask, more], 1)
        self.position_ids = self.position_ids + 1
        return self._forward(tokens[:, None])

    def keep(self, rows: Tensor) -> None:
        """Make the batch of these rows [R'] int64, which may repeat."""
        self.cache.batch_select_indices(rows)
        self.attention_mask = self.attention_mask[rows]
        self.position_ids = self.position_ids[rows]

    def _forward(self, input_ids: Tensor) -> Tensor:
        output = self.model(
            input_ids=input_ids,
            attention_mask=self.attention_mask,
            position_ids=self.position_ids,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()


@torch.inference_mode()
def _sample_batch(
    model: PreTrainedModel,
    prompts: list[list[int]],
    uniforms: Tensor,
    choose: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    eos_token_id: int,
    pad_token_id: int,
) -> list[Completion]:
    """One completion per prompt. uniforms: [B, max_new_tokens]; choose: see _choose."""
    count, max_new_tokens = uniforms.shape
    tokens = torch.full((count, max_new_tokens), pad_token_id, device=model.device)
    log_probs = torch.zeros((count, max_new_tokens), device=model.device)
    lengths = torch.full((count,), max_new_tokens, device=model.device)
    # The completions of a group share their prompt, which the model reads once.
    distinct = {prompt: place for place, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
    rows, logits = _Rows.read(model, list(distinct), max_new_tokens, pad_token_id)
    shared = torch.tensor([distinct[tuple(prompt)] for prompt in prompts], device=model.device)
    rows.keep(shared)
    logits = logits[shared]
    # Which completion a row of the batch is, and whether it is still growing.
    completion = torch.arange(count, device=model.device)
    growing = torch.ones(count, dtype=torch.bool, device=model.device)
    for step in range(max_new_tokens):
        chosen, chosen_log_probs = choose(logits, uniforms[completion, step])
        tokens[completion[growing], step] = chosen[growing]
        log_probs[completion[growing], step] = chosen_log_probs[growing]
        ended = growing & (chosen == eos_token_id)
        lengths[completion[ended]] = step + 1
        growing &= ~ended
        if not growing.any() or step + 1 == max_new_tokens:
            break
        if growing.sum() < (1 - IDLE_SHARE) * len(growing):
            kept = torch.nonzero(growing)[:, 0]
            completion, chosen, growing = completion[kept], chosen[kept], growing[kept]
            rows.keep(kept)
        logits = rows.append(chosen)
    return [
        Completion(
            tokens[i, : lengths[i]].tolist(),
            log_probs[i, : lengths[i]].tolist(),
            finished=bool(tokens[i, lengths[i] - 1] == eos_token_id),
        )
        for i in range(count)
    ]


def _choose(
    logits: Tensor, uniforms: Tensor, temperature: float, top_p: float
) -> tuple[Tensor, Tensor]:
    """Logits [R, V] and uniform numbers [R] -> tokens [R] and their log-probabilities [R]."""
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
    """The sampler of a model folder, in float32 on `config["threads"]` CPU threads."""
    torch.set_num_threads(config["threads"])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return hf_sampler(model, AutoTokenizer.from_pretrained(folder), config)


def hf_sampler(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: dict) -> Sampler:
    """A sampler in which a seed decides its completion.

    config: n, batch_size, max_response_tokens, temperature, top_p.
    """
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def generate(messages: Sequence, seeds: Sequence[int]) -> pd.DataFrame:
        prompts = repeated_prompts(tokenizer, messages, config["n"])
        completions: list[Completion] = []
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
