"""How fast the grader is, compared with a plain loop over math_verify and with verl's own reward.

    LENS_REAL_DATA=FOLDER python benchmarks/grading_throughput.py --kind repeated

Pairs as in an evaluation of 5,000 MATH test problems with 16 samples: a worked solution with
another box at its end. Three sets of answers:

- repeated: a problem is solved with a probability from Beta(0.6, 0.6), its wrong answers come from
  a few favourites (geometric), as samples of one model do;
- distinct: no (gold, answer) pair comes twice for a problem; the answers are those of other
  problems of the same form (integers for integers), once each;
- training: a rollout batch of 2,048 responses of 14,000 characters (about 4,096 tokens), every
  third one cut off before its box; the grader alone.

The plain loop and verl's reward take too long for all pairs and get a random part of them, half of
it before and half after the grader, so that other load slows all of them equally. The grader starts
cold: no worker, empty cache.
"""

import argparse
import json
import os
import random
import re
import time
from pathlib import Path

import numpy as np
from common import Goal, Table, write

from lens_impl.errors import UserError, run_cli
from lens_impl.grading.grader import PLAIN_INTEGER, grade_many

SAMPLES = 16
# Kind -> times that it is to be faster than the plain loop.
GOALS = {"repeated": 5, "distinct": 1.8}  # times faster than a plain loop
KINDS = (*GOALS, "training")


def problems(folder: Path) -> list[dict]:
    lines = (folder / "math_test_5000.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def respond(solution: str, answer: str) -> str:
    """The solution as running text, and an answer in a box."""
    text = re.sub(r"\\boxed|\\fbox", "", solution)
    return f"{text}\nThe final answer is $\\boxed{{{answer}}}$."


def answers(rows: list[dict], repeated: bool, seed: int) -> list[list[str]]:
    """SAMPLES answers for each problem."""
    rng, draw = np.random.default_rng(seed), random.Random(seed)
    golds = [row["answer"] for row in rows]
    integers = sorted({gold for gold in golds if PLAIN_INTEGER.fullmatch(gold)})
    others = sorted(set(golds) - set(integers))
    result = []
    for gold in golds:
        pool = integers if PLAIN_INTEGER.fullmatch(gold) else others
        wrong = [answer for answer in draw.sample(pool, SAMPLES) if answer != gold][: SAMPLES - 1]
        if repeated:
            solved = rng.random(SAMPLES) < rng.beta(0.6, 0.6)
            favourites = np.minimum(rng.geometric(0.4, SAMPLES), len(wrong)) - 1
            chosen = [gold if s else wrong[f] for s, f in zip(solved, favourites, strict=True)]
        else:
            chosen = [gold, *wrong]
        result.append(chosen)
    return result


def plain_loop(pairs: list[tuple[str, str]]) -> None:
    from math_verify import parse, verify

    for gold, response in pairs:
        verify(parse(rf"\boxed{{{gold}}}"), parse(response))


def verl_reward(pairs: list[tuple[str, str]]) -> None:
    from verl.utils.reward_score.math_verify import compute_score

    for gold, response in pairs:
        compute_score(response, gold)


def seconds(call, *arguments) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def rollout_batch(rows: list[dict], seed: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    pairs = []
    for n in range(2048):
        row = draw.choice(rows)
        text = " ".join(draw.choice(rows)["solution"] for _ in range(40))[:14_000]
        text = re.sub(r"\\boxed|\\fbox", "", text)
        pairs.append((row["answer"], text if n % 3 == 0 else respond(text, row["answer"])))
    return pairs


def measure(repeated: bool, rows: list[dict], part: int, seed: int) -> dict[str, tuple[int, float]]:
    """Way -> pairs it was given, and its seconds per pair."""
    pairs = [
        (row["answer"], respond(row["solution"], answer))
        for row, chosen in zip(rows, answers(rows, repeated, seed), strict=True)
        for answer in chosen
    ]
    chosen = random.Random(seed).sample(pairs, part)
    halves = chosen[: part // 2], chosen[part // 2 :]
    spent = {"plain loop": 0.0, "verl's reward": 0.0}
    others = {"plain loop": plain_loop, "verl's reward": verl_reward}
    for name, call in others.items():
        call(pairs[:3])  # imports and processes, outside of the measured time
        spent[name] += seconds(call, halves[0])
    golds, responses = zip(*pairs, strict=True)
    found = {"grade_many": (len(pairs), seconds(grade_many, golds, responses) / len(pairs))}
    for name, call in others.items():
        spent[name] += seconds(call, halves[1])
        found[name] = part, spent[name] / part
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--problems", type=int, default=5000)
    parser.add_argument("--part", type=int, default=4000, help="pairs of the slow ways")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kind = arguments.kind
    if "LENS_REAL_DATA" not in os.environ:
        raise UserError(
            "LENS_REAL_DATA is not set, but must name a folder with math_test_5000.jsonl: one JSON "
            "object a line with problem, solution and answer of MATH's 5,000 test problems."
        )
    rows = problems(Path(os.environ["LENS_REAL_DATA"]))[: arguments.problems]
    if kind == "training":
        golds, responses = zip(*rollout_batch(rows, arguments.seed), strict=True)
        each = seconds(grade_many, golds, responses) / len(golds)
        found, goals = {"grade_many": (len(golds), each)}, []
    else:
        found = measure(kind == "repeated", rows, arguments.part, arguments.seed)
        goals = [goal(kind, found)]
    _, ours = found["grade_many"]
    lines = [
        [name, f"{pairs:,}", f"{1e3 * each:.2f}", f"{each / ours:.1f}"]
        for name, (pairs, each) in found.items()
    ]
    tables = [Table("Pairs", ["way", "pairs", "ms per pair", "times ours"], lines)]
    write(f"grading_{kind}", __doc__.split("\n\n", 2)[2].strip(), goals, tables)


def goal(kind: str, found: dict[str, tuple[int, float]]) -> Goal:
    ours, loop = found["grade_many"][1], found["plain loop"][1]
    return Goal(
        f"grading, {kind} answers, against a plain loop over math_verify",
        f"at least {GOALS[kind]} x faster",
        loop / ours >= GOALS[kind],
        f"{1e3 * ours:.2f} ms per pair",
        peer=f"{1e3 * loop:.2f} ms per pair",
        ratio=f"{loop / ours:.1f} x faster",
    )


if __name__ == "__main__":
    run_cli(main)
