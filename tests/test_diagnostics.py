import pytest
import torch
from rollout_batches import batch_of

from lens_impl.advantages import compute_advantages
from lens_impl.diagnostics import step_diagnostics


def test_step_diagnostics():
    rewards = [1, 0, 0, 0, 1, 1]
    confidences = [0.8, 0.4, 0.5, 0.7, 0.9, 0.6]
    groups = ["mixed", "mixed", "negative", "negative", "correct", "correct"]
    batch = batch_of(rewards, confidences, groups, length=2)
    advantages = torch.tensor(
        [[1.0, 1.0], [-0.5, -0.5], [0.25, 0.25], [-0.25, 0.0], [0, 0], [0, 0]]
    )
    assert step_diagnostics(batch, advantages) == pytest.approx(
        {
            "reward": 0.5,
            "groups_all_wrong": 1 / 3,
            "groups_mixed": 1 / 3,
            "groups_all_correct": 1 / 3,
            "confidence_correct": (0.8 + 0.9 + 0.6) / 3,
            "confidence_wrong": (0.4 + 0.5 + 0.7) / 3,
            "advantage_mixed": 0.75,
            "advantage_negative": 0.1875,
            "gradient_relevant": 4 / 6,
            "response_length": 2.0,
            "tokens": 12,
        }
    )


def test_step_diagnostics_without_some_kind_of_group():
    batch = batch_of([1, 1, 0], [0.5, 0.5, 0.5], ["a", "a", "b"], length=2)
    diagnostics = step_diagnostics(batch, compute_advantages("lens", batch))
    assert diagnostics["advantage_mixed"] is None
    assert diagnostics["advantage_negative"] == 0.0
    assert diagnostics["groups_all_wrong"] == 0.5  # a share of groups, not of responses
    all_correct = step_diagnostics(batch_of([1, 1], [0.5, 0.5]), torch.zeros(2, 3))
    assert all_correct["confidence_wrong"] is None
