"""Hand-computed values; a new method adds a row to BY_HAND."""

import math
from dataclasses import replace

import pytest
import torch
from support.rollout_batches import batch_of, per_response, random_batch

from lens_impl.advantages import (
    METHODS,
    RolloutBatch,
    calibrated_rewards,
    compute_advantages,
    group_kind,
    sequence_confidence,
)


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
        assert calibrated_rewards(batch, difficulty=difficulty).tolist() == pytest.approx(
            [1] + [-p / (d - p) / 4 for p in (0.5, 0.7, 0.6)], abs=1e-6
        )
    long = batch_of([1, 0], [0.9, 0.5], length=4096)  # .9**4096 underflows float32
    assert torch.equal(
        calibrated_rewards(long, difficulty="raw"), calibrated_rewards(long, difficulty="max_only")
    )


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
TWO_OF_4 = [1, 1, 0, 0]


BY_HAND = [
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
    # one group alone is the whole batch
    ("grpo_live", ONE_OF_4, [1.499997, *[-0.499999] * 3]),
    ("grpo_live", ALL_WRONG, [0.0] * 4),
    # mean of the others: 0, 1/3; with three correct 2/3, 1
    ("rloo", ONE_OF_4, [1, *[-1 / 3] * 3]),
    ("rloo", THREE_OF_4, [*[1 / 3] * 3, -1]),
    # tokens: 3 of 12, variance 12 * 3/16 / 11
    ("reinforce_pp", ONE_OF_4, [1.658312, *[-0.552771] * 3]),
    ("reinforce_pp", ALL_WRONG, [0.0] * 4),
    ("reinforce_pp_baseline", ONE_OF_4, [1.658312, *[-0.552771] * 3]),
    ("lite_ppo", ONE_OF_4, [1.499997, *[-0.499999] * 3]),
    ("maxrl", ONE_OF_4, [2.999988, *[-0.999996] * 3]),
    ("maxrl", TWO_OF_4, [0.999998, 0.999998, -0.999998, -0.999998]),
    ("maxrl", THREE_OF_4, [*[0.333333] * 3, -0.999999]),
    ("maxrl", ALL_WRONG, [0.0] * 4),
    # k = 4, c = 1 of 16: R = 1/4, S = sqrt(3)/4; a wrong one: 3/4 - C(14, 3) / C(15, 3) = -.05
    ("pass_at_k_training", ONE_OF_16, [1.732047, *[-0.115470] * 15]),
    ("pass_at_k_training", ONE_OF_4, [0.0] * 4),  # no more responses than k
    # k = 4: C(15, 3) / C(15, 3) = 1, and others 0
    ("pkpo", ONE_OF_16, [1, *[-1 / 15] * 15]),
    ("pkpo", THREE_OF_4, [0.0] * 4),
    ("best_of_group", ONE_OF_4, [1, 0, 0, 0]),
    ("best_of_group", THREE_OF_4, [0.0] * 4),
    # std (ddof 0) sqrt(3)/4; .05 log .5 = -.034657
    ("ds_grpo", ONE_OF_4, [1.766704, *[-0.612005] * 3]),
    ("ds_grpo", ALL_WRONG, [-0.034657] * 4),
    ("ds_grpo", [1] * 4, [0.034657] * 4),
    ("reinforce_rej", ONE_OF_4, [1, -1, -1, -1]),
    ("reinforce_rej", THREE_OF_4, [1, 1, 1, -1]),
    ("reinforce_rej", ALL_WRONG, [0.0] * 4),
    ("reinforce_rej", [1] * 4, [0.0] * 4),
    # entropy .5 everywhere: + min(.2, |A| / 2)
    ("entropy_shaped", ONE_OF_4, [1.699997, *[-0.299999] * 3]),
    ("entropy_shaped", ALL_WRONG, [0.0] * 4),
    ("confidence_reward", ONE_OF_4, [0.0] * 4),
    ("rent", ONE_OF_4, [0.0] * 4),
    # all wrong, equal confidences: all penalties are the same
    ("lens", ALL_WRONG, [0.0] * 4),
    ("lens_mixed_only", ALL_WRONG, [0.0] * 4),
    # r~ = 1 and three of -(1 / 3) / 4, as D = 4 * .5: standardised as one of 4 correct
    ("lens", ONE_OF_4, [1.499997, *[-0.499999] * 3]),
    ("lens_mixed_only", ONE_OF_4, [1.499997, *[-0.499999] * 3]),
    ("lens_negative_only", ONE_OF_4, [1.499997, *[-0.499999] * 3]),
]


@pytest.mark.parametrize(("name", "rewards", "expected"), BY_HAND)
def test_by_hand(name, rewards, expected):
    """Responses that the policy gives probability 0.5 each."""
    assert per_response(name, batch_of(rewards, [0.5] * len(rewards))) == pytest.approx(
        expected, abs=2e-6
    )


def test_every_method_has_a_row():
    assert {name for name, *_ in BY_HAND} == set(METHODS)


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


