"""Whether two results folders of one scale have equal numbers: the check of a change of code.

Compared are the files with numbers: metrics (without seconds), validations, rollouts, samples,
Pass@k, base models, data and tables. Of markdown and LaTeX the numbers alone are compared, so that
words may change. What says when, where and by which code something ran is not compared.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lens_impl.errors import UserError
from lens_impl.files import read_json, read_jsonl
from lens_impl.text import grid

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d,]*)?\.?\d+(?![\w.])")


@dataclass(frozen=True)
class Verdict:
    """file: relative to the folder; difference: "" where equal, else the first one."""

    file: str
    difference: str


def _metrics(path: Path) -> list[str]:
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in read_jsonl(path)]
    return [json.dumps(line, sort_keys=True) for line in lines]


def _pass_at_k(path: Path) -> list[str]:
    """Ends of intervals within 0 and 1: older results have them outside."""
    table = pd.read_csv(path, dtype={"level": str})
    table[["low", "high"]] = table[["low", "high"]].clip(0, 1)
    return table.to_csv(index=False).splitlines()


def _parquet(path: Path) -> list[str]:
    rows = pd.read_parquet(path).itertuples(index=False, name=None)
    return [repr(row) for row in rows]  # a float's repr is exact


def _json(path: Path) -> list[str]:
    return json.dumps(read_json(path), sort_keys=True, indent=1).splitlines()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _numbers(path: Path) -> list[str]:
    return NUMBER.findall(path.read_text(encoding="utf-8"))


# What is compared, and how a file becomes the lines that must be equal.
FILES: dict[str, Callable[[Path], list[str]]] = {
    "runs/*/metrics.jsonl": _metrics,
    "runs/*/curves.parquet": _parquet,
    "runs/*/rollouts.parquet": _parquet,
    "runs/*/samples_*.parquet": _parquet,
    "runs/*/pass_at_k_*.csv": _pass_at_k,
    "models/*.regime.json": _json,
    "data/*.parquet": _parquet,
    "tables/*.csv": _lines,
    "tables/*.tex": _numbers,
    "tables/*.md": _numbers,
}


def compare(before: Path, after: Path) -> list[Verdict]:
    """The verdict on every file that one of two results folders has, in the order of FILES."""
    verdicts = []
    for pattern, read in FILES.items():
        found = {
            path.relative_to(folder) for folder in (before, after) for path in folder.glob(pattern)
        }
        for file in sorted(found):
            verdicts.append(Verdict(str(file), _difference(before / file, after / file, read)))
    if not verdicts:
        raise UserError(
            f"{before} and {after} have no results. Hint: give two folders results/<scale>."
        )
    return verdicts


def _difference(before: Path, after: Path, read: Callable[[Path], list[str]]) -> str:
    for path, which in ((before, "before"), (after, "after")):
        if not path.is_file():
            return f"missing {which}"
    old, new = read(before), read(after)
    for number, (first, second) in enumerate(zip(old, new, strict=False), start=1):
        if first != second:
            return f"item {number}: {first[:60]} -> {second[:60]}"
    return "" if len(old) == len(new) else f"{len(old)} items -> {len(new)}"


def report(before: Path, after: Path) -> tuple[str, bool]:
    """One line per kind of file and each difference; whether all are equal."""
    verdicts = compare(before, after)
    kinds: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        kinds.setdefault(Path(verdict.file).name, []).append(verdict)
    rows = [
        [kind, str(len(of)), str(sum(not verdict.difference for verdict in of))]
        for kind, of in kinds.items()
    ]
    lines = [f"- {v.file}: {v.difference}" for v in verdicts if v.difference]
    return "\n".join([grid(["file", "compared", "equal"], rows), *lines]), not lines
