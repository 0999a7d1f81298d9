"""Train the smoke scale on a GPU with each engine and record the outcome: `make gpu-check`.

For each installed engine: a real verl run (FSDP2, bf16, packed sequences) on CUDA, its advantages
computed again on the CPU from the rollouts that it kept, tokens per second by phase, and the
largest GPU memory. The result is appended to docs/verified.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from lens_impl.advantages import RolloutBatch, compute_advantages
from lens_impl.advantages.batch import padded
from lens_impl.errors import UserError, run_cli
from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import Run
from lens_impl.experiments.settings import training_settings
from lens_impl.files import ROOT, read_jsonl
from lens_impl.provenance import git_state, versions
from lens_impl.text import grid

STEPS = 6
PHASES = ("rollout", "old_log_prob", "update")
SCHEDULE = {"steps": STEPS, "validate_every": 3, "validation": {"n": 2, "problems": 10}}
SCHEDULE |= {"checkpoint_every": STEPS, "dump_every": 1}


def call(*command: object) -> None:
    subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, check=True)


def prepare(folder: Path, config: dict) -> None:
    """Data and base model of the smoke scale."""
    raw = folder / "raw"
    call("lens_impl.data.toy", "--config", json.dumps(config["tiny_problems"]), "--out", raw)
    sizes = json.dumps(config["data"]["mixes"]["math-dapo"])
    mix: tuple = (
        "--mix",
        "math-dapo",
        "--sizes",
        sizes,
        "--evaluation-sets",
        '["math"]',
        "--seed",
        0,
    )
    mix += ("--languages", '["en"]', "--report", folder / "mix.report.json")
    mix += ("--out-md", folder / "mix.card.md")
    call("lens_impl.data.prepare", "mix", *mix, "--raw", raw, "--out", folder / "mix.parquet")
    evaluation: tuple = ("--set", "math", "--raw", raw, "--out", folder / "eval.parquet")
    evaluation += ("--report", folder / "eval.report.json")
    call("lens_impl.data.prepare", "evaluation", *evaluation)
    pretrain = json.dumps(config["models"]["tiny"]["pretrain"])
    model = ("--corpus", raw / "pretrain.jsonl", "--out", folder / "model")
    call("lens_impl.models.toy", "train", "--config", pretrain, *model)


def train(folder: Path, config: dict, engine: str) -> tuple[Path, int]:
    """(checkpoint folder, largest GPU memory in MiB) of one run."""
    run = Run("tiny", "math-dapo", "lens", 1)
    settings = training_settings(config, run) | {"device": "cuda", "engine": engine}
    gpu = config["train"]["gpu"] | {"attention": "sdpa", "keep_optimizer": True}
    checkpoints = folder / engine / "checkpoints"
    with largest_memory() as largest:
        call(
            *("lens_impl.training.supervisor", "--config", json.dumps(settings)),
            *("--schedule", json.dumps(SCHEDULE), "--gpu", json.dumps(gpu)),
            *("--train", folder / "mix.parquet", "--validation", folder / "eval.parquet"),
            *("--model", folder / "model", "--run-dir", folder / engine / "run"),
            *("--checkpoints", checkpoints, "--experiment", "gpu-check"),
            *("--tracking-uri", f"sqlite:///{folder}/mlflow.db"),
        )
    return checkpoints, largest.mib


class largest_memory:
    """Asks nvidia-smi twice a second; `mib` is the largest answer."""

    def __enter__(self) -> "largest_memory":
        self.mib, self.done = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i0"]
        while not self.done.wait(0.5):
            self.mib = max(self.mib, int(subprocess.check_output(query, text=True)))


def largest_difference(checkpoints: Path) -> float:
    """Between the advantages that the run used and those computed on the CPU."""
    worst = 0.0
    for file in sorted((checkpoints / "rollouts").iterdir()):
        dump = pd.read_parquet(file)
        again = compute_advantages("lens", RolloutBatch.from_dump(dump), alpha=0.25)
        worst = max(worst, (again - padded(dump["advantages"])).abs().max().item())
    return worst


def row(engine: str, checkpoints: Path, mib: int) -> list[str]:
    lines = read_jsonl(checkpoints / "metrics.jsonl")[1:]  # the first step compiles
    speeds = [median(line["tokens"] / line["seconds"][phase] for line in lines) for phase in PHASES]
    difference = max(line["log_prob_difference"] for line in lines)
    cells = [engine, *(f"{speed:,.0f}" for speed in speeds), f"{mib:,}", f"{difference:.1e}"]
    return [*cells, f"{largest_difference(checkpoints):.1e}"]


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    if not torch.cuda.is_available():
        raise UserError("make gpu-check needs an NVIDIA GPU, and torch sees none.")
    config = load("smoke", ROOT)
    engines = ["hf", "vllm"] if find_spec("vllm") else ["hf"]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, config)
        rows = [row(engine, *train(folder, config, engine)) for engine in engines]
    git, found = git_state(ROOT), versions()
    head = ["engine", *(f"{phase}, tokens/s" for phase in PHASES), "GPU memory, MiB"]
    head += ["log-prob difference", "advantage difference"]
    code = f"Commit {git['commit']}" + (", with changes" if git["dirty"] else "")
    used = ", ".join(f"{package} {found[package]}" for package in ("torch", "verl", "vllm"))
    text = (
        f"\n## {datetime.now(UTC):%Y-%m-%d}: smoke scale on {torch.cuda.get_device_name()}\n\n"
        f"{code}; {used}; {time.monotonic() - started:.0f} s for all.\n\n{grid(head, rows)}\n"
    )
    with open(ROOT / "docs" / "verified.md", "a", encoding="utf-8") as page:
        page.write(text)
    print(text)
    if any(float(cells[-1]) > 1e-5 for cells in rows):
        raise UserError("advantages of the run and of the CPU differ by more than 1e-5.")


if __name__ == "__main__":
    run_cli(main)
