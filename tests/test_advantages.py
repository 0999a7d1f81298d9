import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_advantages import reference_advantages
from rollout_batches import batch_of, random_batch, with_groups

from lens_impl.advantages import (
    METHODS,
    RolloutBatch,
    calibrated_rewards,
    compute_advantages,
    group_kind,
    sequence_confidence,
)


def per_response(name, batch, **options):
    return compute_advantages(name, batch, **options)[:, 0].tolist()


# Hand-computed values


def test_lens_all_wrong():
    batch = batch_of([0, 0, 0, 0], [0.5, 0.6, 0.7, 0.8])
    # D = 1.6: -(.5/1.1, .6/1, .7/.9, .8/.8) / 4
    assert calibrated_rewards(batch).tolist() == pytest.approx(
        [-0.1136364, -0.15, -0.1944444, -0.25], abs=1e-6
    )
    assert per_response("lens", batch, alpha=0.25) == pytest.approx(
        [0.015846, 0.006755, -0.004356, -0.018245], abs=1e-6
    )
    assert per_response("lens_negative_only", batch) == per_response("lens", batch)
    assert per_response("lens_mixed_only", batch) == [0.0] * 4
    assert per_response("grpo", batch) == [0.0] * 4


def test_lens_mixed():
    batch = batch_of([1, 0, 0, 0], [0.8, 0.5, 0.7, 0.6])
    # D_imp = 4 * .8 = 3.2 exceeds 1.6: -(.5/2.7, .7/2.5, .6/2.6) / 4
    assert calibrated_rewards(batch).tolist() == pytest.approx(
        [1, -0.0462963, -0.07, -0.0576923], abs=1e-6
    )
    expected = [1.499746, -0.477802, -0.522603, -0.499341]
    assert per_response("lens", batch) == pytest.approx(expected, abs=2e-6)
    assert per_response("lens_mixed_only", batch) == per_response("lens", batch)
    assert per_response("lens_negative_only", batch) == per_response("grpo", batch)


def test_difficulty_readings():
    batch = batch_of([1, 0, 0, 0], [0.8, 0.5, 0.7, 0.6])
    # max_only: D = 1.6; raw: D_imp = 4 * .8**3 = 2.048, length normalised: 3.2
    for difficulty, d in [("max_only", 1.6), ("raw", 2.048), ("length_normalized", 3.2)]:
        assert calibrated_rewards(batch, difficulty).tolist() == pytest.approx(
            [1] + [-p / (d - p) / 4 for p in (0.5, 0.7, 0.6)], abs=1e-6
        )
    long = batch_of([1, 0], [0.9, 0.5], length=4096)  # .9**4096 underflows float32
    assert torch.equal(calibrated_rewards(long, "raw"), calibrated_rewards(long, "max_only"))


def test_d_imp_of_half_correct_is_below_twice_the_maximum():
    batch = batch_of([1, 1, 1, 0], [0.6, 0.6, 0.6, 0.9])
    assert calibrated_rewards(batch)[3].item() == pytest.approx(-0.9 / (1.8 - 0.9) / 4)


def test_without_scale_by_group():
    batch = batch_of([0, 0], [0.5, 0.8])
    assert calibrated_rewards(batch, scale_by_group=False).tolist() == pytest.approx(
        [-0.5 / 1.1, -1.0]
    )
    assert per_response("lens", batch, alpha=1.0, scale_by_group=False) == pytest.approx(
        [(1 - 0.5 / 1.1) / 2, -(1 - 0.5 / 1.1) / 2], abs=1e-6
    )


def test_fractional_rewards():
    batch = batch_of([0.5, 0.25], [0.5, 0.8])
    # D_imp = 2 / (.5/.5 + .25/.8) = 1.5238, 2 max = 1.6
    assert calibrated_rewards(batch).tolist() == pytest.approx(
        [0.5 - 0.5 / 2 * 0.5 / 1.1, 0.25 - 0.75 / 2]
    )


def test_grpo_by_hand():
    batch = batch_of([1, 0, 0, 0], [0.5] * 4)
    assert per_response("grpo", batch) == pytest.approx([1.499997, -0.499999, -0.499999, -0.499999])


