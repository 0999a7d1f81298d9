"""docs/example/: the tables and figures of one real run of the workflow, and what produced them.

python -m lens_impl.report.example --results results/tiny --out docs/example
"""

import argparse
import os
import platform
import shutil
from pathlib import Path

from lens_impl.errors import UserError, run_cli
from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import planned_runs
from lens_impl.files import write_text
from lens_impl.provenance import cpu_name, origin
from lens_impl.results import Results
from lens_impl.text import grid

TABLES = ("table1.md", "table2.md", "table3.md", "effects.md")


def provenance(manifests: list[dict]) -> str:
    """Commit, dates, hours, versions and machine of some runs; UserError for mixed code."""
    made_by = origin(manifests)
    if made_by.commit is None:
        raise UserError(
            f"an example must come from one commit without uncommitted changes, but there are "
            f"{made_by}. Hint: `make clean reproduce` in a clean clone."
        )
    started, finished = min(m["started"] for m in manifests), max(m["finished"] for m in manifests)
    versions = manifests[0]["versions"]
    rows = [
        ["commit", made_by.commit],
        ["runs", f"{len(manifests)}, {started} to {finished}"],
        ["minutes of all runs", f"{sum(m['seconds'] for m in manifests) / 60:.0f}"],
        ["machine", f"{os.cpu_count()} cores, {cpu_name()}, {platform.system()}"],
        ["versions", ", ".join(f"{name} {v}" for name, v in versions.items() if v)],
    ]
    return grid(["", ""], rows, text=(0, 1))


def write_example(folder: Path, out: Path) -> None:
    """Copy tables, figures (png) and the summary, and write README.md about them.

    folder: results/{scale}. UserError where the scale's own runs have not all finished.
    """
    # Of the scale's own experiments: `make seeds` may have trained others as well.
    results = Results(folder, tuple(planned_runs(load(folder.name))))
    manifests = [results.file(run.name, "manifest.json") for run in results.runs]
    if not all(path.is_file() for path in (*manifests, folder / "summary.md")):
        raise UserError(f"{folder} has no finished run. Hint: `make reproduce` makes it.")
    about = provenance([results.manifest(run.name) for run in results.runs])
    figures = sorted((folder / "figures").glob("*.png"))
    out.mkdir(parents=True, exist_ok=True)
    for path in (folder / "summary.md", *(folder / "tables" / table for table in TABLES), *figures):
        shutil.copyfile(path, out / path.name)
    write_text(out / "README.md", _page(results, about, [figure.stem for figure in figures]))


def _page(results: Results, about: str, figures: list[str]) -> str:
    toy = " A designed toy: nothing here is about the paper's models."
    parts = [
        "# One run of `make reproduce`",
        f"Output of the workflow at scale {results.scale}, copied by `make example`."
        + (toy if results.toy else ""),
        about,
        ", ".join(f"[{Path(page).stem}]({page})" for page in ("summary.md", *TABLES)),
        *(f"![{figure}]({figure}.png)" for figure in figures),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lens_impl.report.example", description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="results/{scale}")
    parser.add_argument("--out", type=Path, required=True, help="folder, created if missing")
    arguments = parser.parse_args()
    write_example(arguments.results, arguments.out)


if __name__ == "__main__":
    run_cli(main)
