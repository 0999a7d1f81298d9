"""The paper's theory, checked by autograd on policies whose outcomes can all be counted.

Sections 4.1 to 4.3 and appendices B and C. A policy here is autoregressive over three tokens, at
most three tokens long, with a softmax over features of the prefix: its outcomes are the 15
sequences, of different lengths, and its parameters are shared by all of them and by all questions,
as a language model's are. `proof()` tests every statement on such policies:

    python -m lens_impl.theory                # prints the table
    from lens_impl.theory import proof        # in a notebook: a DataFrame

Everything is float64. z = pi / (D rho) must lie below 1 at wrong outcomes, or equation 8 has no
value. The paper's own D = 1 / (number of correct outcomes) does not ensure it: a policy that gives
a wrong outcome more than D has an infinite loss, which is why section 5.1 overestimates D.

Slips of the paper that the checks made plain:
- Appendix B.2, w'(z): its "D log(1 - z)" is log(1 - z).
- Appendix C, preference as the policy itself: 1 / (D - 1) is the odds c / (1 - c) of the correct
  rate c, not the rate.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lens_impl import lazy_torch as torch
from lens_impl.text import grid

TOKENS, LONGEST, FEATURES = 3, 3, 6
END = 0  # the token that ends a sequence
TOLERANCE = 1e-9


def weight(z: torch.Tensor | np.ndarray) -> Any:
    """w(z) = log(1 / (1 - z)) / z - 1 for 0 <= z < 1 (equation 13); 0 at z = 0.

    z: of any shape, a tensor for proofs or an array for figures; the result is of the same kind.
    """
    where, log1p = (np.where, np.log1p) if isinstance(z, np.ndarray) else (torch.where, torch.log1p)
    small = z < 1e-4
    safe = where(small, 0.5, z)
    series = z / 2 + z**2 / 3 + z**3 / 4
    return where(small, series, -log1p(-safe) / safe - 1)


def difficulty(p_star: torch.Tensor, preference: torch.Tensor | float = 1.0) -> torch.Tensor:
    """[Q] D(q) = (sum_o p*(q, o) rho(q, o))^-1 over outcomes [Q, O] (equations 5 and 21)."""
    return 1 / (p_star * preference).sum(-1)


def calibrated_reward(
    rewards: torch.Tensor,
    policy: torch.Tensor,
    difficulty: torch.Tensor,
    preference: torch.Tensor | float = 1.0,
) -> torch.Tensor:
    """r - (1 - r) pi / (D rho - pi) (equation 10; with a preference, equation 23)."""
    return rewards - (1 - rewards) * policy / (difficulty * preference - policy)


def log_likelihood(
    rewards: torch.Tensor,
    log_policy: torch.Tensor,
    difficulty: torch.Tensor,
    preference: torch.Tensor | float = 1.0,
) -> torch.Tensor:
    """r log pi + (1 - r) log(1 - pi / (D rho)), the terms of equations 8 and 22."""
    z = log_policy.exp() / (difficulty * preference)
    return rewards * log_policy + (1 - rewards) * torch.log1p(-z)


def value(
    policy: torch.Tensor, p_star: torch.Tensor, difficulty: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """J_+ and J_- (equations 12a and 12b), policy and p* [Q, O], each question equally likely."""
    positive = (policy * p_star).sum(-1).mean()
    z = policy / difficulty[:, None]
    return positive, (policy * weight(z) * (1 - p_star)).sum(-1).mean()


@dataclass(frozen=True)
class Outcomes:
    """All sequences of the toy language, and the features of their prefixes for Q questions."""

    sequences: tuple[tuple[int, ...], ...]
    features: torch.Tensor  # [Q, prefixes, TOKENS, FEATURES]
    steps: torch.Tensor  # [O, LONGEST] index of (prefix, token) in the flat log-softmax, or -1

    @property
    def lengths(self) -> torch.Tensor:
        return torch.tensor([len(s) for s in self.sequences], dtype=torch.float64)

    def log_policy(self, parameters: torch.Tensor) -> torch.Tensor:
        """[Q, O] log pi_theta(o | q) for parameters [FEATURES]."""
        tokens = torch.log_softmax(self.features @ parameters, dim=-1).flatten(1)
        chosen = tokens[:, self.steps.clamp(min=0)]
        return torch.where(self.steps >= 0, chosen, 0.0).sum(-1)


def outcomes(questions: int, seed: int) -> Outcomes:
    """The toy language with random features."""
    generator = torch.Generator().manual_seed(seed)
    going_on = [t for t in range(TOKENS) if t != END]
    prefixes = [p for n in range(LONGEST) for p in itertools.product(going_on, repeat=n)]
    index = {prefix: i for i, prefix in enumerate(prefixes)}
    sequences = [(*p, END) for p in prefixes]
    sequences += [(*p, t) for p in prefixes if len(p) == LONGEST - 1 for t in going_on]
    steps = torch.full((len(sequences), LONGEST), -1)
    for i, sequence in enumerate(sequences):
        for t, token in enumerate(sequence):
            steps[i, t] = index[sequence[:t]] * TOKENS + token
    shape = (questions, len(prefixes), TOKENS, FEATURES)
    features = torch.randn(shape, generator=generator, dtype=torch.float64)
    return Outcomes(tuple(sequences), features, steps)


@dataclass(frozen=True)
class Case:
    """Questions with known answers and a policy that is defined by its parameters."""

    outcomes: Outcomes
    parameters: torch.Tensor  # [FEATURES]
    p_star: torch.Tensor  # [Q, O], probability that the outcome is correct
    difficulty: torch.Tensor  # [Q], above every pi of a wrong outcome

    @property
    def questions(self) -> int:
        return len(self.p_star)

    def policy(self, parameters: torch.Tensor) -> torch.Tensor:
        return self.outcomes.log_policy(parameters).exp()

    def gradient(self, objective: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """[FEATURES] gradient by autograd of objective(parameters) at the case's parameters."""
        parameters = self.parameters.clone().requires_grad_()
        return torch.autograd.grad(objective(parameters), parameters)[0]

    def score(self) -> torch.Tensor:
        """[Q, O, FEATURES] grad log pi of every outcome, each by autograd."""
        return torch.autograd.functional.jacobian(self.outcomes.log_policy, self.parameters)


