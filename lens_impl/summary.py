"""The summary page of a scale: tables, trainings, code version, base models."""

import json
from pathlib import Path

import pandas as pd

from lens_impl.display import TOY_SCALES, grid, method_name, wrap
from lens_impl.evaluate import UNJUDGED, read_parquet
from lens_impl.files import read_jsonl

ENDS = 5  # the first and the last so many steps of a training are averaged
LEVELS = ("1", "2", "3", "4", "5", "4-5")


def summary_markdown(results: Path, runs: list[dict], paper: dict, scale: str) -> str:
    """Markdown of at most 100 columns from the files of all runs and from tables/*.md."""
    parts = [f"# LENS reproduction: summary of scale {scale}"]
    if scale in TOY_SCALES:
        parts.append(
            wrap(
                "**Everything of ours on this page is a designed toy: a small model trained from "
                "scratch on made problems. It shows that the experiments run and which way they "
                "point; its numbers are not comparable with the paper's.**"
            )
        )
    manifests = [_manifest(results, run["run"]) for run in runs]
    parts += ["## Code", _code(runs, manifests)]
    for table in ("table1", "table2", "table3"):
        text = (results / "tables" / f"{table}.md").read_text(encoding="utf-8")
        parts.append(text.strip().replace("## ", "### ").replace("# Table", "## Table"))
    parts += ["## Trainings", *_trainings(results, runs)]
    parts += ["## Pass@k by level", *_levels(results, runs)]
    figure = paper["figures"]["figure2_negative_ratio"]
    parts += ["## Figure 2: share of all-wrong groups", _all_wrong(results, runs, figure, scale)]
    parts += ["## Samples that the grader could not judge", _unjudged(results, runs)]
    for path in sorted((results / "models").glob("*.regime.json")):
        regime = json.loads(path.read_text(encoding="utf-8"))
        parts += [f"## Base model {path.name.removesuffix('.regime.json')}", *_regime(regime)]
    return "\n\n".join(parts) + "\n"


def _manifest(results: Path, run: str) -> dict:
    return json.loads((results / "runs" / run / "manifest.json").read_text(encoding="utf-8"))


def _code(runs: list[dict], manifests: list[dict]) -> str:
    """The commit that trained the runs; what is wrong with it in capitals."""
    by_commit: dict[str, list[str]] = {}
    for run, manifest in zip(runs, manifests, strict=True):
        commit = (manifest["git"]["commit"] or "unknown")[:12]
        by_commit.setdefault(commit, []).append(run["run"])
    dirty = [run["run"] for run, m in zip(runs, manifests, strict=True) if m["git"]["dirty"]]
    if len(by_commit) > 1:
        lines = [wrap("MIXED COMMITS: the trainings were not all made by the same code.")]
        lines += [f"- {commit}: {', '.join(names)}" for commit, names in by_commit.items()]
    else:
        lines = [f"All {len(runs)} trainings: commit {', '.join(by_commit)}."]
    if dirty:
        lines.append(wrap(f"UNCOMMITTED CHANGES when these were trained: {', '.join(dirty)}."))
    return "\n".join(lines)


def _by_model(runs: list[dict]) -> dict[str, list[dict]]:
    models: dict[str, list[dict]] = {}
    for run in runs:
        models.setdefault(run["model"], []).append(run)
    return models


def _short(run: dict) -> str:
    return f"{run['mix']} {run['method']} s{run['seed']}"


