"""The summary page of a scale: does it agree with the paper, what was trained, by which code.

python -m lens_impl.report.summary --results results/tiny --runs NAME... --sets math --out X.md
"""

import argparse
from pathlib import Path

import pandas as pd

from lens_impl.comparison.gains import read_rows
from lens_impl.comparison.paper import paper_numbers
from lens_impl.comparison.verdicts import collapse_not_run, verdict_rows
from lens_impl.errors import run_cli
from lens_impl.evaluation.evaluate import UNJUDGED
from lens_impl.evaluation.levels import ALL, HARD
from lens_impl.files import write_text
from lens_impl.provenance import origin
from lens_impl.report.names import method_name
from lens_impl.results import Results, add_arguments, from_arguments
from lens_impl.text import grid, wrap

ENDS = 5  # the first and the last so many steps of a run are averaged


def summary_markdown(results: Results, sets: list[str]) -> str:
    """One page of markdown, at most 100 columns wide, from all runs' files and tables/*.csv.

    sets: the evaluation sets, the paper's first.
    """
    parts = [f"# LENS reproduction: summary of scale {results.scale}"]
    if results.toy:
        parts.append(
            wrap(
                "**Everything of ours on this page is a designed toy: a small model trained from "
                "scratch on synthetic problems. It shows that the experiments run and which way "
                "they point; its numbers are not comparable with the paper's.**"
            )
        )
    parts += ["## Does it agree with the paper?", *_verdicts(results)]
    parts += ["## Pass@k and runs", *_runs(results)]
    figure = paper_numbers()["figures"]["figure2_negative_ratio"]
    parts += ["Share of all-wrong groups (Figure 2):", _all_wrong(results, figure)]
    for evaluation_set in sets[1:]:
        parts += [f"## Pass@k on {evaluation_set}", _pass_at_k(results.on(evaluation_set))]
    parts += ["## Code", _code(results)]
    parts += ["## Samples that the grader could not judge", _unjudged(results, sets)]
    return "\n\n".join(parts) + "\n"


def _verdicts(results: Results) -> list[str]:
    """The gains over GRPO of the paper's tables at the smallest and the largest k."""
    rows, ks = [], paper_numbers()["k"]
    for table in paper_numbers()["tables"]:
        found = verdict_rows(read_rows(results.table(table, "csv")), table)
        found = found[found["k"].isin((ks[0], ks[-1]))]
        for row in collapse_not_run(found).itertuples():
            gain = ""
            if not pd.isna(row.gain):
                gain = f"{row.gain:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"
            # Models of our own have one line per method; the paper's are named.
            model = row.paper_model if row.model == "-" else row.model
            name = f"{table.removeprefix('table')} {model.split('-')[0]}"
            method = method_name(row.method).replace("LENS with only", "only")
            rows.append([name, method, str(row.k), gain, row.verdict])
    header = ["table", "method", "k", "gain over GRPO", "verdict"]
    return [
        grid(header, rows, text=(0, 1, 4)),
        wrap(
            "Points, paired by problem, with the 95 % interval over problems and seeds. One seed "
            "says nothing of the spread between runs, two say little."
        ),
    ]


def _code(results: Results) -> str:
    """The commit that trained the runs; what is wrong with it in capitals."""
    code = origin(results.manifest(run.name) for run in results.runs)
    if len(code.commits) > 1:
        lines = [wrap("MIXED COMMITS: the runs were not all made by the same code.")]
        lines += [
            wrap(f"- {commit[:12]}: {', '.join(names)}")
            for commit, names in code.runs_by_commit.items()
        ]
    else:
        lines = [f"All {len(results.runs)} runs: commit {', '.join(code.commits)}."]
    if code.dirty:
        lines.append(wrap(f"UNCOMMITTED CHANGES when these were trained: {', '.join(code.dirty)}."))
    return "\n".join(lines)


