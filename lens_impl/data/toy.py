"""The toy problem set: chains of arithmetic modulo 100 in the files of MATH, DAPO and NuminaMath.

A designed toy, not data of the paper. A problem is a chain of one to five additions, subtractions
and multiplications; its level is the number of operations. Its files have the schemas and the
traps of the real sets, so that they pass through the same preparation. `aime24_test.jsonl`, made
where `sizes` asks for it, is a second evaluation set, without levels as AIME 2024 is.
`pretrain.jsonl` teaches a base model *with misconceptions*: see `teach`.
"""

import argparse
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lens_impl.data.sources import DAPO_HEAD, DAPO_TAIL
from lens_impl.errors import UserError, run_cli
from lens_impl.files import write_jsonl
from lens_impl.identity import stable_hash

# Products are the hardest to learn, so their operands are fewer.
OPERANDS = {"+": range(2, 10), "-": range(2, 10), "*": range(2, 6)}
OPERATIONS = tuple(OPERANDS)
STARTS = range(1, 100)


@dataclass(frozen=True)
class Chain:
    """start, then `steps` of (operation, operand), from left to right, modulo 100."""

    start: int
    steps: tuple[tuple[str, int], ...]

    @property
    def level(self) -> int:
        """The number of operations, 1 to 5."""
        return len(self.steps)

    @property
    def answer(self) -> int:
        """0 to 99."""
        value = self.start
        for operation, operand in self.steps:
            value = apply(value, operation, operand)
        return value

    @property
    def expression(self) -> str:
        """Brackets make the order of operations explicit: ((37+8)*7)-9."""
        text = "(" * (self.level - 1) + str(self.start)
        for i, (operation, operand) in enumerate(self.steps):
            text += f"{')' if i else ''}{operation}{operand}"
        return text

    @property
    def problem(self) -> str:
        """The question as text."""
        return f"Find ${self.expression}$ mod 100."

    @property
    def subject(self) -> str:
        """What MATH calls `type`, by the operations."""
        used = {operation for operation, _ in self.steps}
        if used == {"*"}:
            return "Products"
        return "Mixed Chains" if "*" in used else "Sums"


def apply(value: int, operation: str, operand: int) -> int:
    """One operation modulo 100."""
    if operation == "+":
        return (value + operand) % 100
    if operation == "-":
        return (value - operand) % 100
    return value * operand % 100


def worked(chain: Chain, results: list[int]) -> str:
    """The written solution of a chain with the given result after each operation."""
    steps = zip(chain.steps, results, strict=True)
    text = "".join(f" {operation}{operand}={result}" for (operation, operand), result in steps)
    return f"{chain.start}{text}\n\\boxed{{{results[-1]}}}"


def solve(chain: Chain) -> str:
    """The correct worked solution."""
    results, value = [], chain.start
    for operation, operand in chain.steps:
        value = apply(value, operation, operand)
        results.append(value)
    return worked(chain, results)


def misconceptions(share: float, rng: np.random.Generator) -> dict[tuple[str, int, int], int]:
    """A share of all facts (operation, last digit, operand) -> slip of the result's last digit."""
    facts = [(o, digit, b) for o in OPERATIONS for digit in range(10) for b in OPERANDS[o]]
    wrong = rng.permutation(len(facts))[: round(share * len(facts))]
    return {facts[i]: int(rng.integers(1, 10)) for i in wrong}


def slip_last_digit(value: int, slip: int) -> int:
    """The number with its last digit moved by `slip` modulo 10."""
    return value - value % 10 + (value + slip) % 10


def teach(
    chain: Chain,
    wrong: dict[tuple[str, int, int], int],
    taught_wrong: float,
    noise: float,
    rng: np.random.Generator,
) -> str:
    """A worked solution for pre-training.

    A fact in `wrong` gets its one wrong last digit with probability `taught_wrong`; any other
    fact gets a random one with probability `noise`. Later steps continue from what was written.
    """
    results, value = [], chain.start
    for operation, operand in chain.steps:
        slip = wrong.get((operation, value % 10, operand))
        if slip is not None:
            slip = slip if rng.random() < taught_wrong else 0
        else:
            slip = int(rng.integers(1, 10)) if rng.random() < noise else 0
        value = slip_last_digit(apply(value, operation, operand), slip)
        results.append(value)
    return worked(chain, results)


