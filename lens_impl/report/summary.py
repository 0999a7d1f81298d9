"""The summary page of a scale: does it agree with the paper, what was trained, by which code."""

from pathlib import Path

import pandas as pd

from lens_impl.comparison.verdicts import collapse_not_run, verdict_rows
from lens_impl.evaluation.evaluate import UNJUDGED
from lens_impl.files import read_json, read_jsonl, read_parquet
from lens_impl.report.names import TOY_SCALES, method_name
from lens_impl.text import grid, wrap

ENDS = 5  # the first and the last so many steps of a training are averaged
TABLES = ("table1", "table2", "table3")


def summary_markdown(results: Path, runs: list[dict], paper: dict, scale: str) -> str:
    """One page of markdown, at most 100 columns wide, from all runs' files and tables/*.csv."""
    parts = [f"# LENS reproduction: summary of scale {scale}"]
    if scale in TOY_SCALES:
        parts.append(
            wrap(
                "**Everything of ours on this page is a designed toy: a small model trained from "
                "scratch on made problems. It shows that the experiments run and which way they "
                "point; its numbers are not comparable with the paper's.**"
            )
        )
    parts += ["## Does it agree with the paper?", *_verdicts(results, paper)]
    parts += ["## Pass@k and trainings", *_trainings(results, runs)]
    figure = paper["figures"]["figure2_negative_ratio"]
    parts += ["Share of all-wrong groups (Figure 2):", _all_wrong(results, runs, figure, scale)]
    parts += ["## Code", _code(results, runs)]
    parts += ["## Samples that the grader could not judge", _unjudged(results, runs)]
    return "\n\n".join(parts) + "\n"


def _verdicts(results: Path, paper: dict) -> list[str]:
    """The gains over GRPO of the paper's tables at the smallest and the largest k."""
    rows = []
    for table in TABLES:
        path = results / "tables" / f"{table}.csv"
        ours = pd.read_csv(path, dtype={"level": str, "seeds": str}, keep_default_na=False)
        for column in ("estimate", "low", "high", "p_value", "p_holm"):
            ours[column] = pd.to_numeric(ours[column])
        found = verdict_rows(ours, paper, table)
        found = found[found["k"].isin((paper["k"][0], paper["k"][-1]))]
        for row in collapse_not_run(found).itertuples():
            gain = ""
            if not pd.isna(row.gain):
                gain = f"{row.gain:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"
            # Models of our own have one line a method; the paper's are named.
            model = row.paper_model if row.model == "-" else row.model
            name = f"{table.removeprefix('table')} {model.split('-')[0]}"
            method = method_name(row.method).replace("LENS with only", "only")
            rows.append([name, method, str(row.k), gain, row.verdict])
    header = ["table", "method", "k", "gain over GRPO", "verdict"]
    return [
        grid(header, rows, text=(0, 1, 4)),
        wrap(
            "Points, paired by problem, with the 95 % interval over problems and seeds. One seed "
            "says nothing of the spread between trainings, two say little."
        ),
    ]


def _code(results: Path, runs: list[dict]) -> str:
    """The commit that trained the runs; what is wrong with it in capitals."""
    by_commit: dict[str, list[str]] = {}
    dirty = []
    for run in runs:
        git = read_json(results / "runs" / run["run"] / "manifest.json")["git"]
        by_commit.setdefault((git["commit"] or "unknown")[:12], []).append(run["run"])
        dirty += [run["run"]] if git["dirty"] else []
    if len(by_commit) > 1:
        lines = [wrap("MIXED COMMITS: the trainings were not all made by the same code.")]
        lines += [wrap(f"- {commit}: {', '.join(names)}") for commit, names in by_commit.items()]
    else:
        lines = [f"All {len(runs)} trainings: commit {', '.join(by_commit)}."]
    if dirty:
        lines.append(wrap(f"UNCOMMITTED CHANGES when these were trained: {', '.join(dirty)}."))
    return "\n".join(lines)


def _trainings(results: Path, runs: list[dict]) -> list[str]:
    """A line a run: Pass@k of its final evaluation, and how its training went."""
    rows, ks = [], []
    for name in [*_bases(runs), *(run["run"] for run in runs)]:
        table = pd.read_csv(results / "runs" / name / "pass_at_k_math.csv", dtype={"level": str})
        passes = table.set_index(["level", "k"])["estimate"]
        ks = list(passes["all"].index)
        chosen = [("all", ks[0]), ("all", ks[-1]), ("4-5", ks[0]), ("4-5", ks[-1])]
        cells = [f"{100 * passes[key]:.1f}" if key in passes.index else "" for key in chosen]
        path = results / "runs" / name / "metrics.jsonl"
        rows.append([name, *cells, *(_training(read_jsonl(path)) if path.is_file() else [""])])
    header = [f"P@{ks[0]}", f"P@{ks[-1]}", f"4-5 @{ks[0]}", f"@{ks[-1]}"]
    return [
        grid(["run", *header, "all-wrong groups"], rows),
        wrap(
            f"P@k: Pass@k in %, on all levels and on Levels 4-5. All-wrong groups: mean of the "
            f"first and the last {ENDS} steps of the training."
        ),
    ]


def _training(lines: list[dict]) -> list[str]:
    metrics = pd.DataFrame(lines)
    first, last = metrics.head(ENDS), metrics.tail(ENDS)
    wrong = [100 * part["groups_all_wrong"].mean() for part in (first, last)]
    return [f"{wrong[0]:.0f}→{wrong[1]:.0f} %"]


def _bases(runs: list[dict]) -> list[str]:
    return list(dict.fromkeys(f"{run['model']}_base" for run in runs))


def _all_wrong(results: Path, runs: list[dict], figure: dict, scale: str) -> str:
    """Figure 2 in words; beside the paper's where the scale can be compared with it."""
    lines = []
    for run in runs:
        if run["mix"] == figure["mix"] and run["method"] == figure["method"]:
            metrics = read_jsonl(results / "runs" / run["run"] / "metrics.jsonl")
            shares = pd.Series([100 * line["groups_all_wrong"] for line in metrics])
            first, last = shares.head(ENDS).mean(), shares.tail(ENDS).mean()
            lines.append(f"- {run['run']}: {first:.0f} → {last:.0f} % in {len(shares)} steps")
    if not lines:
        lines = [f"- no run of {method_name(figure['method'])} on {figure['mix']} at this scale"]
    if scale not in TOY_SCALES:
        early, end = figure["all_wrong_early"], figure["all_wrong_end"]
        place = f"{figure['model']} ({figure['location']})"
        lines.append(f"- paper, {place}: near {early} → about {end} %")
    return "\n".join(lines)


def _unjudged(results: Path, runs: list[dict]) -> str:
    """Counts of samples that count as not correct without having been judged wrong."""
    total, lines = 0, []
    for name in [*_bases(runs), *(run["run"] for run in runs)]:
        path = results / "runs" / name / "samples_math.parquet"
        statuses = read_parquet(path, columns=["status"])["status"].value_counts()
        total += statuses.sum()
        found = [f"{statuses[status]} {status}" for status in UNJUDGED if status in statuses]
        if found:
            lines.append(f"- {name}: {', '.join(found)}")
    if not lines:
        return f"None of {total:,}."
    return "\n".join([f"Of {total:,} samples these count as not correct:", "", *lines])