def _runs(results: Results) -> list[str]:
    """One line per run: Pass@k of its final evaluation, and how its training went."""
    rows, ks = [], []
    for name in results.evaluated:
        passes = results.pass_at_k(name).set_index(["level", "k"])["estimate"]
        ks = list(passes[ALL].index)
        chosen = [(ALL, ks[0]), (ALL, ks[-1]), (HARD, ks[0]), (HARD, ks[-1])]
        cells = [f"{100 * passes[key]:.1f}" if key in passes.index else "" for key in chosen]
        rows.append([name, *cells, _all_wrong_ends(results, name)])
    header = [f"P@{ks[0]}", f"P@{ks[-1]}", f"4-5 @{ks[0]}", f"@{ks[-1]}"]
    return [
        grid(["run", *header, "all-wrong groups"], rows),
        wrap(
            f"P@k: Pass@k in %, on all levels and on Levels 4-5. All-wrong groups: mean of the "
            f"first and the last {ENDS} steps of the run."
        ),
    ]


def _pass_at_k(results: Results) -> str:
    """Pass@k of every run on another evaluation set, all levels."""
    passes = {name: results.pass_at_k(name) for name in results.evaluated}
    ks = sorted({int(k) for table in passes.values() for k in table["k"]})
    rows = []
    for name, table in passes.items():
        of_k = table[table["level"] == ALL].set_index("k")["estimate"]
        rows.append([name, *(f"{100 * of_k[k]:.1f}" if k in of_k else "" for k in ks)])
    return grid(["run", *(f"P@{k}" for k in ks)], rows)


def _all_wrong_ends(results: Results, name: str) -> str:
    """Share of all-wrong groups at both ends of a run; "" for a base model."""
    if not results.file(name, "metrics.jsonl").is_file():
        return ""
    metrics = pd.DataFrame(results.metrics(name))
    first, last = metrics.head(ENDS), metrics.tail(ENDS)
    wrong = [100 * part["groups_all_wrong"].mean() for part in (first, last)]
    return f"{wrong[0]:.0f}→{wrong[1]:.0f} %"


def _all_wrong(results: Results, figure: dict) -> str:
    """Figure 2 in words; next to the paper's where the scale can be compared with it."""
    lines = []
    for run in results.runs:
        if run.mix == figure["mix"] and run.method == figure["method"]:
            shares = pd.Series(
                [100 * line["groups_all_wrong"] for line in results.metrics(run.name)]
            )
            first, last = shares.head(ENDS).mean(), shares.tail(ENDS).mean()
            lines.append(f"- {run.name}: {first:.0f} → {last:.0f} % in {len(shares)} steps")
    if not lines:
        lines = [f"- no run of {method_name(figure['method'])} on {figure['mix']} at this scale"]
    if not results.toy:
        early, end = figure["all_wrong_early"], figure["all_wrong_end"]
        place = f"{figure['model']} ({figure['location']})"
        lines.append(f"- paper, {place}: near {early} → about {end} %")
    return "\n".join(lines)


def _unjudged(results: Results, sets: list[str]) -> str:
    """Counts of samples that count as not correct without having been judged wrong."""
    total, lines = 0, []
    for evaluation_set in sets:
        for name in results.evaluated:
            statuses = results.on(evaluation_set).samples(name, columns=["status"])["status"]
            counts = statuses.value_counts()
            total += counts.sum()
            found = [f"{counts[status]} {status}" for status in UNJUDGED if status in counts]
            where = name if evaluation_set == sets[0] else f"{name} on {evaluation_set}"
            if found:
                lines.append(f"- {where}: {', '.join(found)}")
    if not lines:
        return f"None of {total:,}."
    return "\n".join([f"Of {total:,} samples these count as not correct:", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lens_impl.report.summary", description=__doc__.splitlines()[0]
    )
    add_arguments(parser)
    parser.add_argument("--sets", nargs="+", required=True, help="evaluation sets, paper's first")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write_text(arguments.out, summary_markdown(from_arguments(arguments), arguments.sets))


if __name__ == "__main__":
    run_cli(main)