def random_case(seed: int, questions: int = 3, fractional: bool = False) -> Case:
    """A random case; D is 1.5 times the largest probability, or (5) where that is larger."""
    generator = torch.Generator().manual_seed(1000 + seed)
    language = outcomes(questions, seed)
    parameters = 0.5 * torch.randn(FEATURES, generator=generator, dtype=torch.float64)
    size = (questions, len(language.sequences))
    p_star = torch.rand(size, generator=generator, dtype=torch.float64)
    if not fractional:
        p_star = (p_star < 0.3).double()
        p_star[:, 1] = 1.0
    largest = language.log_policy(parameters).exp().amax(1)
    d = torch.maximum(difficulty(p_star), 1.5 * largest)
    return Case(language, parameters, p_star, d)


def theorem_1(case: Case, seed: int, samples: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Autograd gradient of the MLE loss on a data set (eq. 8), and Theorem 1's (eq. 9).

    The data come from the uniform distribution: Theorem 1 holds whatever collected them.
    """
    return _gradients_on_a_sample(
        case, seed, samples, case.difficulty, torch.ones_like(case.p_star)
    )


def equation_23(case: Case, seed: int, samples: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """The same with a random preference function (eq. 22 and eq. 23)."""
    generator = torch.Generator().manual_seed(seed + 1)
    preference = 0.2 + torch.rand(case.p_star.shape, generator=generator, dtype=torch.float64)
    enough = 1.5 * (case.policy(case.parameters) / preference).amax(1)
    d = torch.maximum(difficulty(case.p_star, preference), enough)
    return _gradients_on_a_sample(case, seed, samples, d, preference)


def _gradients_on_a_sample(
    case: Case, seed: int, samples: int, difficulty: torch.Tensor, preference: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    question = torch.randint(case.questions, (samples,), generator=generator)
    outcome = torch.randint(case.p_star.shape[1], (samples,), generator=generator)
    rewards = torch.bernoulli(case.p_star[question, outcome], generator=generator)
    difficulty, preference = difficulty[question], preference[question, outcome]

    def loss(parameters: torch.Tensor) -> torch.Tensor:
        chosen = case.outcomes.log_policy(parameters)[question, outcome]
        return -log_likelihood(rewards, chosen, difficulty, preference).mean()

    policy = case.policy(case.parameters)[question, outcome]
    calibrated = calibrated_reward(rewards, policy, difficulty, preference)
    expected = -(calibrated[:, None] * case.score()[question, outcome]).mean(0)
    return case.gradient(loss), expected


def theorem_2(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of J_MLE (eq. 11 to 13), and the on-policy gradient of the likelihood (eq. 15)."""

    def j_mle(parameters: torch.Tensor) -> torch.Tensor:
        positive, negative = value(case.policy(parameters), case.p_star, case.difficulty)
        return positive - negative

    expected = expected_gradient(case, case.policy(case.parameters), case.difficulty)
    return case.gradient(j_mle), expected


def negative_part(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of J_- (eq. 12b), and equation 18."""

    def j_minus(parameters: torch.Tensor) -> torch.Tensor:
        return value(case.policy(parameters), case.p_star, case.difficulty)[1]

    policy = case.policy(case.parameters)
    z = policy / case.difficulty[:, None]
    terms = policy * (1 - case.p_star) * z / (1 - z)
    expected = (terms[..., None] * case.score()).sum(1).mean(0)
    return case.gradient(j_minus), expected


def expected_gradient(
    case: Case, collected: torch.Tensor, difficulty: torch.Tensor
) -> torch.Tensor:
    """Gradient of the population log-likelihood on data from `collected` [Q, O], by Theorem 1."""
    policy = case.policy(case.parameters)
    # Linear in r, so the expectation of r takes its place.
    terms = collected * calibrated_reward(case.p_star, policy, difficulty[:, None])
    return (terms[..., None] * case.score()).sum(1).mean(0)


def stationary_point(case: Case, collected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Population gradient where p* = pi* / D (appendix B.1), and 0.

    The truth is made from the policy, with a D above every probability; the data are collected by
    any policy. Every single conditional expectation is 0, not only their sum.
    """
    policy = case.policy(case.parameters)
    d = 1.25 * policy.amax(1)
    well_specified = Case(case.outcomes, case.parameters, policy / d[:, None], d)
    gradient = expected_gradient(well_specified, collected, d)
    terms = calibrated_reward(well_specified.p_star, policy, d[:, None])
    found = torch.cat([gradient, terms.flatten()])
    return found, torch.zeros_like(found)


def difficulty_of_the_optimal_policy(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """D sum_o p* (eq. 4 and 5), and 1: D p* is a policy."""
    total = (difficulty(case.p_star)[:, None] * case.p_star).sum(1)
    return total, torch.ones_like(total)


def uniform_weights(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Penalties of wrong outcomes with rho = the policy itself (appendix C), times 1 - c, and c.

    c is the correct rate of the policy, and D = 1 / c its difficulty under this preference (21):
    every wrong outcome has the same penalty c / (1 - c).
    """
    policy = case.policy(case.parameters)
    correct = (policy * case.p_star).sum(1, keepdim=True)
    d = difficulty(case.p_star, policy)[:, None]
    penalty = -calibrated_reward(torch.zeros_like(policy), policy, d, policy)
    return penalty * (1 - correct), correct.expand_as(policy)


def length_preference(
    lengths: torch.Tensor, confidence: float, gamma: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Penalties [N] with rho = gamma^length and D = 1 (eq. 23), and appendix C's approximation.

    confidence: geometric-mean probability below gamma. Both are (1 / length) times the same factor
    as gamma / confidence tends to 1; for long responses of another confidence the exact penalty is
    far smaller.
    """
    log_policy = lengths * math.log(confidence)
    exact = 1 / torch.expm1(lengths * math.log(gamma) - log_policy)
    return exact, confidence / (gamma - confidence) / lengths


def proof(cases: int = 10) -> pd.DataFrame:
    """One row per statement: place, statement, largest deviation over `cases`, whether it holds."""
    binary = [random_case(seed) for seed in range(cases)]
    both = [*binary, *(random_case(seed, fractional=True) for seed in range(cases))]
    generator = torch.Generator().manual_seed(0)
    other = [
        torch.rand(case.p_star.shape, generator=generator, dtype=torch.float64) for case in both
    ]
    collected = [x / x.sum(1, keepdim=True) for x in other]
    z = torch.linspace(0.001, 0.999, 999, dtype=torch.float64).requires_grad_()
    slope = torch.autograd.grad(weight(z).sum(), z)[0]
    z = z.detach()
    statements = {
        ("eq. 4, 5", "D p* sums to 1: it is a policy"): [
            difficulty_of_the_optimal_policy(case) for case in both
        ],
        ("eq. 8, 9 (Theorem 1)", "gradient of the MLE loss = calibrated policy gradient"): [
            theorem_1(case, seed) for seed, case in enumerate(both)
        ],
        ("eq. 11-13, 15 (Theorem 2)", "gradient of J_MLE = on-policy MLE gradient"): [
            theorem_2(case) for case in both
        ],
        ("eq. 18", "gradient of J_- = confidence-weighted penalty"): [
            negative_part(case) for case in both
        ],
        ("appendix B.1", "p* = pi* / D is stationary, term by term"): [
            stationary_point(case, mu) for case, mu in zip(both, collected, strict=True)
        ],
        ("eq. 13", "w(z) + z w'(z) = z / (1 - z)"): [(weight(z) + z * slope, z / (1 - z))],
        ("eq. 13", "w(z) / z -> 1/2 as z -> 0"): [
            (weight(x := torch.tensor([1e-12, 1e-9])) / x, torch.full((2,), 0.5))
        ],
        ("eq. 22, 23", "gradient with a preference function"): [
            equation_23(case, seed) for seed, case in enumerate(both)
        ],
        ("appendix C", "rho = policy: uniform weights c / (1 - c)"): [
            uniform_weights(case) for case in both
        ],
    }
    rows = []
    for (place, statement), pairs in statements.items():
        deviation = max(float((left - right).abs().max()) for left, right in pairs)
        rows.append([place, statement, len(pairs), deviation, deviation < TOLERANCE])
    return pd.DataFrame(rows, columns=["place", "statement", "cases", "largest deviation", "holds"])


def main() -> None:
    table = proof()
    cells = [
        [row[0], row[1], str(row[2]), f"{row[3]:.1e}", "yes" if row[4] else "NO"]
        for row in table.itertuples(index=False)
    ]
    print(grid(list(table.columns), cells))


if __name__ == "__main__":
    main()
