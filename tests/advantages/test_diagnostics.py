from dataclasses import replace

import numpy as np
import pytest
import torch
from support.reference_advantages import reference
from support.rollout_batches import batch_of, random_batch

from lens_impl.advantages import METHODS, RolloutBatch, compute_advantages, group_kind
from lens_impl.advantages.diagnostics import calibration_error, step_diagnostics


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
            "confidence_gap": (0.8 + 0.9 + 0.6 - 0.4 - 0.5 - 0.7) / 3,
            # .2, .4, .5, .1, and .6 with .7 (a little below it in float32): .7 - .4
            "calibration_error": 1.5 / 6,
            "entropy": 0.5,
            "advantage_mixed": 0.75,
            "advantage_negative": 0.1875,
            # sums of |advantage| by response: 1.5 mixed, .375 negative
            "advantage_mass_mixed": 0.8,
            "advantage_mass_all_wrong": 0.2,
            "advantage_mass_all_correct": 0.0,
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
    assert all_correct["confidence_wrong"] is None and all_correct["confidence_gap"] is None
    assert all_correct["advantage_mass_mixed"] is None  # no advantage at all


def test_calibration_error():
    confidence = torch.tensor([0.0, 0.05, 0.32, 0.38, 0.95, 1.0])
    rewards = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    # bins: {0, .05} against 1, {.32, .38} against 1, {.95, 1} against 2
    assert calibration_error(confidence, rewards) == pytest.approx((0.95 + 0.3 + 0.05) / 6)
    assert calibration_error(torch.ones(3), torch.ones(3)) == 0.0
    assert calibration_error(torch.ones(3), torch.zeros(3)) == 1.0
    assert calibration_error(torch.ones(0), torch.ones(0)) is None


@pytest.mark.parametrize("name", METHODS)
def test_where_the_advantages_of_every_method_are(name):
    """Against shares that are counted from the advantages of the plain loops."""
    batch = random_batch(3)
    diagnostics = step_diagnostics(batch, compute_advantages(name, batch))
    of_responses = np.abs(reference(name, batch)).sum(1) / batch.lengths.numpy()
    kinds = np.array(group_kind(batch.rewards, batch.group_ids))
    for kind in ("mixed", "all_wrong", "all_correct"):
        share = of_responses[kinds == kind].sum() / of_responses.sum()
        assert diagnostics[f"advantage_mass_{kind}"] == pytest.approx(share, rel=1e-5)


def test_entropy_is_the_mean_over_responses_of_their_mean():
    mask = torch.tensor([[True, False, False], [True, True, True]])
    entropies = torch.tensor([[2.0, torch.nan, torch.nan], [0.0, 1.0, 2.0]])
    batch = RolloutBatch(torch.zeros(2), ["a", "a"], mask, torch.zeros(2, 3), entropies)
    assert step_diagnostics(batch, torch.zeros(2, 3))["entropy"] == pytest.approx(1.5)
    with pytest.raises(ValueError, match="entropies are missing"):
        step_diagnostics(replace(batch, entropies=None), torch.zeros(2, 3))
