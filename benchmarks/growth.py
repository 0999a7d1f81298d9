"""How the cost of each stage grows with its size, over three decades.

    python benchmarks/growth.py             all stages; --stages grading ... for some

Sizes are half a decade apart. A size is timed until a second is spent on it, at least once, and its
best time counts: a disturbance only makes a measurement longer. The exponent is the slope of log
seconds over log size, over all sizes and over the last decade, where the cost of starting no longer
hides the growth. Files, processes and data are created outside the measured time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from advantages import rollout
from common import RESULTS, ROOT, Goal, Table, exponent, write
from dag import OVERLAY, dry_run

from lens_impl.advantages import RolloutBatch, compute_advantages
from lens_impl.advantages.diagnostics import step_diagnostics
from lens_impl.comparison.evaluations import read_evaluations
from lens_impl.comparison.gains import effect_rows
from lens_impl.data import toy
from lens_impl.data.prepare import prepare_mix
from lens_impl.evaluation.evaluate import pass_at_k_by_level
from lens_impl.evaluation.intervals import paired_difference
from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import Run
from lens_impl.files import write_json, write_jsonl, write_parquet
from lens_impl.grading.grader import grade_many
from lens_impl.report import timeline
from lens_impl.report.figures.style import context, new_figure
from lens_impl.report.jobs import Job
from lens_impl.results import Results

LIMIT, POINTS, SECONDS = 1.1, 7, 1.0
Work = Callable[[], object]
_fresh = count(1)  # numbers that no answer had before, in any size


def problems_config(**sizes: int) -> dict:
    config = load("smoke", ROOT)["tiny_problems"]
    return config | {"sizes": config["sizes"] | sizes}


def make_problems(rows: int, folder: Path) -> Work:
    return partial(toy.make, problems_config(pretrain=rows))


def mix_prompts(rows: int, folder: Path) -> Work:
    for name, lines in toy.make(problems_config(numina=rows)).items():
        write_jsonl(folder / f"{name}.jsonl", lines)
    sizes = {"math": None, "numina": None}
    return partial(prepare_mix, sizes, folder, ["math"], 0, languages=["en"])


def grading(responses: int, folder: Path) -> Work:
    grade_many(["1/2"], [r"\boxed{1/3}"])  # starts the workers

    def work() -> None:
        # Fractions that were never seen: neither the short way for integers nor the cache helps.
        numbers = [next(_fresh) for _ in range(responses)]
        golds = [rf"\frac{{{n}}}{{{n + 1}}}" for n in numbers]
        grade_many(golds, [rf"So it is \boxed{{\frac{{{n}}}{{{n + 2}}}}}." for n in numbers])

    return work


def advantages(responses: int, folder: Path) -> Work:
    batch, _ = rollout(responses, tokens=256)
    given = (batch.rewards, batch.group_ids, batch.response_mask, batch.old_log_probs)
    return lambda: compute_advantages("lens", RolloutBatch(*given))


def diagnostics(responses: int, folder: Path) -> Work:
    batch, _ = rollout(responses, tokens=256)
    given = (batch.rewards, batch.group_ids, batch.response_mask, batch.old_log_probs)
    values = compute_advantages("lens", batch)
    return lambda: step_diagnostics(RolloutBatch(*given, torch.ones_like(values)), values)


def samples(problems: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    correct = rng.random((problems, 16)) < rng.beta(0.6, 0.6, (problems, 1))
    columns = {
        "problem_id": np.repeat([f"p{i}" for i in range(problems)], 16),
        "sample": np.tile(np.arange(16), problems),
        "level": np.repeat(1 + np.arange(problems) % 5, 16),
        "type": "Algebra",
        "correct": correct.ravel(),
    }
    return pd.DataFrame(columns)


def pass_at_k(problems: int, folder: Path) -> Work:
    return partial(pass_at_k_by_level, samples(problems), {"n": 16, "k": [1, 4, 16], "seed": 0})


def difference(problems: int, folder: Path) -> Work:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 5, problems))
    return partial(paired_difference, first, second, paired_seeds=True)


MANIFEST = {
    "run": "any",
    "git": {"commit": "0" * 40, "dirty": False},
    "finished": "2026-01-01T00:00:00+00:00",
}


def tables(runs: int, folder: Path) -> Work:
    """Half the runs GRPO, half LENS, all of them links to the same samples."""
    write_parquet(folder / "samples.parquet", samples(50))
    write_json(folder / "manifest.json", MANIFEST)
    compared = tuple(
        Run("tiny", "math-dapo", method, seed)
        for seed in range(max(1, runs // 2))
        for method in ("grpo", "lens")
    )
    results = Results(folder, compared)
    for name in results.evaluated:
        results.file(name, "").mkdir(parents=True)
        results.samples_file(name).symlink_to(folder / "samples.parquet")
        results.file(name, "manifest.json").symlink_to(folder / "manifest.json")

    def work() -> None:
        effect_rows(read_evaluations(results, [1, 16]), [1, 16])

    return work


def dry_runs(runs: int, folder: Path) -> Work:
    (folder / "overlay.yaml").write_text(OVERLAY.format(seeds=list(range(max(1, runs // 2)))))
    ours = ("--configfile", folder / "overlay.yaml", "--config", "scale=paper", "--cores", "1")
    return partial(dry_run, ROOT, *ours, "--directory", ROOT, "--nolock", "all")


def timelines(jobs: int, folder: Path) -> Work:
    made = [
        Job(f"j{i}", f"r{i % 20}", i, i + 2.5, (f"j{i - 1}",) if i % 7 else ()) for i in range(jobs)
    ]
    return partial(timeline.report, made, "paper")


# Stage -> what its size counts, the smallest size, and what makes its work.
STAGES: dict[str, tuple[str, int, Callable[[int, Path], Work]]] = {
    "make problems": ("rows", 60, make_problems),
    "mix prompts": ("rows", 20, mix_prompts),
    "grading": ("responses", 8, grading),
    "advantages": ("responses", 16, advantages),
    "diagnostics": ("responses", 16, diagnostics),
    "pass@k by level": ("problems", 20, pass_at_k),
    "paired difference": ("problems", 50, difference),
    "tables": ("runs", 2, tables),
    "dry run": ("runs", 1, dry_runs),
    "timeline": ("jobs", 10, timelines),
}


def best_seconds(work: Work) -> float:
    spent, best = 0.0, float("inf")
    while spent < SECONDS:
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        spent, best = spent + seconds, min(best, seconds)
    return best


def measure(stage: str, points: int) -> tuple[list[int], list[float]]:
    _, smallest, prepare = STAGES[stage]
    sizes, seconds = [round(smallest * 10 ** (i / 2)) for i in range(points)], []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            seconds.append(best_seconds(prepare(size, Path(folder))))
    return sizes, seconds


def plot(found: dict[str, tuple[list[int], list[float]]], path: Path) -> None:
    with context():
        figure, axes = new_figure(1, 1, (7, 5), "grey: exponents 1 and 1.1")
        ax = axes[0, 0]
        for (stage, (sizes, seconds)), marker in zip(found.items(), "osv^D*XPph", strict=False):
            ax.loglog(sizes, seconds, marker=marker, label=f"{stage} ({STAGES[stage][0]})")
        x = np.array([10.0, 1e4])
        for slope in (1, LIMIT):
            ax.loglog(x, 1e-3 * (x / 10) ** slope, color="0.6", linewidth=0.8)
        ax.set_xlabel("size")
        ax.set_ylabel("seconds")
        # Beside the curves, which fill the whole square.
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--points", type=int, default=POINTS, help="sizes, half a decade apart")
    arguments = parser.parse_args()
    matplotlib.use("agg")
    found = {stage: measure(stage, arguments.points) for stage in arguments.stages}
    goals, rows = [], []
    for stage, (sizes, seconds) in found.items():
        overall, last = exponent(sizes, seconds), exponent(sizes[-3:], seconds[-3:])
        goals.append(
            Goal(
                f"growth of {stage}, {sizes[0]:,} to {sizes[-1]:,} {STAGES[stage][0]}",
                f"exponent at most {LIMIT}",
                max(overall, last) <= LIMIT,
                f"{max(overall, last):.2f}",
            )
        )
        rows.append(
            [stage, f"{sizes[0]:,}", f"{sizes[-1]:,}", f"{seconds[0]:.4f}", f"{seconds[-1]:.2f}"]
            + [f"{overall:.2f}", f"{last:.2f}"]
        )
    plot(found, RESULTS / "growth.png")
    header = ["stage", "from", "to", "s", "s", "exponent", "last decade"]
    about = __doc__.split("\n\n")[-1].strip() + "\n\n![growth](growth.png)"
    write("growth", about, goals, [Table("Stages", header, rows)])


if __name__ == "__main__":
    main()
