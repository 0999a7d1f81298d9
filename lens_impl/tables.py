"""Tables 1 to 3 of the paper, ours beside the paper's numbers, and the summary page.

Everything shown is computed from the runs' files and config/paper_numbers.yaml. The paper gives
single numbers; ours are means over training seeds with a 95 % bootstrap interval over test
problems and seeds (see lens_impl.statistics for what it misses with one or two seeds), and gains
are paired by problem.

    python -m lens_impl.tables table1 ...     csv (all levels, fractions) and markdown (in %)
    python -m lens_impl.tables summary ...    one page, at most 100 columns wide
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from lens_impl.display import TOY_SCALES, grid, method_name, wrap
from lens_impl.errors import run_cli
from lens_impl.evaluate import level_subsets, problem_counts, read_parquet
from lens_impl.files import write_csv, write_text
from lens_impl.passk import pass_at_k
from lens_impl.statistics import bootstrap_interval, paired_difference
from lens_impl.summary import summary_markdown

TOY = (
    "Designed toy: not comparable with the paper's absolute numbers, only directions are compared."
)
DIRECTION = (
    "Direction: same or opposite to the paper's, or unclear where our 95 % interval (paired by "
    "problem) holds 0. With one seed the interval does not hold the variation between trainings, "
    "with two it holds half of its variance."
)
BASELINE = "grpo"
COLUMNS = ["model", "method", "versus", "level", "k", "estimate", "low", "high"]
COLUMNS += ["p_value", "seed_low", "seed_high", "seeds", "problems", "n"]


def read_problem_counts(results: Path, run: str) -> pd.DataFrame:
    """Index problem_id; columns level, n, correct of a run's final evaluation on MATH."""
    columns = ["problem_id", "level", "correct"]
    return problem_counts(
        read_parquet(results / "runs" / run / "samples_math.parquet", columns=columns)
    )


def pass_at_k_rows(results: Path, runs: list[dict], ks: list[int]) -> pd.DataFrame:
    """Pass@k of every model and method, and each method's gain over GRPO.

    Columns: model, method, versus ("" or "grpo" for a gain), level ("all", "4-5"), k, estimate,
    low, high (fractions; mean over seeds with its 95 % interval), p_value (of a gain, paired by
    problem), seed_low, seed_high (range over seeds), seeds ("1 2"; "-" for the base model),
    problems, n. k above n is left out.
    """
    rows = []
    for model in dict.fromkeys(run["model"] for run in runs):
        base = read_problem_counts(results, f"{model}_base")
        n = int(base["n"].iloc[0])
        tables = {"base": {"-": base["correct"]}}
        for run in runs:
            if run["model"] == model:
                counts = read_problem_counts(results, run["run"]).loc[base.index]
                tables.setdefault(run["method"], {})[str(run["seed"])] = counts["correct"]
        subsets = level_subsets(base["level"])
        for level in [level for level in ("all", "4-5") if level in subsets]:
            mask = subsets[level].to_numpy()
            for k in [k for k in ks if k <= n]:
                passes = {
                    method: pass_at_k(n, np.stack(list(seeds.values()))[:, mask], k)
                    for method, seeds in tables.items()
                }
                for method, values in passes.items():  # values: [seeds, problems]
                    row = {"model": model, "method": method, "level": level, "k": k, "n": n}
                    row |= {"seeds": " ".join(tables[method]), "problems": int(mask.sum())}
                    by_seed = {"seed_low": values.mean(1).min(), "seed_high": values.mean(1).max()}
                    rows.append(row | {"versus": ""} | by_seed | asdict(bootstrap_interval(values)))
                    if method not in ("base", BASELINE) and BASELINE in passes:
                        gain = paired_difference(values, passes[BASELINE])
                        rows.append(row | {"versus": BASELINE} | asdict(gain))
    return pd.DataFrame(rows, columns=COLUMNS)


def runs_of_table(runs: list[dict], paper: dict, table: str) -> list[dict]:
    """The runs on the table's mix by its methods, in its order.

    Of the paper's models those that the table has, and every model that is not the paper's.
    """
    entry = paper["tables"][table]
    methods = list(dict.fromkeys(row["method"] for row in entry["rows"]))
    models = {None, *(row["model"] for row in entry["rows"])}
    chosen = [
        run
        for run in runs
        if run["mix"] == entry["mix"]
        and run["method"] in methods
        and paper["models"].get(run["model"]) in models
    ]
    return sorted(chosen, key=lambda run: methods.index(run["method"]))


def paper_rows(paper: dict, table: str) -> pd.DataFrame:
    """Columns model, method, marks (footnotes), k, estimate (in %) of one of the paper's tables."""
    rows = []
    for row in paper["tables"][table]["rows"]:
        marks = f" [{', '.join(row['footnotes'])}]" if "footnotes" in row else ""
        place = {"model": row["model"], "method": row["method"], "marks": marks}
        for k, estimate in zip(paper["k"], row["pass_at_k"], strict=True):
            rows.append(place | {"k": k, "estimate": estimate})
    return pd.DataFrame(rows)


