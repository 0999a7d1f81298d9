import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.reference_advantages import reference_advantages
from support.rollout_batches import batch_of, random_batch, with_groups

from lens_impl.advantages import (
    METHODS,
    RolloutBatch,
    calibrated_rewards,
    compute_advantages,
    group_kind,
    sequence_confidence,
)

# Methods whose advantages compare the responses of a group, and so are 0 where they are equal.
GROUP_RELATIVE = ("grpo", "dr_grpo", "dapo", "lens", "lens_mixed_only", "lens_negative_only")
# Every option of LENS away from its default, alone and together.
LENS_OPTIONS = [
    {"alpha": 1.5},
    {"difficulty": "raw"},
    {"difficulty": "max_only"},
    {"preference": "none"},
    {"preference": "none", "difficulty": "max_only"},
    {"preference": "policy"},
    {"preference": "length"},
    {"preference": "length", "gamma": 0.6},
    {"scale_by_group": False},
    {"max_factor": 1.2},
    {"max_factor": 4},
    {"negative_normalization": "standardize"},
    {"preference": "none", "max_factor": 3, "scale_by_group": False, "alpha": 1},
]


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


ALL_WRONG, ONE_OF_4 = [0, 0, 0, 0], [1, 0, 0, 0]
ONE_OF_16, THREE_OF_4 = [1] + [0] * 15, [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("name", "rewards", "expected"),
    [
        # mean 1/4, std (ddof 1) 1/2
        ("grpo", ONE_OF_4, [1.499997, *[-0.499999] * 3]),
        # mean 1/16, std 1/4
        ("grpo", ONE_OF_16, [3.749985, *[-0.249999] * 15]),
        ("dapo", ONE_OF_16, [3.749985, *[-0.249999] * 15]),
        ("dr_grpo", ONE_OF_4, [0.75, *[-0.25] * 3]),
        ("dr_grpo", ONE_OF_16, [0.9375, *[-0.0625] * 15]),
        # with the virtual sample: mean 1/5, std 1/sqrt(5); G = 16: mean 1/17, std 1/sqrt(17)
        ("ngrpo", ALL_WRONG, [-0.447213] * 4),
        ("ngrpo", [0] * 8, [-0.333332] * 8),
        ("ngrpo", [0] * 16, [-0.242535] * 16),
        # mean 2/5, std sqrt(.3); G = 16: mean 2/17, std sqrt((2 (15/17)^2 + 15 (2/17)^2) / 16)
        ("ngrpo", ONE_OF_4, [1.095443, *[-0.730295] * 3]),
        ("ngrpo", ONE_OF_16, [2.656837, *[-0.354245] * 15]),
        ("ngrpo", THREE_OF_4, [*[0.447213] * 3, -1.788850]),
        ("ngrpo", [1] * 4, [0.0] * 4),
        ("psr", ONE_OF_4, [1, 0, 0, 0]),
        ("psr", ONE_OF_16, [1, *[0] * 15]),
        ("nsr", ONE_OF_4, [0, -1, -1, -1]),
        ("nsr", ONE_OF_16, [0, *[-1] * 15]),
        ("w_reinforce", ONE_OF_4, [0.1, -1, -1, -1]),
        ("w_reinforce", ONE_OF_16, [0.1, *[-1] * 15]),
        # mean + delta: .15; G = 16: -.0375
        ("asym_re", ONE_OF_4, [0.85, *[-0.15] * 3]),
        ("asym_re", ONE_OF_16, [1.0375, *[0.0375] * 15]),
        ("asym_re", ALL_WRONG, [0.1] * 4),
        ("rl_zvp", ONE_OF_4, [1.499997, *[-0.499999] * 3]),
        ("rl_zvp", ONE_OF_16, [3.749985, *[-0.249999] * 15]),
    ],
)
def test_by_hand(name, rewards, expected):
    assert per_response(name, batch_of(rewards, [0.5] * len(rewards))) == pytest.approx(
        expected, abs=2e-6
    )


