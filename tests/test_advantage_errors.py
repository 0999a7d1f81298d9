import math

import pytest
import torch
from rollout_batches import batch_of

from lens_impl.advantages import RolloutBatch, compute_advantages
from lens_impl.errors import UserError


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gpro", {}, "no method 'gpro'; the methods are grpo, lens"),
        ("grpo", {"alpha": 0.25}, "grpo has no option 'alpha'; its options are .none"),
        ("lens", {"beta": 1}, "lens has no option 'beta'; its options are alpha, difficulty"),
        ("lens", {"alpha": -0.1}, "alpha must be a number of at least 0, got -0.1"),
        ("lens_negative_only", {"alpha": math.nan}, "alpha must be a number"),
        ("lens", {"alpha": "0.25"}, "alpha must be a number of at least 0, got '0.25'"),
        ("lens", {"difficulty": "max"}, "one of length_normalized, raw, max_only; got 'max'"),
        ("lens", {"preference": "size"}, "preference must be one of geometric_mean; got 'size'"),
    ],
)
def test_wrong_options_are_refused(name, options, words):
    with pytest.raises(UserError, match=words):
        compute_advantages(name, batch_of([1, 0], [0.5, 0.5]), **options)


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