@pytest.mark.parametrize("name", METHODS)
def test_all_correct_groups_and_groups_of_one(name):
    assert per_response(name, batch_of([1, 1, 1], [0.2, 0.5, 0.9])) == [0.0] * 3
    assert per_response(name, batch_of([1], [0.3])) == pytest.approx([1 / (1 + 1e-6)])
    assert per_response(name, batch_of([0], [0.3])) == [0.0]


@pytest.mark.parametrize("name", METHODS)
@given(st.sampled_from([0.0, 0.1, 0.7, 1.0]), st.floats(1e-3, 1), st.integers(2, 64))
@settings(deadline=None)
def test_equal_responses_give_exactly_zero(name, reward, confidence, size):
    assert per_response(name, batch_of([reward] * size, [confidence] * size)) == [0.0] * size


def test_group_kind_and_confidence():
    rewards = torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0, 0.5])
    kinds = group_kind(rewards, ["a", "b", "c", "a", "d", "c"])
    assert kinds == ["all_wrong", "all_correct", "mixed", "all_wrong", "all_correct", "mixed"]
    mask = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    log_probs = torch.tensor([[0.5, 0.125, 9.0], [0.1, 0.1, 0.1], [0.0, 1.0, 1.0]]).log()
    assert sequence_confidence(log_probs, mask).tolist() == pytest.approx([0.25, 1.0, 0.0])


# Vectorised against loops


@pytest.mark.parametrize("seed", range(60))
def test_equals_reference(seed):
    batch = random_batch(seed, fractional=seed % 3 == 0)
    cases = [(name, {}) for name in METHODS]
    cases += [("lens", {"difficulty": d, "alpha": 1.5}) for d in ("raw", "max_only")]
    cases += [(name, {"scale_by_group": False}) for name in METHODS if name.startswith("lens")]
    for name, options in cases:
        advantages = compute_advantages(name, batch, **options)
        assert advantages.dtype == torch.float32
        expected = reference_advantages(
            name,
            batch.rewards,
            batch.group_ids,
            batch.response_mask,
            batch.old_log_probs,
            **options,
        )
        np.testing.assert_allclose(advantages.numpy(), expected, atol=1e-6, rtol=1e-5)


# Properties

seeds = st.integers(0, 2**32 - 1)


@given(seeds, seeds, st.sampled_from(sorted(METHODS)))
@settings(deadline=None)
def test_order_of_samples_does_not_matter(seed, shuffle, name):
    batch = random_batch(seed)
    order = torch.from_numpy(np.random.default_rng(shuffle).permutation(len(batch.rewards)))
    torch.testing.assert_close(
        compute_advantages(name, with_groups(batch, order)),
        compute_advantages(name, batch)[order],
        atol=1e-7,
        rtol=1e-6,
    )


@given(seeds, st.lists(st.integers(1, 64), min_size=1, max_size=6))
@settings(deadline=None)
def test_groups_are_independent(seed, sizes):
    """Ragged groups: each group alone gives what it gives in the batch, and ids are only names."""
    batch = random_batch(seed, sizes)
    names = [f"uid-{group}" for group in np.asarray(batch.group_ids)]
    for name in METHODS:
        advantages = compute_advantages(name, batch)
        renamed = compute_advantages(name, with_groups(batch, group_ids=names))
        torch.testing.assert_close(renamed, advantages)
        for group in set(np.asarray(batch.group_ids).tolist()):
            rows = torch.from_numpy(np.flatnonzero(np.asarray(batch.group_ids) == group))
            alone = compute_advantages(name, with_groups(batch, rows))
            torch.testing.assert_close(alone, advantages[rows], atol=1e-7, rtol=1e-6)


@given(seeds, st.integers(1, 5), st.sampled_from(sorted(METHODS)))
@settings(deadline=None)
def test_padding_changes_nothing(seed, columns, name):
    batch = random_batch(seed)
    rows = len(batch.rewards)
    padded = RolloutBatch(
        batch.rewards,
        batch.group_ids,
        torch.cat([batch.response_mask, torch.zeros(rows, columns, dtype=torch.bool)], 1),
        torch.cat([batch.old_log_probs, torch.full((rows, columns), torch.nan)], 1),
    )
    advantages = compute_advantages(name, padded)
    torch.testing.assert_close(
        advantages[:, :-columns], compute_advantages(name, batch), atol=1e-7, rtol=1e-6
    )
    assert (advantages[~padded.response_mask] == 0).all()