def _trainings(results: Path, runs: list[dict]) -> list[str]:
    parts = [
        wrap(
            f"Reward and share of all-wrong groups: means of the first and the last {ENDS} steps. "
            "Minutes: sum over the steps. P@k: Pass@k in %."
        )
    ]
    for model, members in _by_model(runs).items():
        rows = []
        for run in members:
            metrics = pd.DataFrame(read_jsonl(results / "runs" / run["run"] / "metrics.jsonl"))
            first, last = metrics.head(ENDS), metrics.tail(ENDS)
            minutes = sum(seconds["step"] for seconds in metrics["seconds"]) / 60
            wrong = [100 * part["groups_all_wrong"].mean() for part in (first, last)]
            passes = _passes(results, run["run"]).loc["all"]
            rows.append(
                [
                    _short(run),
                    str(len(metrics)),
                    f"{minutes:.1f}",
                    f"{first['reward'].mean():.2f} → {last['reward'].mean():.2f}",
                    f"{wrong[0]:.0f} → {wrong[1]:.0f} %",
                    f"{100 * passes.iloc[0]:.1f}",
                    f"{100 * passes.iloc[-1]:.1f}",
                ]
            )
        ks = [f"P@{passes.index[0]}", f"P@{passes.index[-1]}"]
        header = [model, "steps", "min", "reward", "all-wrong", *ks]
        parts.append(grid(header, rows))
    return parts


def _passes(results: Path, run: str) -> pd.Series:
    """Pass@k by (level, k)."""
    table = pd.read_csv(results / "runs" / run / "pass_at_k_math.csv", dtype={"level": str})
    return table.set_index(["level", "k"])["estimate"]


def _levels(results: Path, runs: list[dict]) -> list[str]:
    ks = _passes(results, runs[0]["run"])["all"].index
    parts = [f"Pass@{ks[0]}/Pass@{ks[-1]} in %."]
    for model, members in _by_model(runs).items():
        labels = {f"{model}_base": method_name("base")}
        labels |= {run["run"]: _short(run) for run in members}
        rows = []
        for run, label in labels.items():
            passes = _passes(results, run)
            cells = [
                f"{100 * passes[level].iloc[0]:.0f}/{100 * passes[level].iloc[-1]:.0f}"
                if level in passes
                else ""
                for level in LEVELS
            ]
            rows.append([label, *cells])
        parts.append(grid([model, *LEVELS], rows))
    return parts


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
        lines = [f"No run of {method_name(figure['method'])} on {figure['mix']} at this scale."]
    if scale not in TOY_SCALES:
        early, end = figure["all_wrong_early"], figure["all_wrong_end"]
        place = f"{figure['model']} ({figure['location']})"
        lines.append(f"- paper, {place}: near {early} → about {end} %")
    return "\n".join(lines)


def _unjudged(results: Path, runs: list[dict]) -> str:
    """Counts of samples that count as not correct without having been judged wrong."""
    names = [*dict.fromkeys(f"{run['model']}_base" for run in runs), *(r["run"] for r in runs)]
    total, lines = 0, []
    for name in names:
        path = results / "runs" / name / "samples_math.parquet"
        statuses = read_parquet(path, columns=["status"])["status"].value_counts()
        total += statuses.sum()
        found = [f"{statuses[status]} {status}" for status in UNJUDGED if status in statuses]
        if found:
            lines.append(f"- {name}: {', '.join(found)}")
    if not lines:
        return f"None of {total:,}."
    return "\n".join([f"Of {total:,} samples these count as not correct:", "", *lines])


def _regime(regime: dict) -> list[str]:
    """The base model before training: Pass@k by level, and its groups on each training mix."""
    evaluation = regime["evaluation"]
    ks = sorted(evaluation["pass_at_k"]["all"], key=int)
    levels = [
        [level, *(f"{100 * passes[k]:.1f}" for k in ks)]
        for level, passes in evaluation["pass_at_k"].items()
    ]
    shares = ("reward", "groups_all_wrong", "groups_all_correct", "finished")
    mixes = [
        [name, str(mix["problems"]), *(f"{100 * mix[share]:.1f}" for share in shares)]
        for name, mix in regime["mixes"].items()
    ]
    size = f"{regime['parameters']:,} parameters; {regime['settings']['n']} samples a problem"
    return [
        wrap(f"{size}; values in %, {evaluation['problems']} problems of the test set."),
        grid(["level", *map("Pass@{}".format, ks)], levels),
        grid(["mix", "problems", "reward", "all-wrong", "all-correct", "finished"], mixes),
    ]
