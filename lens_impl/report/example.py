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
from lens_impl.files import read_json, write_text
from lens_impl.provenance import processor
from lens_impl.report.names import TOY_SCALES
from lens_impl.text import grid

TABLES = ("table1.md", "table2.md", "table3.md", "effects.md")


def provenance(manifests: list[dict]) -> str:
    """Commit, dates, hours, versions and machine of some trainings; UserError for mixed code."""
    commits = {manifest["git"]["commit"] for manifest in manifests}
    dirty = [manifest["run"] for manifest in manifests if manifest["git"]["dirty"]]
    if len(commits) > 1 or None in commits or dirty:
        raise UserError(
            f"the trainings are of the commits {sorted(map(str, commits))}, with uncommitted "
            f"changes in {dirty or 'none'}: an example must come from one commit. "
            "Hint: `make clean reproduce` in a clean clone."
        )
    versions = manifests[0]["versions"]
    rows = [
        ["commit", commits.pop()],
        [
            "trainings",
            f"{len(manifests)}, {min(m['started'] for m in manifests)} "
            f"to {max(m['finished'] for m in manifests)}",
        ],
        ["minutes of all trainings", f"{sum(m['seconds'] for m in manifests) / 60:.0f}"],
        ["machine", f"{os.cpu_count()} cores, {processor()}, {platform.system()}"],
        ["versions", ", ".join(f"{name} {v}" for name, v in versions.items() if v)],
    ]
    return grid(["", ""], rows, text=(0, 1))


def write_example(results: Path, out: Path) -> None:
    """Copy tables, figures (png) and the summary, and write README.md about them."""
    # Of the scale's own experiments: `make seeds` may have trained others beside them.
    runs = planned_runs(load(results.name))
    paths = [results / "runs" / run.name / "manifest.json" for run in runs]
    if not all(path.is_file() for path in (*paths, results / "summary.md")):
        raise UserError(f"{results} holds no finished run. Hint: `make reproduce` makes it.")
    about = provenance([read_json(path) for path in paths])
    out.mkdir(parents=True, exist_ok=True)
    for name in ("summary.md", *(f"tables/{table}" for table in TABLES)):
        shutil.copyfile(results / name, out / Path(name).name)
    figures = sorted((results / "figures").glob("*.png"))
    for figure in figures:
        shutil.copyfile(figure, out / figure.name)
    toy = (
        " A designed toy: nothing here is about the paper's models."
        if results.name in TOY_SCALES
        else ""
    )
    shown = "\n\n".join(f"![{figure.stem}]({figure.name})" for figure in figures)
    text = f"""# One run of `make reproduce`

Output of the workflow at scale {results.name}, copied by `make example`.{toy}

{about}

[summary](summary.md), {", ".join(f"[{Path(t).stem}]({t})" for t in TABLES)}

{shown}
"""
    write_text(out / "README.md", text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lens_impl.report.example", description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="results/{scale}")
    parser.add_argument("--out", type=Path, required=True, help="folder, made if missing")
    arguments = parser.parse_args()
    write_example(arguments.results, arguments.out)


if __name__ == "__main__":
    run_cli(main)