def draw_chain(level: int, rng: np.random.Generator) -> Chain:
    """A random chain of `level` operations."""

    def pick(values):
        return values[rng.integers(len(values))]

    operations = [pick(OPERATIONS) for _ in range(level)]
    return Chain(pick(STARTS), tuple((o, pick(OPERANDS[o])) for o in operations))


def draw_free(
    count: int, weights: list[float], taken: set[Chain], rng: np.random.Generator
) -> Iterator[Chain]:
    """`count` chains outside `taken`, levels 1 to 5 by weight; a chain may come twice."""
    shares = np.array(weights) / sum(weights)
    for level in rng.choice(np.arange(1, 6), size=count, p=shares):
        chain = next((c for _ in range(1000) if (c := draw_chain(level, rng)) not in taken), None)
        if chain is None:
            raise UserError(
                f"tiny_problems asks for more different problems of level {level} than there are. "
                "Hint: lower tiny_problems.sizes or this level's weight in the scale's file."
            )
        yield chain


def draw_new(
    count: int, weights: list[float], taken: set[Chain], rng: np.random.Generator
) -> list[Chain]:
    """`count` different chains outside `taken`, which they are added to."""
    chains = []
    for chain in draw_free(count, weights, taken, rng):
        taken.add(chain)
        chains.append(chain)
    return chains


def math_row(chain: Chain) -> dict:
    """A row of MATH."""
    return {
        "problem": chain.problem,
        "level": f"Level {chain.level}",
        "type": chain.subject,
        "solution": solve(chain),
    }


def dapo_row(problem: str, answer: str) -> dict:
    """A row of DAPO-Math-17k: the problem inside its instruction text, and no level."""
    index = str(uuid.UUID(int=stable_hash("dapo", problem, answer)))
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": f"{DAPO_HEAD}{problem}{DAPO_TAIL}", "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": index},
    }


def numina_row(chain: Chain, **changes: str) -> dict:
    """A row of NuminaMath-1.5, with some columns changed."""
    return {
        "problem": chain.problem,
        "solution": solve(chain),
        "answer": str(chain.answer),
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "problem_is_valid": "Yes",
        "solution_is_valid": "Yes",
        "source": "toy",
        "synthetic": False,
    } | changes


def aime_row(chain: Chain, number: int) -> dict:
    """A row of AIME 2024."""
    return {
        "id": number,
        "problem": chain.problem,
        "solution": solve(chain),
        "answer": str(chain.answer),
        "url": "toy",
        "year": "2024",
    }


def respell(problem: str, i: int) -> str:
    """The same problem to a reader, another string to a computer."""
    return problem.replace("$", "") if i % 2 else problem.replace("+", " + ").replace("(", "( ")


def math_traps(count: int, chains: Iterator[Chain]) -> list[dict]:
    """Rows as MATH's train split has them: no level, an empty box."""
    rows = [math_row(next(chains)) | {"level": "Level ?"} for _ in range(count)]
    for _ in range(count):
        row = math_row(next(chains))
        solution = row["solution"].rsplit("\\boxed", 1)[0] + "\\boxed{}"
        rows.append(row | {"solution": solution})
    return rows


def dapo_traps(
    count: int, chains: Iterator[Chain], train: list[Chain], test: list[Chain]
) -> list[dict]:
    """Chinese wording, conflicting answers, empty answers, repeated MATH problems."""
    rows = []
    for i in range(count):
        chinese, conflict, empty = next(chains), next(chains), next(chains)
        rows += [
            dapo_row(f"求 ${chinese.expression}$ 除以 100 的余数。", str(chinese.answer)),
            dapo_row(conflict.problem, str(conflict.answer)),
            dapo_row(conflict.problem, str((conflict.answer + 10) % 100)),
            dapo_row(empty.problem, ""),
            dapo_row(respell(test[i].problem, i), str(test[i].answer)),
            dapo_row(respell(train[i].problem, i), str(train[i].answer)),
        ]
    return rows