@given(seeds, st.floats(-50, -0.01))
@settings(deadline=None)
def test_signs_in_mixed_groups(seed, low):
    """Section 5.1, "Handling Invariance"."""
    batch = random_batch(seed, low=low)
    mixed = torch.tensor([kind == "mixed" for kind in group_kind(batch.rewards, batch.group_ids)])
    advantages = compute_advantages("lens", batch)[:, 0]
    assert (advantages[mixed & (batch.rewards == 1)] > 0).all()
    assert (advantages[mixed & (batch.rewards == 0)] < 0).all()


@given(seeds, st.sampled_from(["length_normalized", "raw", "max_only"]), st.booleans())
@settings(deadline=None)
def test_calibrated_rewards(seed, difficulty, scale_by_group):
    batch = random_batch(seed, fractional=True)
    values = calibrated_rewards(batch, difficulty, scale_by_group=scale_by_group)
    assert (values.abs() <= 1 + 1e-6).all()
    assert (values <= batch.rewards).all()
    assert (values[batch.rewards == 1] == 1).all()
    ids = np.asarray(batch.group_ids)
    confidence = sequence_confidence(batch.old_log_probs, batch.response_mask)
    for group in set(ids.tolist()):
        wrong = torch.from_numpy(ids == group) & (batch.rewards == 0)
        ordered = values[wrong][confidence[wrong].argsort()]
        assert (ordered.diff() <= 1e-6).all()  # the more confident, the larger the penalty


@given(seeds)
@settings(deadline=None)
def test_alpha(seed):
    batch = random_batch(seed)
    mixed_only = compute_advantages("lens_mixed_only", batch)
    assert torch.equal(compute_advantages("lens", batch, alpha=0), mixed_only)
    assert torch.equal(
        compute_advantages("lens_negative_only", batch, alpha=0), compute_advantages("grpo", batch)
    )
    full, half = (compute_advantages("lens", batch, alpha=alpha) for alpha in (0.5, 0.25))
    torch.testing.assert_close(full - mixed_only, 2 * (half - mixed_only))


@given(seeds)
@settings(deadline=None)
def test_the_two_parts_add_up_to_lens(seed):
    batch = random_batch(seed)
    parts = [
        compute_advantages(name, batch)
        for name in ("lens_mixed_only", "lens_negative_only", "grpo")
    ]
    torch.testing.assert_close(
        parts[0] + parts[1] - parts[2], compute_advantages("lens", batch), atol=1e-6, rtol=1e-5
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 0.5]),
            st.lists(st.sampled_from([0.0, -1e-30, -1.0, -1e4, -math.inf]), max_size=3),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["length_normalized", "raw", "max_only"]),
)
@settings(deadline=None)
def test_finite_for_extreme_confidences(responses, difficulty):
    rewards = torch.tensor([reward for reward, _ in responses])
    mask = torch.tensor([[t < len(tokens) for t in range(3)] for _, tokens in responses])
    log_probs = torch.tensor([tokens + [0.0] * (3 - len(tokens)) for _, tokens in responses])
    batch = RolloutBatch(rewards, torch.zeros(len(rewards), dtype=torch.int64), mask, log_probs)
    assert calibrated_rewards(batch, difficulty).isfinite().all()
    for name in METHODS:
        assert compute_advantages(name, batch).isfinite().all()
    assert compute_advantages("lens", batch, difficulty=difficulty).isfinite().all()


def test_an_empty_batch():
    batch = RolloutBatch(torch.zeros(0), [], torch.zeros(0, 4).bool(), torch.zeros(0, 4))
    assert compute_advantages("lens", batch).shape == (0, 4)


# verl's own estimator


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_grpo_equals_verl(seed):
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    batch = random_batch(seed)
    last = batch.lengths - 1
    token_rewards = torch.zeros(batch.response_mask.shape)
    token_rewards[torch.arange(len(last)), last] = batch.rewards
    theirs, _ = compute_grpo_outcome_advantage(
        token_rewards, batch.response_mask.float(), np.asarray(batch.group_ids, dtype=object)
    )
    torch.testing.assert_close(compute_advantages("grpo", batch), theirs, atol=1e-6, rtol=1e-6)