def table_markdown(ours: pd.DataFrame, paper: dict, table: str, scale: str) -> str:
    """A table of the paper in markdown: ours, gains over GRPO with their direction, the paper's.

    The paper's numbers stand in ours only where the model is the paper's.
    """
    entry = paper["tables"][table]
    theirs = paper_rows(paper, table)
    toy = scale in TOY_SCALES
    parts = [f"# Table {table.removeprefix('table')}: {entry['title']}"]
    if toy:
        parts.append(f"**{TOY}**")
    ours = ours[ours["level"] == "all"]
    if ours.empty:
        parts.append(f"No run of this table is among the experiments of scale {scale}.")
    for model, rows in ours.groupby("model", sort=False):
        same_model = theirs[theirs["model"] == paper["models"].get(model)]
        parts += [f"## Ours: {model}", _about(rows), _passes(rows, same_model)]
        if (rows["versus"] == BASELINE).any():
            parts += [_gains(rows, theirs, same_model), wrap(DIRECTION)]
    others = ", other models: not comparable with ours" if toy else ""
    parts.append(f"## The paper's numbers ({entry['location']}){others}")
    for model, rows in theirs.groupby("model", sort=False):
        parts.append(_published(model, rows))
    average = (
        "one training" if entry["trainings"] == 1 else f"mean of {entry['trainings']} trainings"
    )
    parts.append(f"Each row: {average}; the paper gives no intervals.")
    marks = sorted({mark for row in entry["rows"] for mark in row.get("footnotes", [])})
    parts += [wrap(f"[{mark}] {paper['footnotes'][mark]}") for mark in marks]
    return "\n\n".join(parts) + "\n"


def _published(model: str, rows: pd.DataFrame) -> str:
    """The paper's rows of one model, and their gains over GRPO."""
    passes = rows.pivot(index="method", columns="k", values="estimate")
    cells = [
        [method_name(method) + marks, *(f"{value:.2f}" for value in row["estimate"])]
        for (method, marks), row in rows.groupby(["method", "marks"], sort=False)
    ]
    for method in dict.fromkeys(rows["method"]):
        if method != BASELINE:
            gain = passes.loc[method] - passes.loc[BASELINE]
            label = f"gain of {method_name(method)}"
            cells.append([label, *(f"{value:+.2f}" for value in gain)])
    return grid([model, *map("Pass@{}".format, passes.columns)], cells)


def _about(rows: pd.DataFrame) -> str:
    passes = rows[(rows["versus"] == "") & (rows["method"] != "base")]
    seeds = passes.groupby("seeds", sort=False)["method"].unique()
    trained = "; ".join(
        f"{', '.join(map(method_name, methods))}: seeds {', '.join(seed.split())}"
        for seed, methods in seeds.items()
    )
    problems, n = rows[["problems", "n"]].iloc[0]
    return wrap(
        f"Pass@k in %, {problems} problems x {n} samples a run, mean over seeds, ± half of the "
        f"95 % interval. {trained}."
    )


def _passes(rows: pd.DataFrame, same_model: pd.DataFrame) -> str:
    """One line a method; under it the paper's, where the model is the paper's."""
    passes = rows[rows["versus"] == ""]
    ks = list(dict.fromkeys(passes["k"]))
    lines = []
    for method, row in passes.groupby("method", sort=False):
        cells = [f"{100 * r.estimate:.1f} ±{50 * (r.high - r.low):.1f}" for r in row.itertuples()]
        lines.append([method_name(method), *cells])
        for marks, paper in same_model[same_model["method"] == method].groupby("marks"):
            known = paper.set_index("k")["estimate"]
            lines.append([f"paper{marks}", *(f"{known[k]:.2f}" if k in known else "" for k in ks)])
    return grid(["ours", *map("Pass@{}".format, ks)], lines)


def _gains(rows: pd.DataFrame, theirs: pd.DataFrame, same_model: pd.DataFrame) -> str:
    """Gains over GRPO in points, and whether the paper's have the same direction."""
    gains = rows[rows["versus"] == BASELINE]
    ks = list(dict.fromkeys(gains["k"]))
    lines = []
    for method, row in gains.groupby("method", sort=False):
        cells = [f"{100 * r.estimate:+.1f} ±{50 * (r.high - r.low):.1f}" for r in row.itertuples()]
        lines.append([method_name(method), *cells])
        if not same_model.empty:
            lines.append(
                ["paper", *(f"{gain:+.2f}" for gain in _paper_gain(same_model, method)[ks])]
            )
        signs = np.sign(_paper_gain(theirs if same_model.empty else same_model, method))
        agreement = [_direction(r.low, r.high, signs[r.k]) for r in row.itertuples()]
        lines.append(["direction", *agreement])
    return grid(["gain over GRPO, points", *map("Pass@{}".format, ks)], lines)


def _paper_gain(theirs: pd.DataFrame, method: str) -> pd.Series:
    """The paper's gain over GRPO by k, mean over its models."""
    means = theirs.groupby(["method", "k"])["estimate"].mean()
    return means[method] - means[BASELINE]


def _direction(low: float, high: float, published: float) -> str:
    if low <= 0 <= high:
        return "unclear"
    return "same" if np.sign(low) == published else "opposite"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lens_impl.tables", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("table1", "table2", "table3", "summary"):
        verb = verbs.add_parser(name)
        verb.add_argument("--runs", type=json.loads, required=True, help="JSON list of runs")
        verb.add_argument("--results", type=Path, required=True, help="results/{scale}")
        verb.add_argument("--paper", type=Path, required=True, help="config/paper_numbers.yaml")
        verb.add_argument("--scale", required=True)
        if name == "summary":
            verb.add_argument("--out", type=Path, required=True)
        else:
            verb.add_argument("--out-csv", type=Path, required=True)
            verb.add_argument("--out-md", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    args = _parse()
    paper = yaml.safe_load(args.paper.read_text(encoding="utf-8"))
    if args.verb == "summary":
        write_text(args.out, summary_markdown(args.results, args.runs, paper, args.scale))
        return
    rows = pass_at_k_rows(args.results, runs_of_table(args.runs, paper, args.verb), paper["k"])
    write_csv(args.out_csv, rows)
    write_text(args.out_md, table_markdown(rows, paper, args.verb, args.scale))


if __name__ == "__main__":
    run_cli(main)