def test_lens_by_hand_with_16_responses():
    # D_imp = 16 * .8 = 12.8; a wrong response of .6: -(.6 / 12.2) / 16
    batch = batch_of(ONE_OF_16, [0.8] + [0.6] * 15)
    assert calibrated_rewards(batch).tolist() == pytest.approx([1] + [-0.00307377] * 15)
    assert per_response("lens", batch) == pytest.approx([3.749985] + [-0.249999] * 15, abs=2e-6)
    # All wrong: 8 of .5, 8 of .8, D = 1.6: -(.5 / 1.1, 1) / 16, apart by .0340909
    batch = batch_of([0] * 16, [0.5] * 8 + [0.8] * 8)
    expected = [0.25 * 0.0340909 / 2] * 8 + [-0.25 * 0.0340909 / 2] * 8
    assert per_response("lens", batch) == pytest.approx(expected, abs=1e-7)


def test_rl_zvp_by_hand():
    for rewards, expected in [(0.0, [-0.06, 0.0]), (1.0, [0.02, 0.08])]:
        for size in (4, 16):
            batch = batch_of([rewards] * size, [0.5] * size, length=2)
            batch = replace(batch, entropies=torch.tensor([[0.2, 0.8]]).repeat(size, 1))
            advantages = compute_advantages("rl_zvp", batch, alpha=0.1)
            for row in advantages.tolist():
                assert row == pytest.approx(expected)


def test_dapo_overlong_by_hand():
    """Of 10 tokens the last 4 are the buffer: 6 tokens cost nothing, 8 a half, 10 the whole."""
    mask = torch.arange(10) < torch.tensor([6, 8, 10])[:, None]
    batch = RolloutBatch(torch.ones(3), ["a"] * 3, mask, torch.zeros(3, 10), max_length=10)
    advantages = compute_advantages("dapo", batch, overlong_buffer=0.4)[:, 0]
    # rewards 1, .5, 0: mean .5, std .5
    assert advantages.tolist() == pytest.approx([1, 0, -1], abs=3e-6)
    advantages = compute_advantages("dapo", batch, overlong_buffer=0.4, overlong_factor=0.0)
    assert (advantages == 0).all()


def test_preferences_by_hand():
    batch = batch_of([1, 0, 0, 0], [0.8, 0.5, 0.7, 0.6], length=2)
    raw = [0.64, 0.25, 0.49, 0.36]
    # rho = 1: D = max(4 * .64, 2 * .64)
    assert calibrated_rewards(batch, preference="none").tolist() == pytest.approx(
        [1] + [-p / (2.56 - p) / 4 for p in raw[1:]]
    )
    # rho = policy: correct rate 1/4, wrong rate 3/4
    assert calibrated_rewards(batch, preference="policy", scale_by_group=False).tolist() == (
        pytest.approx([1] + [-1 / 3] * 3)
    )
    three = batch_of([1, 1, 1, 0], [0.5] * 4)
    assert calibrated_rewards(three, preference="policy").tolist() == [1, 1, 1, -0.75]
    wrong = batch_of([0, 0], [0.5, 0.8])
    assert calibrated_rewards(wrong, preference="policy").tolist() == [0, 0]
    # rho = gamma^length, two tokens: (1/2) p / (.9 - p), at most 1
    unscaled = {"preference": "length", "scale_by_group": False}
    assert calibrated_rewards(batch, gamma=0.9, **unscaled).tolist() == pytest.approx(
        [1, -0.5 / 0.4 / 2, -1, -0.6 / 0.3 / 2]
    )
    assert calibrated_rewards(batch, gamma=0.55, **unscaled).tolist() == [1, -1, -1, -1]


