import math
from dataclasses import replace

import pytest
import torch
from support.rollout_batches import batch_of

from lens_impl.advantages import RolloutBatch, compute_advantages
from lens_impl.errors import UserError


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gpro", {}, "no method 'gpro'; the methods are grpo, dr_grpo"),
        ("grpo", {"alpha": 0.25}, "grpo has no option 'alpha'; its options are .none"),
        ("lens", {"beta": 1}, "lens has no option 'beta'; its options are alpha, difficulty"),
        ("lens", {"alpha": -0.1}, "alpha must be a number of at least 0, got -0.1"),
        ("lens_negative_only", {"alpha": math.nan}, "alpha must be a number"),
        ("lens", {"alpha": "0.25"}, "alpha must be a number of at least 0, got '0.25'"),
        ("lens", {"difficulty": "max"}, "one of length_normalized, raw, max_only; got 'max'"),
        ("lens", {"preference": "size"}, "preference must be one of geometric_mean, none, policy"),
        ("lens", {"preference": "length", "gamma": 0}, "gamma must be a number above 0, got 0"),
        ("lens_mixed_only", {"max_factor": 1}, "max_factor must be a number above 1, got 1"),
        ("lens", {"max_factor": math.inf}, "max_factor must be a number above 1, got inf"),
        ("lens", {"negative_normalization": "std"}, "must be one of center, standardize"),
        ("lens_negative_only", {"difficulty": "raw"}, "has no option 'difficulty'"),
        (
            "lens",
            {"negative_share": 1},
            "must be a number of at least 0 and below 1 or null, got 1",
        ),
        ("lens", {"negative_share": -0.1}, "negative_share must be a number of at least 0"),
        ("lens", {"alpha": None}, "alpha must be a number of at least 0, got None"),
        ("lens", {"penalties": "random"}, "penalties must be one of own, shuffled, rotated"),
        ("lens", {"scale_by_group": "all"}, "must be true or false or mixed, got 'all'"),
        ("lens_mixed_only", {"negative_share": 0.1}, "has no option 'negative_share'"),
        ("dapo", {"overlong_buffer": 2}, "overlong_buffer must be a number of at least 0 and of"),
        ("dapo", {"overlong_buffer": 0.2}, "overlong_buffer is above 0, but .* no max_length"),
        ("dapo", {"overlong_factor": -1}, "overlong_factor must be a number of at least 0"),
        ("pkpo", {"k": 2.5}, "k must be a whole number of at least 1, got 2.5"),
        ("pass_at_k_training", {"k": 0}, "k must be a whole number of at least 1, got 0"),
        ("entropy_shaped", {"kappa": 1}, "kappa must be a number above 1, got 1"),
        ("reinforce_rej", {"wrong": 0.5}, "wrong must be a number of at least -1 and of at most 0"),
        ("w_reinforce", {"positive_weight": True}, "positive_weight must be a number"),
        ("rl_zvp", {"alpha": -1}, "rl_zvp: alpha must be a number of at least 0"),
        ("asym_re", {"delta": "-0.1"}, "delta must be a number, got '-0.1'"),
    ],
)
def test_wrong_options_are_refused(name, options, words):
    with pytest.raises(UserError, match=words):
        compute_advantages(name, batch_of([1, 0], [0.5, 0.5]), **options)


def test_what_a_method_needs_of_the_batch_is_asked_for():
    batch = batch_of([0, 0], [0.5, 0.5])
    with pytest.raises(UserError, match="rl_zvp: the batch has no entropies"):
        compute_advantages("rl_zvp", replace(batch, entropies=None))
    with pytest.raises(UserError, match="entropy_shaped: the batch has no entropies"):
        compute_advantages("entropy_shaped", replace(batch, entropies=None))
    with pytest.raises(UserError, match="entropies are missing"):
        compute_advantages("rent", replace(batch, entropies=None))
    with pytest.raises(UserError, match="max_length is 2, but a response has 3 tokens"):
        compute_advantages("dapo", replace(batch, max_length=2), overlong_buffer=0.5)


def test_wrong_input_is_a_value_error():
    with pytest.raises(ValueError, match="alpha"):
        compute_advantages("lens", batch_of([1, 0], [0.5, 0.5]), alpha=-1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rewards": torch.tensor([1, 0])}, "rewards must be a floating-point tensor"),
        ({"rewards": [1.0, 0.0]}, "rewards must be a floating-point tensor, got list"),
        ({"rewards": torch.zeros(2, 3)}, "rewards must have 1 dimension"),
        ({"rewards": torch.zeros(3)}, "rewards has 3 entries for 2 responses"),
        ({"rewards": torch.tensor([1.0, -1.0])}, r"rewards must lie in \[0, 1\]"),
        ({"rewards": torch.tensor([1.0, math.nan])}, r"rewards must lie in \[0, 1\]"),
        ({"group_ids": ["a"]}, "group_ids has 1 entries for 2 responses"),
        ({"response_mask": torch.ones(2, 4).bool()}, r"old_log_probs has shape \[2, 3\]"),
        ({"response_mask": torch.full((2, 3), 0.5)}, "bool or 0 and 1"),
        ({"response_mask": torch.ones(2).bool()}, r"a \[B, T\] tensor"),
        ({"old_log_probs": torch.full((2, 3), 0.5)}, "at most 0 and not nan, got 0.5"),
        ({"old_log_probs": torch.full((2, 3), math.nan)}, "at most 0 and not nan, got nan"),
        ({"entropies": torch.full((2, 3), math.nan)}, "entropies must be at least 0 and finite"),
        ({"entropies": torch.full((2, 3), -0.5)}, "entropies must be at least 0 .* got -0.5"),
        ({"entropies": torch.zeros(2, 2)}, r"entropies has shape \[2, 2\]"),
    ],
)
def test_wrong_batches_are_refused(changes, words):
    fields = {
        "rewards": torch.tensor([1.0, 0.0]),
        "group_ids": ["a", "a"],
        "response_mask": torch.ones(2, 3, dtype=torch.bool),
        "old_log_probs": torch.zeros(2, 3),
    }
    with pytest.raises(UserError, match=words):
        RolloutBatch(**(fields | changes))
