"""Properties that hold for every method, and those of single ones."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.reference_advantages import OPTIONS
from support.rollout_batches import batch_of, per_response, random_batch, with_groups

from lens_impl.advantages import (
    METHODS,
    RolloutBatch,
    calibrated_rewards,
    compute_advantages,
    group_kind,
    sequence_confidence,
)
from lens_impl.advantages.diagnostics import step_diagnostics

# Methods whose advantages compare the responses of a group, and so are 0 where they are equal.
GROUP_RELATIVE = ("grpo", "dr_grpo", "dapo", "lens", "lens_mixed_only", "lens_negative_only")

# Methods with statistics of the whole batch; those in WHITENED count tokens.
ACROSS_GROUPS = ("grpo_live", "reinforce_pp", "reinforce_pp_baseline", "lite_ppo")
WHITENED = ("reinforce_pp", "reinforce_pp_baseline")

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", GROUP_RELATIVE)
def test_all_correct_groups_and_groups_of_one(name):
    assert per_response(name, batch_of([1, 1, 1], [0.2, 0.5, 0.9])) == [0.0] * 3
    assert per_response(name, batch_of([1], [0.3])) == pytest.approx([1], abs=2e-6)
    assert per_response(name, batch_of([0], [0.3])) == [0.0]


@pytest.mark.parametrize("options", OPTIONS["lens"], ids=str)
def test_all_correct_groups_are_zero_under_every_option_of_lens(options):
    assert per_response("lens", batch_of([1, 1, 1], [0.2, 0.5, 0.9]), **options) == [0.0] * 3
    if options.get("penalties") != "uniform":
        assert per_response("lens", batch_of([0], [0.3]), **options) == [0.0]


@pytest.mark.parametrize("name", GROUP_RELATIVE)
@given(st.sampled_from([0.0, 0.1, 0.7, 1.0]), st.floats(1e-3, 1), st.integers(2, 64))
def test_equal_responses_give_exactly_zero(name, reward, confidence, size):
    assert per_response(name, batch_of([reward] * size, [confidence] * size)) == [0.0] * size


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
    seeds,
    st.lists(st.integers(1, 64), min_size=1, max_size=4),
    st.sampled_from(sorted(METHODS.keys() - set(ACROSS_GROUPS))),
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


NO_DOSE = {"negative_share": None, "alpha": 1.0}
doses = st.fixed_dictionaries(
    {
        "negative_share": st.floats(0, 0.95),
        "penalties": st.sampled_from(["own", "shuffled", "rotated", "reversed", "uniform"]),
        "negative_normalization": st.sampled_from(["center", "standardize"]),
    }
)


@given(seeds, doses, st.sampled_from(["lens", "lens_negative_only"]))
def test_all_wrong_groups_carry_their_share(seed, options, name):
    batch = random_batch(seed)
    advantages = compute_advantages(name, batch, **options)
    assert advantages.isfinite().all()
    of_kind = step_diagnostics(batch, advantages)
    without = step_diagnostics(batch, compute_advantages(name, batch, **options | NO_DOSE))
    if (without["advantage_mass_all_wrong"] or 0) in (0, 1):  # nothing on one of the two sides
        assert (of_kind["advantage_mass_all_wrong"] or 0) == 0
    else:
        share = pytest.approx(options["negative_share"], rel=1e-5)
        assert of_kind["advantage_mass_all_wrong"] == share


@given(seeds, st.sampled_from(["shuffled", "rotated", "reversed"]), st.booleans())
def test_controls_give_a_groups_own_advantages_to_others(seed, penalties, standardized):
    batch = random_batch(seed)
    normalization = {"negative_normalization": "standardize" if standardized else "center"}
    own = compute_advantages("lens", batch, **normalization)[:, 0]
    others = compute_advantages("lens", batch, **normalization, penalties=penalties)[:, 0]
    kinds = np.array(group_kind(batch.rewards, batch.group_ids))
    ids = np.asarray(batch.group_ids)
    for group in set(ids.tolist()):
        rows = torch.from_numpy(ids == group)
        assert torch.equal(own[rows].sort().values, others[rows].sort().values)
    kept = torch.from_numpy(kinds != "all_wrong")
    assert torch.equal(own[kept], others[kept])


@given(seeds, seeds)
def test_the_shuffle_depends_on_the_confidences_of_the_group_alone(seed, shuffle):
    """Neither on ids and order of the rows nor on other groups."""
    batch = random_batch(seed)
    shuffled = compute_advantages("lens", batch, penalties="shuffled")
    order = torch.from_numpy(np.random.default_rng(shuffle).permutation(len(batch.rewards)))
    moved = with_groups(batch, order, [f"uid-{shuffle}-{group}" for group in batch.group_ids])
    found = compute_advantages("lens", moved, penalties="shuffled")
    torch.testing.assert_close(found, shuffled[order], atol=1e-7, rtol=1e-6)
    some = torch.from_numpy(np.flatnonzero(np.asarray(batch.group_ids) == batch.group_ids[0]))
    alone = compute_advantages("lens", with_groups(batch, some), penalties="shuffled")
    torch.testing.assert_close(alone, shuffled[some], atol=1e-7, rtol=1e-6)


def test_the_shuffle_breaks_the_order():
    batch = random_batch(0, [16] * 200)
    batch = replace(batch, rewards=torch.zeros(len(batch.rewards)))
    own = compute_advantages("lens", batch)[:, 0]
    for penalties, low, high in [("shuffled", -0.06, 0.06), ("reversed", -1, -0.5)]:
        others = compute_advantages("lens", batch, penalties=penalties)[:, 0]
        assert low < torch.corrcoef(torch.stack([own, others]))[0, 1] < high


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
    st.sampled_from(OPTIONS["lens"]),
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
    if name in WHITENED:  # ddof 1 of the number of tokens
        return
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