def test_max_factor_and_standardised_negative_groups():
    batch = batch_of([0, 0], [0.5, 0.8])
    # D = 4 * .8 = 3.2
    assert calibrated_rewards(batch, max_factor=4, scale_by_group=False).tolist() == (
        pytest.approx([-0.5 / 2.7, -0.8 / 2.4])
    )
    # Two values standardised are 1/sqrt(2) either way
    assert per_response("lens", batch, negative_normalization="standardize") == pytest.approx(
        [0.25 / math.sqrt(2), -0.25 / math.sqrt(2)], abs=1e-5
    )


@pytest.mark.parametrize("name", GROUP_RELATIVE)
def test_all_correct_groups_and_groups_of_one(name):
    assert per_response(name, batch_of([1, 1, 1], [0.2, 0.5, 0.9])) == [0.0] * 3
    assert per_response(name, batch_of([1], [0.3])) == pytest.approx([1], abs=2e-6)
    assert per_response(name, batch_of([0], [0.3])) == [0.0]


@pytest.mark.parametrize("options", LENS_OPTIONS, ids=str)
def test_all_correct_groups_are_zero_under_every_option_of_lens(options):
    assert per_response("lens", batch_of([1, 1, 1], [0.2, 0.5, 0.9]), **options) == [0.0] * 3
    assert per_response("lens", batch_of([0], [0.3]), **options) == [0.0]


@pytest.mark.parametrize("name", GROUP_RELATIVE)
@given(st.sampled_from([0.0, 0.1, 0.7, 1.0]), st.floats(1e-3, 1), st.integers(2, 64))
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


def reference(name, batch, **options):
    return reference_advantages(
        name,
        batch.rewards,
        batch.group_ids,
        batch.response_mask,
        batch.old_log_probs,
        batch.entropies,
        batch.max_length,
        **options,
    )


@pytest.fixture(scope="module")
def batches():
    return [random_batch(seed, fractional=seed % 3 == 0) for seed in range(200)]


@pytest.mark.parametrize("name", METHODS)
def test_equals_reference(name, batches):
    """200 random ragged batches, a third of them with rewards between 0 and 1."""
    for seed, batch in enumerate(batches):
        advantages = compute_advantages(name, batch)
        assert advantages.dtype == torch.float32
        difference = advantages.double().numpy() - reference(name, batch)
        assert np.abs(difference).max() < 1e-6, seed


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("lens", options) for options in LENS_OPTIONS),
        ("lens_mixed_only", {"difficulty": "raw", "max_factor": 3.0}),
        ("lens_negative_only", {"preference": "length", "gamma": 0.9, "alpha": 1}),
        ("lens_negative_only", {"negative_normalization": "standardize"}),
        ("dapo", {"overlong_buffer": 0.5, "overlong_factor": 0.7}),
        ("dapo", {"overlong_buffer": 1}),
        ("w_reinforce", {"positive_weight": 0.5}),
        ("rl_zvp", {"alpha": 0.3}),
        ("asym_re", {"delta": -0.4}),
    ],
    ids=str,
)
def test_equals_reference_under_every_option(name, options, batches):
    for batch in batches[:40]:
        advantages = compute_advantages(name, batch, **options).double().numpy()
        expected = reference(name, batch, **options)
        np.testing.assert_allclose(advantages, expected, atol=1e-6, rtol=1e-6)


# Properties

seeds = st.integers(0, 2**32 - 1)


@given(seeds, seeds, st.sampled_from(sorted(METHODS)))
def test_order_of_samples_does_not_matter(seed, shuffle, name):
    batch = random_batch(seed)
    order = torch.from_numpy(np.random.default_rng(shuffle).permutation(len(batch.rewards)))
    torch.testing.assert_close(
        compute_advantages(name, with_groups(batch, order)),
        compute_advantages(name, batch)[order],
        atol=1e-7,
        rtol=1e-6,
    )


