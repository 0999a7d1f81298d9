"""Put the goals of benchmarks/results/*.json into docs/performance.md, between its two marks.

python benchmarks/page.py
"""

import json

from common import RESULTS, ROOT, goals_table

from lens_impl.files import write_text
from lens_impl.text import grid

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- made by `make bench` -->", "<!-- end of what `make bench` makes -->"
ORDER = (
    "advantages",
    "step",
    "startup",
    "grading_repeated",
    "grading_distinct",
    "grading_training",
    "passk",
    "growth",
    "main_job",
)


def made(results: list[dict]) -> str:
    """The table of goals, and where each benchmark's numbers are from."""
    goals = [goal for result in results for goal in result["goals"]]
    header = ["benchmark", "date", "commit", "s", "load"]
    machines = [r["machine"].split("; load ") for r in results]
    rows = [
        [f"[{r['name']}](../benchmarks/results/{r['name']}.md)", r["date"], r["commit"]]
        + [str(r["seconds"]), load]
        for r, (_, load) in zip(results, machines, strict=True)
    ]
    used = dict(sorted({pair for r in results for pair in r["versions"].items()}))
    parts = [
        f"{sum(goal['met'] for goal in goals)} of {len(goals)} goals are met.",
        goals_table(goals),
        grid(header, rows, text=(0, 1, 2)),
        "Machine: " + "; ".join(sorted({machine for machine, _ in machines})) + ". "
        "Load: mean of the last five minutes. Versions: "
        + ", ".join(f"{package} {version}" for package, version in used.items()),
    ]
    return "\n\n".join(parts)


def main() -> None:
    files = [RESULTS / f"{name}.json" for name in ORDER]
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_text(PAGE, f"{before}{BEGIN}\n\n{made(results)}\n\n{END}{after}")


if __name__ == "__main__":
    main()
