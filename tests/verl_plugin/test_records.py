"""What the trainer writes per step."""

import json

import numpy as np
import pandas as pd
import torch
from tensordict import TensorDict

from lens_impl.advantages import RolloutBatch
from lens_impl.models.toy import make_tokenizer
from lens_impl.verl_plugin.nested import jagged
from lens_impl.verl_plugin.records import (
    metrics_line,
    phase_seconds,
    rollout_dump,
    sampled_groups,
    validation_counts,
)

VERL = {
    "actor/pg_clipfrac": np.float32(0.25),
    "actor/grad_norm": torch.tensor(2.0),
    "actor/pg_loss": 0.5,
    "actor/lr": 1e-6,
}


def test_a_line_is_json_in_the_order_that_notebooks_show():
    line = metrics_line(3, {"reward": torch.tensor(0.5)}, VERL, 8, {"step": 1.23456})
    assert json.loads(json.dumps(line)) == line
    assert list(line.items()) == [
        ("step", 3),
        ("reward", 0.5),
        ("groups_sampled", 8),
        ("groups_dropped", 0),
        ("clip_fraction", 0.25),
        ("grad_norm", 2.0),
        ("loss", 0.5),
        ("learning_rate", 1e-6),
        ("validation_accuracy", None),
        ("seconds", {"step": 1.2346}),
    ]
    validated = metrics_line(3, {}, VERL | {"validation/accuracy": 0.75}, 8, {})
    assert validated["validation_accuracy"] == 0.75


def test_seconds_of_the_phases_that_ran():
    assert phase_seconds({"gen": 1.0, "step": 2.0, "ref": 3.0}) == {"rollout": 1.0, "step": 2.0}


def test_groups_are_trained_on_dropped_or_left_over():
    assert sampled_groups({}, 8) == {"groups_sampled": 8, "groups_dropped": 0}
    filtered = {
        "training/filter_groups/evicted_samples": 5.0,
        "training/filter_groups/discarded_surplus_samples": 2.0,
    }
    assert sampled_groups(filtered, 8) == {"groups_sampled": 15, "groups_dropped": 5}


def test_validation_counts_per_problem():
    samples = pd.DataFrame(
        {"problem_id": ["b", "a", "b", "a", "b"], "level": [5, 1, 5, 1, 5]}
        | {"reward": [1.0, 0.0, 1.0, 1.0, 0.0]}
    )
    assert validation_counts(samples, 7).to_dict("records") == [
        {"step": 7, "problem_id": "a", "level": 1, "n": 2, "correct": 1},
        {"step": 7, "problem_id": "b", "level": 5, "n": 3, "correct": 2},
    ]


def test_a_dump_has_one_number_per_token_and_the_text():
    tokenizer = make_tokenizer()
    texts = ["\\boxed{7}", "12"]
    responses = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in texts]
    lengths = [len(tokens) for tokens in responses]
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    log_probs = -torch.arange(float(mask.numel())).view(mask.shape)
    rows = TensorDict({"responses": jagged(responses), "index": torch.tensor([4, 2])}, batch_size=2)
    rollout = RolloutBatch(torch.tensor([1.0, 0.0]), ["p", "q"], mask, log_probs, -log_probs)
    infos = [{"index": i, "problem_id": f"number {i}", "level": i} for i in range(6)]
    dump = rollout_dump(rows, rollout, mask.float(), infos, tokenizer)
    assert dump["response"].tolist() == texts
    assert dump["group"].tolist() == ["p", "q"]
    assert dump["problem_id"].tolist() == ["number 4", "number 2"]
    assert dump["level"].tolist() == [4, 2] and dump["reward"].tolist() == [1.0, 0.0]
    for row, length in enumerate(lengths):
        assert dump["old_log_probs"][row] == log_probs[row, :length].tolist()
        assert dump["entropies"][row] == (-log_probs)[row, :length].tolist()
        assert dump["advantages"][row] == [1.0] * length