@given(
    seeds, st.lists(st.integers(1, 64), min_size=1, max_size=4), st.sampled_from(sorted(METHODS))
)
def test_groups_are_independent(seed, sizes, name):
    """Ragged groups: each group alone gives what it gives in the batch, and ids are only names."""
    batch = random_batch(seed, sizes)
    ids = np.asarray(batch.group_ids)
    advantages = compute_advantages(name, batch)
    names = [f"uid-{group}" for group in ids]
    renamed = compute_advantages(name, with_groups(batch, group_ids=names))
    torch.testing.assert_close(renamed, advantages)
    for group in set(ids.tolist()):
        rows = torch.from_numpy(np.flatnonzero(ids == group))
        alone = compute_advantages(name, with_groups(batch, rows))
        torch.testing.assert_close(alone, advantages[rows], atol=1e-7, rtol=1e-6)


@given(seeds, st.integers(1, 5), st.sampled_from(sorted(METHODS)))
def test_padding_changes_nothing(seed, columns, name):
    batch = random_batch(seed)
    rows = len(batch.rewards)
    padded = RolloutBatch(
        batch.rewards,
        batch.group_ids,
        torch.cat([batch.response_mask, torch.zeros(rows, columns, dtype=torch.bool)], 1),
        torch.cat([batch.old_log_probs, torch.full((rows, columns), torch.nan)], 1),
        torch.cat([batch.entropies, torch.full((rows, columns), torch.nan)], 1),
    )
    advantages = compute_advantages(name, padded)
    torch.testing.assert_close(
        advantages[:, :-columns], compute_advantages(name, batch), atol=1e-7, rtol=1e-6
    )
    assert (advantages[~padded.response_mask] == 0).all()


confidence_options = st.sampled_from(
    [
        {},
        {"difficulty": "raw"},
        {"difficulty": "max_only"},
        {"preference": "none"},
        {"preference": "policy"},
        {"preference": "length"},
        {"preference": "length", "gamma": 0.5},
        {"max_factor": 3.0},
    ]
)


@given(seeds, st.floats(-50, -0.01), confidence_options)
def test_signs_in_mixed_groups(seed, low, options):
    """Section 5.1, "Handling Invariance"."""
    batch = random_batch(seed, low=low)
    mixed = torch.tensor([kind == "mixed" for kind in group_kind(batch.rewards, batch.group_ids)])
    advantages = compute_advantages("lens", batch, **options)[:, 0]
    assert (advantages[mixed & (batch.rewards == 1)] > 0).all()
    assert (advantages[mixed & (batch.rewards == 0)] < 0).all()


@given(seeds, confidence_options, st.booleans())
def test_calibrated_rewards(seed, options, scale_by_group):
    batch = random_batch(seed, fractional=True)
    values = calibrated_rewards(batch, scale_by_group=scale_by_group, **options)
    assert (values <= batch.rewards).all()
    assert (values[batch.rewards == 1] == 1).all()
    if options.get("preference") == "policy":
        assert (values > -1).all() or not scale_by_group
    else:
        wrong = values[batch.rewards == 0].abs()
        size = batch.group_size[batch.rewards == 0] if scale_by_group else 1
        assert (wrong <= 1 / size + 1e-6).all()
        assert (values.abs() <= 1).all()


@given(seeds, confidence_options)
def test_the_more_confident_the_larger_the_penalty(seed, options):
    lengths = options.get("preference") in ("none", "length")
    batch = random_batch(seed)
    if lengths:  # compare responses of one length only
        everything = torch.ones_like(batch.response_mask)
        batch = replace(batch, response_mask=everything)
    values = calibrated_rewards(batch, **options)
    ids = np.asarray(batch.group_ids)
    confidence = sequence_confidence(batch.old_log_probs, batch.response_mask)
    for group in set(ids.tolist()):
        wrong = torch.from_numpy(ids == group) & (batch.rewards == 0)
        ordered = values[wrong][confidence[wrong].argsort()]
        assert (ordered.diff() <= 1e-6).all()


@given(seeds)
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
def test_alpha_0_is_grpo_in_negative_groups(seed):
    batch = random_batch(seed)
    kinds = group_kind(batch.rewards, batch.group_ids)
    negative = torch.tensor([kind == "all_wrong" for kind in kinds])
    without = compute_advantages("lens", batch, alpha=0)[negative]
    assert torch.equal(without, compute_advantages("grpo", batch)[negative])


