"""A training step of TRL's GRPOTrainer. Called by step.py with the Python of .venv-trl.

The same model, prompts, group size, lengths, loss and updates as our runs, float32 on the CPU. The
reward compares the box as text, which costs nothing: graders are measured elsewhere.
"""

import argparse
import json
import re
import time
from collections import defaultdict
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer


def reward(completions: list, answer: list, **kwargs) -> list[float]:
    texts = [completion[0]["content"] for completion in completions]
    boxes = [re.findall(r"\\boxed\{([^}]*)\}", text) for text in texts]
    return [float(box[-1:] == [gold]) for box, gold in zip(boxes, answer, strict=True)]


class TimedTrainer(GRPOTrainer):
    """Keeps the seconds spent in the parts of a generation batch, and its tokens, in `spent`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.spent: dict[str, float] = defaultdict(float)
        self.generating = False

    def _timed(self, name: str, method, *args, **kwargs):
        started = time.perf_counter()
        result = method(*args, **kwargs)
        self.spent[name] += time.perf_counter() - started
        return result

    def _prepare_inputs(self, *args, **kwargs):
        return self._timed("prepare", super()._prepare_inputs, *args, **kwargs)

    def _generate_and_score_completions(self, *args, **kwargs):
        self.generating = True
        output = super()._generate_and_score_completions(*args, **kwargs)
        self.generating = False
        self.spent["tokens"] += int(output["completion_mask"].sum())
        return output

    def _generate(self, *args, **kwargs):
        return self._timed("rollout", super()._generate, *args, **kwargs)

    def _calculate_rewards(self, *args, **kwargs):
        return self._timed("reward", super()._calculate_rewards, *args, **kwargs)

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        # The update calls it too, and is timed as a whole.
        name = "old_log_prob" if self.generating else "forward of the update"
        return self._timed(name, super()._get_per_token_logps_and_entropies, *args, **kwargs)


class Marks(TrainerCallback):
    """The parts of each generation batch, at the end of its last update."""

    def __init__(self, updates: int):
        self.updates = updates
        self.steps: list[dict] = []
        self.trainer: TimedTrainer  # set once it is made: it is made with its callbacks

    def on_train_begin(self, *args, **kwargs):
        self.started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.updates:
            return
        now, spent = time.perf_counter(), self.trainer.spent
        seconds = {name: spent[name] for name in ("rollout", "reward", "old_log_prob")}
        seconds["step"] = now - self.started
        seconds["update"] = seconds["step"] - spent["prepare"]
        self.steps.append({"tokens": spent["tokens"], "seconds": seconds})
        spent.clear()
        self.started = now


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--request", type=json.loads, required=True)
    request = parser.parse_args().request
    torch.set_num_threads(request["threads"])
    rows = pd.read_parquet(request["train"]).sample(frac=1, random_state=0)
    data = Dataset.from_list(
        [
            {"prompt": [dict(m) for m in prompt], "answer": str(gold["ground_truth"])}
            for prompt, gold in zip(rows["prompt"], rows["reward_model"], strict=True)
        ]
    )
    updates, responses = request["updates"], request["prompts"] * request["group_size"]
    config = GRPOConfig(
        output_dir=str(Path(request["out"]).parent / "trl"),
        per_device_train_batch_size=responses // updates,
        gradient_accumulation_steps=1,
        steps_per_generation=updates,
        num_generations=request["group_size"],
        max_completion_length=request["tokens"],
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        beta=0.0,
        epsilon=0.2,
        loss_type="grpo",
        learning_rate=request["learning_rate"],
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        max_steps=updates * request["steps"],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        model_init_kwargs={"dtype": "float32"},
        seed=0,
    )
    marks = Marks(updates)
    trainer = TimedTrainer(
        model=request["model"],
        reward_funcs=reward,
        args=config,
        train_dataset=data,
        callbacks=[marks],
    )
    marks.trainer = trainer
    trainer.train()
    Path(request["out"]).write_text(json.dumps(marks.steps))


if __name__ == "__main__":
    main()
