"""The floor of a training step: plain PyTorch in one process. Called by step.py.

The same model, prompts, sampler, grader, loss and updates as our runs, and nothing else: no Ray, no
queue, no metrics.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lens_impl.advantages import RolloutBatch, compute_advantages
from lens_impl.grading.grader import grade_many
from lens_impl.models.prompts import prompt_ids
from lens_impl.models.sampling_hf import Completion, sample

CLIP = 0.2
PHASES = ("rollout", "reward", "old_log_prob", "update")


def log_probs(model, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[B, W - 1] log-probabilities of tokens 1 to W - 1, 0 where masked."""
    # Padding stands on the right: the causal mask hides it from every token that counts.
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0] * mask[:, 1:]


def padded(prompts: list[list[int]], done: list[Completion], pad: int) -> tuple:
    """[B, W] token ids, and the mask of the responses' tokens."""
    rows = [prompt + c.token_ids for prompt, c in zip(prompts, done, strict=True)]
    ids = torch.full((len(rows), max(map(len, rows))), pad)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, len(prompts[row]) : len(tokens)] = True
    return ids, mask


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--request", type=json.loads, required=True)
    request = parser.parse_args().request
    torch.set_num_threads(request["threads"])
    model = AutoModelForCausalLM.from_pretrained(request["model"], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(request["model"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=request["learning_rate"])
    rows = pd.read_parquet(request["train"]).sample(frac=1, random_state=0)
    group, batch, updates = request["group_size"], request["prompts"], request["updates"]
    groups, total = np.repeat(np.arange(batch), group), batch * group
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    steps = []
    for step in range(request["steps"]):
        chosen = rows.iloc[step * batch : (step + 1) * batch]
        marks = [time.perf_counter()]
        prompts = [ids for p in chosen["prompt"] for ids in [prompt_ids(tokenizer, p)] * group]
        seeds = list(range(step * total, (step + 1) * total))
        model.eval()
        done = sample(
            model, prompts, seeds, max_new_tokens=request["tokens"], batch_size=total, **ends
        )
        marks.append(time.perf_counter())
        texts = tokenizer.batch_decode([c.token_ids for c in done], skip_special_tokens=True)
        golds = [row["ground_truth"] for row in chosen["reward_model"] for _ in range(group)]
        rewards = torch.tensor([float(grade.correct) for grade in grade_many(golds, texts)])
        marks.append(time.perf_counter())
        ids, mask = padded(prompts, done, tokenizer.pad_token_id)
        parts = torch.arange(total).chunk(updates)
        with torch.no_grad():
            old = torch.cat([log_probs(model, ids[part], mask[part]) for part in parts])
        marks.append(time.perf_counter())
        values = compute_advantages("grpo", RolloutBatch(rewards, groups, mask[:, 1:], old))
        model.train()
        for part in parts:
            ratio = (log_probs(model, ids[part], mask[part]) - old[part]).exp()
            clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
            loss = -torch.minimum(ratio * values[part], clipped * values[part])
            optimizer.zero_grad()
            (loss.sum(1) / mask[part].sum(1)).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        marks.append(time.perf_counter())
        seconds = dict(zip(PHASES, np.diff(marks).tolist(), strict=True))
        seconds["step"] = marks[-1] - marks[0]
        steps.append({"tokens": int(mask.sum()), "seconds": seconds})
    Path(request["out"]).write_text(json.dumps(steps))


if __name__ == "__main__":
    main()
