"""All methods: what they reached, how many rollouts they used, what they cost."""

import pandas as pd

from lens_impl.evaluation.levels import ALL, HARD
from lens_impl.report.names import method_name
from lens_impl.report.page import Page
from lens_impl.results import Results
from lens_impl.text import grid, wrap

NOTE = (
    "Pass@k in % on the test problems, and on those of Levels 4-5. Relevant: share of the sampled "
    "responses that got an advantage other than 0, mean over the steps; groups that dynamic "
    "sampling drops count as sampled. Groups: sampled per step. s/step: mean without the first "
    "step. Every row: mean over its seeds."
)


def methods(results: Results) -> Page:
    """One row per run in the csv; in the markdown one table per model and mix, means over seeds."""
    rows = pd.DataFrame([{**vars(run), **run_numbers(results, run.name)} for run in results.runs])
    return Page(rows, _markdown(rows, results))


def run_numbers(results: Results, name: str) -> dict[str, float]:
    """One run's row; Pass@k and shares in %."""
    passes = 100 * results.pass_at_k(name).set_index(["level", "k"])["estimate"]
    ks = sorted(set(passes.index.get_level_values("k")))
    row = {
        f"{label}P@{k}": passes[level, k]
        for level, label in ((ALL, ""), (HARD, "L4-5 "))
        for k in (ks[0], ks[-1])
    }
    settings = results.config(name)["settings"]
    return row | training_numbers(results.metrics(name), settings["prompts_per_rollout"])


def training_numbers(lines: list[dict], trained_groups: int) -> dict[str, float]:
    """Share of sampled responses with an advantage (%), sampled groups and seconds per step."""
    steps = pd.DataFrame(lines)
    # Without dynamic sampling every sampled group is trained on.
    sampled = steps.get("groups_sampled", pd.Series(trained_groups, index=steps.index))
    used = steps["gradient_relevant"] * trained_groups / sampled
    seconds = pd.Series([line["seconds"]["step"] for line in lines])
    return {
        "relevant": 100 * used.mean(),
        "groups": sampled.mean(),
        "s/step": seconds[1:].mean() if len(seconds) > 1 else seconds.mean(),
    }


def _markdown(rows: pd.DataFrame, results: Results) -> str:
    parts = [f"# All methods at scale {results.scale}"]
    if results.toy:
        parts.append(wrap("**A designed toy: synthetic problems and a small model from scratch.**"))
    for (model, mix), part in rows.groupby(["model", "mix"], sort=False):
        numbers = part.columns[part.columns.get_loc("seed") + 1 :]
        table = []
        for method, of_method in part.groupby("method", sort=False):
            seeds = " ".join(map(str, of_method["seed"]))
            means = of_method[numbers].mean()
            table.append([method_name(method), seeds, *(f"{value:.1f}" for value in means)])
        parts += [f"## {model}, {mix}", grid(["method", "seeds", *numbers], table)]
    return "\n\n".join([*parts, wrap(NOTE)]) + "\n"