def overlong(rewards, lengths, max_length, **options):
    """DAPO's advantages of one group whose responses have these lengths."""
    mask = torch.arange(max_length) < torch.tensor(lengths)[:, None]
    batch = RolloutBatch(
        torch.tensor(rewards), ["a"] * len(rewards), mask, torch.zeros(mask.shape), None, max_length
    )
    return per_response("dapo", batch, **options)


def test_dapo_overlong_by_hand():
    """DAPO's rewards are -1 and 1, so a full penalty of 1 costs half of what correctness gains."""
    # 0, -2, 1, -1: mean -.5, std sqrt(5/3)
    expected = [0.387298, -1.161893, 1.161893, -0.387298]
    rewards, lengths = [1.0, 0.0, 1.0, 0.0], [100, 100, 40, 40]
    found = overlong(rewards, lengths, 100, overlong_buffer=0.2)
    assert found == pytest.approx(expected, abs=3e-6)
    without = overlong(rewards, lengths, 100, overlong_buffer=0.2, overlong_factor=0.0)
    assert without == overlong(rewards, lengths, 100)
    # Of 10 tokens the last 4 are the buffer. 6, 8 and 10 cost 0, .5 and 1: 1, .5, 0 and -1;
    # mean 1/8, std sqrt(2.1875 / 3)
    found = overlong([1.0, 1.0, 1.0, 0.0], [6, 8, 10, 6], 10, overlong_buffer=0.4)
    expected = [1.024693, 0.439154, -0.146385, -1.317462]
    assert found == pytest.approx(expected, abs=3e-6)


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_dapo_trains_no_group_by_length_alone(reward):
    assert overlong([reward] * 4, [40, 50, 81, 60], 100, overlong_buffer=0.2) == [0.0] * 4


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


WRONG_AND_MIXED = batch_of(
    [0, 0, 0, 0, 1, 0, 0, 0], [0.5, 0.6, 0.7, 0.8] + [0.5] * 4, list("aaaabbbb")
)


@pytest.mark.parametrize("name", ["lens", "lens_negative_only"])
def test_a_dose_by_hand(name):
    """The mixed group has 1.499997 + 3 * .499999 = 2.999994, so a tenth of all is .333333.

    Without a dose the all-wrong group has .045202 (alpha .25): all is multiplied by 7.374276.
    """
    dosed = per_response(name, WRONG_AND_MIXED, negative_share=0.1)
    assert dosed[:4] == pytest.approx([0.116854, 0.049812, -0.032120, -0.134545], abs=1e-5)
    assert sum(map(abs, dosed[:4])) == pytest.approx(0.1 * sum(map(abs, dosed)), rel=1e-6)
    assert dosed[4:] == per_response(name, WRONG_AND_MIXED)[4:]
    # The same penalty for all four: .333333 / 4 each
    uniform = per_response(name, WRONG_AND_MIXED, negative_share=0.1, penalties="uniform")
    assert uniform[:4] == pytest.approx([-0.0833332] * 4, abs=1e-6)
    assert per_response(name, WRONG_AND_MIXED, negative_share=0)[:4] == [0.0] * 4


@pytest.mark.parametrize("penalties", ["own", "uniform"])
def test_a_dose_that_cannot_be_given(penalties):
    """Other groups all 0: everything is 0. All-wrong groups all 0, or none: the rest stays."""
    dose = {"negative_share": 0.1, "penalties": penalties}
    assert per_response("lens", batch_of([0, 0], [0.5, 0.8]), **dose) == [0.0, 0.0]
    assert per_response("lens", batch_of([0, 0, 1, 1], [0.5, 0.8] * 2, list("aabb")), **dose) == (
        [0.0] * 4
    )
    mixed = batch_of([1, 0], [0.5, 0.8])
    assert per_response("lens", mixed, **dose) == per_response("lens", mixed)
    equal = batch_of([0, 0, 1, 0], [0.5] * 4, list("aabb"))
    if penalties == "own":
        assert per_response("lens", equal, **dose) == per_response("lens", equal)


def test_penalties_of_others_by_hand():
    batch = batch_of([0, 0, 0, 0], [0.6, 0.5, 0.8, 0.7])
    own = [0.006755, 0.015846, -0.018245, -0.004356]
    assert per_response("lens", batch) == pytest.approx(own, abs=1e-6)
    for penalties, expected in [
        ("rotated", [-0.004356, 0.006755, 0.015846, -0.018245]),
        ("reversed", [-0.004356, -0.018245, 0.015846, 0.006755]),
        ("uniform", [-0.25] * 4),
    ]:
        found = per_response("lens", batch, penalties=penalties)
        assert found == pytest.approx(expected, abs=1e-6)
    assert per_response("lens", batch_of([0], [0.5]), penalties="uniform") == [-0.25]


def test_one_penalty_for_all_wrong_responses_is_grpo():
    """The method lens-uniform."""
    batch = random_batch(1)
    uniform = compute_advantages("lens", batch, preference="policy")
    torch.testing.assert_close(uniform, compute_advantages("grpo", batch), atol=1e-5, rtol=0)


def test_scaled_in_mixed_groups_alone():
    plain = per_response("lens", WRONG_AND_MIXED)
    scaled = per_response("lens", WRONG_AND_MIXED, scale_by_group="mixed")
    assert scaled[:4] == pytest.approx([0.063384, 0.027020, -0.017424, -0.072980], abs=1e-6)
    assert scaled[4:] == plain[4:]


