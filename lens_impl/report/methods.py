"""All methods side by side: what they reached, how much of the rollouts they used, what they cost.

python -m lens_impl.report.methods --runs JSON --results results/tiny --scale tiny --out X.md
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from lens_impl.errors import run_cli
from lens_impl.files import read_jsonl, write_text
from lens_impl.report.names import TOY_SCALES, method_name
from lens_impl.text import grid, wrap

NOTE = (
    "Pass@k in % on the test problems, and on those of Levels 4-5. Relevant: share of the sampled "
    "responses that got an advantage other than 0, mean over the steps; groups that dynamic "
    "sampling drops count as sampled. Groups: sampled a step. s/step: mean without the first step. "
    "Every row: mean over its seeds."
)


def run_numbers(results: Path, run: str) -> dict[str, float]:
    """One training's row; Pass@k and shares in %."""
    folder = results / "runs" / run
    passes = pd.read_csv(folder / "pass_at_k_math.csv", dtype={"level": str})
    passes = 100 * passes.set_index(["level", "k"])["estimate"]
    ks = sorted(set(passes.index.get_level_values("k")))
    row = {
        f"{label}P@{k}": passes[level, k]
        for level, label in (("all", ""), ("4-5", "L4-5 "))
        for k in (ks[0], ks[-1])
    }
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))["settings"]
    lines = read_jsonl(folder / "metrics.jsonl")
    return row | training_numbers(lines, settings["prompts_per_rollout"])


def training_numbers(lines: list[dict], trained_groups: int) -> dict[str, float]:
    """Share of sampled responses with an advantage (%), sampled groups and seconds a step."""
    steps = pd.DataFrame(lines)
    # Trainings from before dynamic sampling do not say it: all they sampled they trained on.
    sampled = steps.get("groups_sampled", pd.Series(trained_groups, index=steps.index))
    used = steps["gradient_relevant"] * trained_groups / sampled
    seconds = pd.Series([line["seconds"]["step"] for line in lines])
    return {
        "relevant": 100 * used.mean(),
        "groups": sampled.mean(),
        "s/step": seconds[1:].mean() if len(seconds) > 1 else seconds.mean(),
    }


def method_table(results: Path, runs: list[dict], scale: str) -> str:
    """Markdown: a table for each model and mix, a row for each method."""
    parts = [f"# All methods at scale {scale}"]
    if scale in TOY_SCALES:
        parts.append(wrap("**A designed toy: made problems and a small model from scratch.**"))
    frame = pd.DataFrame([run | {"numbers": run_numbers(results, run["run"])} for run in runs])
    for (model, mix), rows in frame.groupby(["model", "mix"], sort=False):
        table = []
        for method, of_method in rows.groupby("method", sort=False):
            means = pd.DataFrame(list(of_method["numbers"])).mean()
            seeds = " ".join(map(str, of_method["seed"]))
            table.append([method_name(method), seeds, *(f"{value:.1f}" for value in means)])
        parts += [f"## {model}, {mix}", grid(["method", "seeds", *means.index], table)]
    return "\n\n".join([*parts, wrap(NOTE)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lens_impl.report.methods")
    parser.add_argument("--runs", type=json.loads, required=True, help="JSON list of runs")
    parser.add_argument("--results", type=Path, required=True, help="results/{scale}")
    parser.add_argument("--scale", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_text(args.out, method_table(args.results, args.runs, args.scale))


if __name__ == "__main__":
    run_cli(main)
