"""A tiny training step: our verl run, TRL's GRPOTrainer, and a plain PyTorch loop as the floor.

    python benchmarks/step.py        needs results/tiny, of `make reproduce`, and `make venv-trl`

All train the same model on the same prompts: 32 x 16 responses of at most 64 tokens per step, four
updates, float32. The first step of each is left out. Each gets one thread, as in the workflow,
where two runs train at once, then two. TRL's reward compares texts, where ours and the floor's is
the grader. The floor runs first and last, to show whether the machine slowed down.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from common import ROOT, Goal, Table, command, train, write

from lens_impl.errors import UserError, run_cli
from lens_impl.experiments.configuration import load
from lens_impl.files import read_jsonl

THREADS = (1, 2)
PHASES = ("rollout", "reward", "old_log_prob", "update")
TRL = ROOT / ".venv-trl" / "bin" / "python"


def summary(steps: list[dict]) -> dict[str, float]:
    """Medians per step: seconds by phase and of the rest (overhead), tokens of the responses."""
    steps = steps[1:]
    found = {name: median(step["seconds"].get(name, 0.0) for step in steps) for name in PHASES}
    found["step"] = median(step["seconds"]["step"] for step in steps)
    found["overhead"] = found["step"] - sum(found[name] for name in PHASES)
    return found | {"tokens": median(step["tokens"] for step in steps)}


def other(python: Path | str, script: str, request: dict, threads: int) -> dict[str, float]:
    environment = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    given = json.dumps(request | {"threads": threads})
    path = Path(__file__).with_name(script)
    command(python, path, "--request", given, environment=environment)
    return summary(json.loads(Path(request["out"]).read_text()))


def measure(results: Path, steps: int, trl: Path) -> dict[tuple[str, int], dict[str, float]]:
    """(way, threads) -> what summary() says of it."""
    config = load("tiny", ROOT)
    trained = config["train"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = {
            "model": str(results / "models" / "tiny"),
            "train": str(results / "data" / "math-dapo.parquet"),
            "out": str(folder / "steps.json"),
            "learning_rate": config["models"]["tiny"]["learning_rate"],
            "group_size": trained["group_size"],
            "prompts": trained["prompts_per_rollout"],
            "updates": trained["prompts_per_rollout"] // trained["prompts_per_update"],
            "tokens": trained["max_response_tokens"],
            "steps": steps,
        }
        schedule: dict = {"steps": steps, "validate_every": steps, "checkpoint_every": steps}
        schedule |= {"validation": {"n": 1, "problems": 4}, "dump_every": 0}
        found = {}
        for threads in THREADS:
            found["plain loop", threads] = other(sys.executable, "step_plain.py", request, threads)
            checkpoints = train(results, folder / str(threads), schedule, threads)
            found["ours (verl)", threads] = summary(read_jsonl(checkpoints / "metrics.jsonl"))
            found["TRL", threads] = other(trl, "step_trl.py", request, threads)
        found["plain loop again", 1] = other(sys.executable, "step_plain.py", request, 1)
    return found


def speed(times: dict[str, float], phase: str) -> str:
    return f"{times['tokens'] / times[phase]:,.0f}" if times[phase] else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "tiny")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--trl", type=Path, default=TRL, help="Python of TRL's environment")
    arguments = parser.parse_args()
    if not arguments.trl.exists():
        raise UserError(f"{arguments.trl} does not exist. Hint: make venv-trl")
    found = measure(arguments.results.resolve(), arguments.steps, arguments.trl)
    speeds = {kind: times["tokens"] / times["step"] for kind, times in found.items()}
    goals = [goal for threads in THREADS for goal in goals_of(speeds, threads)]
    rows = {f"{way}, {threads} thread(s)": times for (way, threads), times in found.items()}
    columns = (*PHASES, "overhead", "step")
    seconds = [
        [kind, *(f"{times[name]:.2f}" for name in columns), f"{times['tokens']:,.0f}"]
        for kind, times in rows.items()
    ]
    by_phase = [
        [kind, *(speed(times, name) for name in (*PHASES, "step"))] for kind, times in rows.items()
    ]
    tables = [
        Table("Seconds per step", ["way", *columns, "tokens"], seconds),
        Table("Tokens per second", ["way", *PHASES, "step"], by_phase),
    ]
    write("step", __doc__.split("\n\n")[-1].strip(), goals, tables)


def goals_of(speeds: dict[tuple[str, int], float], threads: int) -> list[Goal]:
    ours, trl, floor = (speeds[way, threads] for way in ("ours (verl)", "TRL", "plain loop"))
    return [
        Goal(
            f"training step on the CPU, 512 responses, {threads} thread(s), against TRL",
            "faster",
            ours > trl,
            f"{ours:,.0f} tokens/s",
            peer=f"{trl:,.0f} tokens/s",
            ratio=f"{ours / trl:.2f} x its speed",
        ),
        Goal(
            "the same, against a plain PyTorch loop",
            "at most 2 x its time",
            floor / ours <= 2,
            f"{ours:,.0f} tokens/s",
            floor=f"{floor:,.0f} tokens/s",
            ratio=f"{floor / ours:.2f}",
        ),
    ]


if __name__ == "__main__":
    run_cli(main)
