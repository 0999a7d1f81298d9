"""The toy's base model: a small Qwen2 trained from scratch on worked solutions with misconceptions.

python -m lens_impl.models.toy tokenizer ...  its tokenizer alone, which the data rules need first
python -m lens_impl.models.toy train ...      a Hugging Face folder with its tokenizer
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from lens_impl.errors import UserError, run_cli
from lens_impl.files import read_jsonl, whole_folder
from lens_impl.identity import stable_hash

END, PAD = "<|endoftext|>", "<|pad|>"
# Pieces of text that are one token each: the toy's words, brackets and operations.
OPENINGS = tuple("\u0120$" + "(" * n for n in range(5))
OPERATIONS = ("\u0120+", "\u0120-", "\u0120*", ")+", ")-", ")*")
WORDS = ("Find", "\u0120mod", "\\boxed", *OPERATIONS, *OPENINGS)
MAX_TOKENS = 256
Example = tuple[list[int], int]  # tokens of prompt, solution and end; length of the prompt
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}" + END + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n' }}{% endif %}"
)


def make_tokenizer() -> Qwen2Tokenizer:
    """A byte-level Qwen2 tokenizer: it loses no text, and a digit is one token."""
    pieces, merges = sorted(ByteLevel.alphabet()), []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in pieces:
                pieces.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=None,
        eos_token=END,
        pad_token=PAD,
        model_max_length=MAX_TOKENS,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(config: dict, tokenizer: Qwen2Tokenizer) -> Qwen2ForCausalLM:
    """A new Qwen2 in float32. Its vocabulary is exactly the tokenizer's, as vLLM in verl needs."""
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            num_hidden_layers=config["layers"],
            num_attention_heads=config["heads"],
            num_key_value_heads=config["heads"],
            max_position_embeddings=MAX_TOKENS,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )
    generation = model.generation_config
    generation.update(do_sample=True, temperature=1.0, top_p=1.0, top_k=0)
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    return model


def encode(rows: list[dict], tokenizer: Qwen2Tokenizer) -> list[Example]:
    """Rows {problem, solution} as tokens."""
    chats = [[{"role": "user", "content": row["problem"]}] for row in rows]
    # All at once: one by one takes a fifth as long as the training itself.
    prompts = tokenizer.apply_chat_template(chats, add_generation_prompt=True, return_dict=False)
    solutions = tokenizer([row["solution"] for row in rows], add_special_tokens=False)["input_ids"]
    return [
        (prompt + solution + [tokenizer.eos_token_id], len(prompt))
        for prompt, solution in zip(prompts, solutions, strict=True)
    ]


def batches(
    examples: list[Example], batch_size: int, rng: np.random.Generator
) -> Iterator[list[Example]]:
    """One shuffled pass over the examples, in batches of similar length to save padding."""
    # Lengths are sorted within pools of eight batches only, to keep the batches random.
    pool = 8 * batch_size
    order = rng.permutation(len(examples))
    chunks = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda i: len(examples[i][0]))
        chunks += [near[i : i + batch_size] for i in range(0, len(near), batch_size)]
    for i in rng.permutation(len(chunks)):
        yield [examples[j] for j in chunks[i]]


def solution_loss(model: Qwen2ForCausalLM, batch: list[Example], pad: int) -> Tensor:
    """Scalar: mean cross-entropy in nats over the solutions' tokens, the end included."""
    width = max(len(tokens) for tokens, _ in batch)
    input_ids = torch.full((len(batch), width), pad)
    labels = torch.full((len(batch), width), -100)
    for row, (tokens, prompt_length) in enumerate(batch):
        input_ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, prompt_length : len(tokens)] = torch.tensor(tokens[prompt_length:])
    # Padding stands on the right, so the causal mask alone hides it from every token that counts.
    logits = model(input_ids=input_ids[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())


def make_optimizers(model: Qwen2ForCausalLM, config: dict) -> list[torch.optim.Optimizer]:
    """Muon for the weight matrices, AdamW for embeddings, biases and norms.

    Muon needs less than half of AdamW's updates to learn the arithmetic.
    """
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    matrix_ids = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in matrix_ids]
    return [
        torch.optim.Muon(matrices, lr=config["matrix_learning_rate"], weight_decay=0.0),
        torch.optim.AdamW(others, lr=config["learning_rate"], betas=(0.9, 0.95), weight_decay=0.0),
    ]


def train(config: dict, rows: list[dict]) -> tuple[Qwen2ForCausalLM, Qwen2Tokenizer]:
    """Pre-train on rows {problem, solution}; the same seed and thread count give the same model.

    config: seed, hidden_size, intermediate_size, layers, heads, epochs, batch_size,
    learning_rate (of AdamW), matrix_learning_rate (of Muon); both are peaks, with a linear
    warm-up over the first 5 % of the updates and a linear decay to zero.
    """
    torch.manual_seed(config["seed"])
    rng = np.random.default_rng(stable_hash("pretrain", config["seed"]))
    tokenizer = make_tokenizer()
    model = make_model(config, tokenizer).train()
    examples = encode(rows, tokenizer)
    updates = config["epochs"] * math.ceil(len(examples) / config["batch_size"])
    warm_up = max(1, updates // 20)
    optimizers = make_optimizers(model, config)
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda i: min((i + 1) / warm_up, (updates - i) / updates)
        )
        for optimizer in optimizers
    ]
    losses = []
    for _ in range(config["epochs"]):
        for batch in batches(examples, config["batch_size"], rng):
            loss = solution_loss(model, batch, tokenizer.pad_token_id)
            model.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for step in (*optimizers, *schedulers):
                step.step()
            losses.append(loss.item())
            if len(losses) % 100 == 0:
                mean = np.mean(losses[-100:])
                print(f"update {len(losses)} of {updates}: loss {mean:.3f}", flush=True)
    return model.eval(), tokenizer


def save(folder: Path, *parts: Qwen2Tokenizer | Qwen2ForCausalLM) -> None:
    """Write a Hugging Face folder, which is whole or absent."""
    with whole_folder(folder) as new:
        for part in parts:
            part.save_pretrained(new)


def tokenizer_command(arguments: argparse.Namespace) -> None:
    """`tokenizer`: write the base model's tokenizer."""
    save(arguments.out, make_tokenizer())


def train_command(arguments: argparse.Namespace) -> None:
    """`train`: pre-train the base model and write it with its tokenizer."""
    rows = read_jsonl(arguments.corpus)
    if not rows:
        raise UserError(f"{arguments.corpus} is empty. Hint: make it with lens_impl.data.toy.")
    model, tokenizer = train(arguments.config, rows)
    save(arguments.out, tokenizer, model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    tokenizer = commands.add_parser("tokenizer", help="write the base model's tokenizer")
    tokenizer.set_defaults(command=tokenizer_command)

    training = commands.add_parser("train", help="pre-train the base model")
    training.add_argument("--config", type=json.loads, required=True, help="pretrain as JSON")
    training.add_argument("--corpus", type=Path, required=True, help="jsonl of problem, solution")
    training.set_defaults(command=train_command)

    for command in (tokenizer, training):
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.command(arguments)


if __name__ == "__main__":
    run_cli(main)