MIXED_AND_WRONG = [1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grpo_live", [3, -1, -1, -1, 0, 0, 0, 0]),
        ("reinforce_pp", [2.474874, *[-0.353553] * 7]),
        ("reinforce_pp_baseline", [2.291288, *[-0.763763] * 3, 0, 0, 0, 0]),
        ("lite_ppo", [2.121314, *[-0.707105] * 3, 0, 0, 0, 0]),
    ],
)
def test_what_looks_across_groups_by_hand(name, expected):
    """A group with one correct response and an all-wrong group, one token each."""
    batch = batch_of(MIXED_AND_WRONG, [0.5] * 8, list("aaaabbbb"), length=1)
    assert per_response(name, batch) == pytest.approx(expected, abs=6e-6)


@pytest.mark.parametrize(
    ("name", "rewards", "expected"),
    [
        ("pass_at_k_training", ONE_OF_4, [0.999998, *[-0.333333] * 3]),
        ("pass_at_k_training", TWO_OF_4, [0.447212, 0.447212, -0.447212, -0.447212]),
        ("pass_at_k_training", THREE_OF_4, [0.0] * 4),
        ("pass_at_k_training", ALL_WRONG, [0.0] * 4),
        ("pkpo", ONE_OF_4, [1, *[-1 / 3] * 3]),
        ("pkpo", TWO_OF_4, [4 / 9, 4 / 9, -4 / 9, -4 / 9]),
        ("pkpo", THREE_OF_4, [*[1 / 9] * 3, -1 / 3]),
        ("pkpo", ALL_WRONG, [0.0] * 4),
    ],
)
def test_pass_at_2_by_hand(name, rewards, expected):
    batch = batch_of(rewards, [0.5] * 4)
    assert per_response(name, batch, k=2) == pytest.approx(expected, abs=2e-6)


def test_pass_at_1_is_known():
    batch = batch_of(ONE_OF_4, [0.5] * 4)
    assert per_response("pkpo", batch, k=1) == pytest.approx(per_response("rloo", batch))
    # GRPO with ddof 0
    expected = [1.732047, *[-0.577349] * 3]
    assert per_response("pass_at_k_training", batch, k=1) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        (ALL_WRONG, [-0.034657, -0.025541, -0.017834, -0.011157]),
        ([1] * 4, [0.034657, 0.025541, 0.017834, 0.011157]),
        (ONE_OF_4, [1.766704, -0.602890, -0.595183, -0.588506]),
        (TWO_OF_4, [1.034655, 1.025539, -1.017832, -1.011155]),
        (THREE_OF_4, [0.612006, 0.602890, 0.595183, -1.743204]),
    ],
)
def test_differential_smoothing_by_hand(rewards, expected):
    batch = batch_of(rewards, [0.5, 0.6, 0.7, 0.8])
    assert per_response("ds_grpo", batch) == pytest.approx(expected, abs=2e-6)


def test_rewards_without_answers_by_hand():
    for rewards in (ALL_WRONG, ONE_OF_4, [1] * 4):
        entropies = torch.tensor([0.2, 0.4, 0.6, 0.8])[:, None].repeat(1, 3)
        batch = replace(batch_of(rewards, [0.5, 0.6, 0.7, 0.8]), entropies=entropies)
        confident = [-1.161886, -0.387295, 0.387295, 1.161886]
        certain = [1.161891, 0.387297, -0.387297, -1.161891]
        assert per_response("confidence_reward", batch) == pytest.approx(confident, abs=2e-6)
        assert per_response("rent", batch) == pytest.approx(certain, abs=2e-6)


def test_shaped_by_entropy_by_hand():
    entropies = torch.tensor([[0.2, 0.8, 3.0]]).repeat(4, 1)
    batch = replace(batch_of(ONE_OF_4, [0.5] * 4), entropies=entropies)
    correct, wrong = compute_advantages("entropy_shaped", batch)[:2].tolist()
    assert correct == pytest.approx([1.58, 1.82, 2.25], abs=6e-6)
    assert wrong == pytest.approx([-0.42, -0.25, -0.25], abs=6e-6)


def test_reinforce_rej_without_a_penalty():
    batch = batch_of(ONE_OF_4, [0.5] * 4)
    assert per_response("reinforce_rej", batch, wrong=0) == [1, 0, 0, 0]
    assert per_response("reinforce_rej", batch_of([0], [0.5])) == [-1]


def test_group_kind_and_confidence():
    rewards = torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0, 0.5])
    kinds = group_kind(rewards, ["a", "b", "c", "a", "d", "c"])
    assert kinds == ["all_wrong", "all_correct", "mixed", "all_wrong", "all_correct", "mixed"]
    mask = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    log_probs = torch.tensor([[0.5, 0.125, 9.0], [0.1, 0.1, 0.1], [0.0, 1.0, 1.0]]).log()
    assert sequence_confidence(log_probs, mask).tolist() == pytest.approx([0.25, 1.0, 0.0])