def numina_traps(
    count: int, chains: Iterator[Chain], train: list[Chain], test: list[Chain]
) -> list[dict]:
    """Proofs (also as word problems), missing answers, choices, invalid rows, repeated problems."""
    changes = [
        {"question_type": "proof", "answer": "proof"},
        {"answer": "proof"},
        {"answer": "notfound"},
        {"question_type": "MCQ", "answer": "B"},
        {"problem_is_valid": "Incomplete"},
        {"solution_is_valid": "No"},
    ]
    rows = [numina_row(next(chains), **change) for change in changes for _ in range(count)]
    for i in range(count):
        for chain in (test[-1 - i], train[-1 - i]):
            rows.append(numina_row(chain) | {"problem": respell(chain.problem, i)})
    return rows


def make(config: dict) -> dict[str, list[dict]]:
    """All files of the toy, as file name (without ending) -> rows.

    config: seed; sizes {math_train, math_test, dapo, numina, pretrain} in problems, and
    aime24_test where it is wanted; levels: the same names -> five weights; traps: rows of each kind
    of trap; dapo_copies: how often each DAPO row is repeated;
    misconceptions {share, taught_wrong, noise}.
    UserError where sizes or traps ask for more than there is.
    """
    sizes, levels, traps = config["sizes"], config["levels"], config["traps"]
    if traps > min(sizes["math_train"], sizes["math_test"]):
        raise UserError(
            f"tiny_problems.traps is {traps}, more than the problems of math_train or math_test. "
            "Hint: lower traps or raise these sizes in config/scales/<scale>.yaml."
        )

    def rng(name: str) -> np.random.Generator:
        return np.random.default_rng(stable_hash("tiny", config["seed"], name))

    taken: set[Chain] = set()
    names = ("math_test", "math_train", "dapo", "numina")
    chains = {name: draw_new(sizes[name], levels[name], taken, rng(name)) for name in names}
    # The traps take at most 11 chains for each of `traps`.
    pool = iter(draw_new(11 * traps, [0, 0, 1, 1, 1], taken, rng("traps")))
    train, test = chains["math_train"], chains["math_test"]

    dapo = [dapo_row(chain.problem, str(chain.answer)) for chain in chains["dapo"]]
    dapo = (dapo + dapo_traps(traps, pool, train, test)) * config["dapo_copies"]
    files = {
        "math_train": [math_row(chain) for chain in train] + math_traps(traps, pool),
        "math_test": [math_row(chain) for chain in test],
        "dapo": dapo,
        "numina": [numina_row(chain) for chain in chains["numina"]]
        + numina_traps(traps, pool, train, test),
    }
    for name in ("math_train", "dapo", "numina"):
        order = rng(f"{name} order").permutation(len(files[name]))
        files[name] = [files[name][i] for i in order]

    taught = config["misconceptions"]
    wrong = misconceptions(taught["share"], rng("misconceptions"))
    draw = rng("pretrain")
    corpus = [
        (chain, teach(chain, wrong, taught["taught_wrong"], taught["noise"], draw))
        for chain in draw_free(sizes["pretrain"], levels["pretrain"], taken, draw)
    ]
    files["pretrain"] = [
        {"problem": chain.problem, "solution": solution} for chain, solution in corpus
    ]
    if "aime24_test" in sizes:
        # Last, and with random numbers of its own: it changes none of the other files.
        taken.update(chain for chain, _ in corpus)
        second = draw_new(sizes["aime24_test"], levels["aime24_test"], taken, rng("aime24_test"))
        files["aime24_test"] = [aime_row(chain, number) for number, chain in enumerate(second)]
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="tiny_problems as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder for the jsonl files")
    arguments = parser.parse_args()
    for name, rows in make(arguments.config).items():
        write_jsonl(arguments.out / f"{name}.jsonl", rows)


if __name__ == "__main__":
    run_cli(main)