@given(seeds)
def test_the_two_parts_add_up_to_lens(seed):
    batch = random_batch(seed)
    parts = [
        compute_advantages(name, batch)
        for name in ("lens_mixed_only", "lens_negative_only", "grpo")
    ]
    torch.testing.assert_close(
        parts[0] + parts[1] - parts[2], compute_advantages("lens", batch), atol=1e-6, rtol=1e-5
    )


@given(seeds)
def test_the_two_signs_add_up_to_w_reinforce(seed):
    batch = random_batch(seed, fractional=True)
    parts = [compute_advantages(name, batch) for name in ("psr", "nsr")]
    assert (parts[0] >= 0).all() and (parts[1] <= 0).all()
    torch.testing.assert_close(
        0.3 * parts[0] + parts[1], compute_advantages("w_reinforce", batch, positive_weight=0.3)
    )


@given(seeds)
def test_ngrpo_never_praises_a_wrong_response(seed):
    batch = random_batch(seed)
    advantages = compute_advantages("ngrpo", batch)[:, 0]
    assert (advantages[batch.rewards == 0] < 0).all()
    assert (advantages[batch.rewards == 1] >= 0).all()


@given(seeds)
def test_rl_zvp_leaves_groups_with_variance_to_grpo(seed):
    batch = random_batch(seed)
    kinds = group_kind(batch.rewards, batch.group_ids)
    advantages, grpo = (compute_advantages(name, batch) for name in ("rl_zvp", "grpo"))
    rows = {kind: torch.tensor([k == kind for k in kinds]) for kind in ("mixed", "all_wrong")}
    assert torch.equal(advantages[rows["mixed"]], grpo[rows["mixed"]])
    # The token of the largest entropy is the one that a wrong response is not blamed for.
    wrong = advantages[rows["all_wrong"]]
    assert (wrong <= 0).all() and (wrong.amax(1) == 0).all()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 0.5]),
            st.lists(st.sampled_from([0.0, -1e-30, -1.0, -1e4, -math.inf]), max_size=3),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(LENS_OPTIONS),
)
def test_finite_for_extreme_confidences(responses, options):
    rewards = torch.tensor([reward for reward, _ in responses])
    mask = torch.tensor([[t < len(tokens) for t in range(3)] for _, tokens in responses])
    log_probs = torch.tensor([tokens + [0.0] * (3 - len(tokens)) for _, tokens in responses])
    batch = RolloutBatch(
        rewards, torch.zeros(len(rewards), dtype=torch.int64), mask, log_probs, mask.float(), 3
    )
    for name in METHODS:
        assert compute_advantages(name, batch).isfinite().all()
    assert compute_advantages("dapo", batch, overlong_buffer=0.5).isfinite().all()
    assert compute_advantages("lens", batch, **options).isfinite().all()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("length", [1, 4096])
def test_shortest_and_longest_responses(name, length):
    batch = batch_of([0, 0, 1, 0], [0.3, 0.6, 1.0, 1e-30], list("aabb"), length)
    short = batch_of([0, 0, 1, 0], [0.3, 0.6, 1.0, 1e-30], list("aabb"), 1)
    advantages = compute_advantages(name, batch)
    assert advantages.shape == (4, length) and advantages.isfinite().all()
    # Every default is length-normalised: repeating a token changes nothing.
    torch.testing.assert_close(
        advantages[:, :1], compute_advantages(name, short), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("samples", "tokens"), [(0, 4), (2, 0)])
def test_an_empty_batch(name, samples, tokens):
    nothing = torch.zeros(samples, tokens)
    batch = RolloutBatch(torch.zeros(samples), ["a"] * samples, nothing.bool(), nothing, nothing)
    assert compute_advantages(name, batch).shape == (samples, tokens)


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
