"""The paper's theorems, numerically; and that the checks can fail."""

import numpy as np
import pytest
import torch

from lens_impl import theory

CASES = [
    theory.random_case(seed, fractional=fractional) for seed in range(5) for fractional in (0, 1)
]


def close(pair, tolerance=1e-10):
    left, right = pair
    assert left.shape == right.shape
    return bool((left - right).abs().max() < tolerance)


def test_every_statement_holds():
    table = theory.proof(cases=5)
    assert table["holds"].all(), table.to_string()
    assert {"eq. 8, 9 (Theorem 1)", "eq. 11-13, 15 (Theorem 2)"} <= set(table["place"])
    assert (table["largest deviation"] < 1e-9).all()


def test_the_policies_are_policies_with_every_outcome_counted():
    for case in CASES:
        total = case.policy(case.parameters).sum(1)
        assert torch.allclose(total, torch.ones_like(total), atol=1e-14)
        assert len(set(case.outcomes.sequences)) == 15
        assert set(case.outcomes.lengths.tolist()) == {1, 2, 3}


@pytest.mark.parametrize("statement", [theory.theorem_2, theory.negative_part])
def test_gradients_are_not_zero_and_a_wrong_difficulty_is_seen(statement):
    """The equalities are not of zeros, and do not hold whatever is put in."""
    for case in CASES:
        autograd, formula = statement(case)
        assert autograd.norm() > 1e-5
        other = theory.Case(case.outcomes, case.parameters, case.p_star, 1.1 * case.difficulty)
        assert not close((autograd, statement(other)[1]), 1e-9)


def test_theorem_1_holds_off_policy_and_theorem_2_does_not():
    case = CASES[0]
    assert close(theory.theorem_1(case, seed=3))
    uniform = torch.full_like(case.p_star, 1 / case.p_star.shape[1])
    off_policy = theory.expected_gradient(case, uniform, case.difficulty)
    assert not close((theory.theorem_2(case)[0], off_policy), 1e-6)


def test_p_star_is_stationary_only_where_the_model_is_well_specified():
    for case in CASES:
        policy = case.policy(case.parameters)
        assert close(theory.stationary_point(case, policy))
        assert theory.expected_gradient(case, policy, case.difficulty).norm() > 1e-5


def test_the_weight_of_arrays_and_tensors():
    z = np.linspace(0, 0.999, 1000)
    np.testing.assert_allclose(theory.weight(z), theory.weight(torch.from_numpy(z)), rtol=1e-10)


def test_limits_of_the_weight():
    z = torch.tensor([0.0, 1e-15, 1e-8, 0.5, 1 - 1e-15], dtype=torch.float64)
    expected = [0.0, 5e-16, 5e-9, 2 * np.log(2) - 1, 33.5]
    assert theory.weight(z).tolist() == pytest.approx(expected, rel=1e-2)
    assert theory.weight(torch.tensor([0.5], dtype=torch.float64)).item() == pytest.approx(
        2 * np.log(2) - 1, abs=1e-15
    )
    assert theory.weight(torch.tensor(1.0)).isinf()
    grid = torch.linspace(0, 0.9999, 10_000, dtype=torch.float64)
    assert (theory.weight(grid).diff() > 0).all()


def test_weight_where_series_and_formula_meet():
    near = torch.tensor([9.999e-5, 1.0001e-4], dtype=torch.float64)
    assert theory.weight(near).diff().item() == pytest.approx(1e-8, rel=1e-3)


def test_without_a_preference_equation_23_is_theorem_1():
    case = CASES[1]
    rewards, policy = case.p_star, case.policy(case.parameters)
    d = case.difficulty[:, None]
    one = torch.ones_like(policy)
    assert torch.equal(
        theory.calibrated_reward(rewards, policy, d, one),
        theory.calibrated_reward(rewards, policy, d),
    )
    assert close(theory.equation_23(case, seed=5))


def test_length_preference_is_its_approximation_near_gamma():
    lengths = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    exact, approximate = theory.length_preference(lengths, confidence=0.9 - 1e-7, gamma=0.9)
    assert torch.allclose(exact, approximate, rtol=1e-4)
    exact, approximate = theory.length_preference(lengths, confidence=0.5, gamma=0.9)
    assert exact[0] == approximate[0]  # one token: no approximation
    assert exact[2] < 1e-20 < approximate[2]


def test_the_calibrated_reward_of_lens_is_the_theorys():
    """Without the heuristics: raw probabilities, and D from all correct outcomes (eq. 10, 14)."""
    from lens_impl.advantages import RolloutBatch, calibrated_rewards

    case = CASES[0]
    policy = case.policy(case.parameters)[0]
    rewards = (case.p_star[0] > 0).double()
    lengths = case.outcomes.lengths
    mask = torch.arange(3) < lengths[:, None]
    log_probs = (policy.log() / lengths)[:, None].expand(-1, 3)
    batch = RolloutBatch(rewards, [0] * len(rewards), mask, log_probs)
    ours = calibrated_rewards(batch, preference="none", scale_by_group=False)
    # Equation 14 on the sequences as they stand in the batch, each once
    d = torch.maximum(1 / (rewards / policy).mean(), 2 * policy.max())
    assert torch.allclose(ours.double(), theory.calibrated_reward(rewards, policy, d), atol=1e-7)


def test_the_command_prints_the_table(capsys):
    theory.main()
    printed = capsys.readouterr().out
    assert "Theorem 1" in printed and "NO" not in printed
