"""Puts the goals of benchmarks/results/*.json into docs/performance.md, between its two marks.

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
)
ORDER += ("passk", "growth", "main_job")


def made(results: list[dict]) -> str:
    """The table of goals, and where each benchmark's numbers are from."""
    goals = [goal for result in results for goal in result["goals"]]
    header = ["benchmark", "command", "date", "commit", "s", "machine"]
    keys = ("command", "date", "commit", "seconds", "machine")
    rows = [
        [f"[{r['name']}](../benchmarks/results/{r['name']}.md)", *(str(r[key]) for key in keys)]
        for r in results
    ]
    used = dict(sorted({pair for r in results for pair in r["versions"].items()}))
    parts = [
        f"{sum(goal['met'] for goal in goals)} of {len(goals)} goals are met.",
        goals_table(goals),
        grid(header, rows, text=tuple(range(len(header)))),
        "Versions: " + ", ".join(f"{package} {version}" for package, version in used.items()),
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
