"""Pages: their links lead somewhere, the code they name exists, the README's example is true."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lens_impl.files import ROOT

PAGES = [
    page
    for pattern in ("*.md", "config/*.md", "results/*.md", "docs/*.md", "docs/example/*.md")
    for page in sorted(ROOT.glob(pattern))
]
# The log speaks of the code of its day.
PRESENT = [page for page in PAGES if page.name != "LOG.md"]
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
# `lens_impl/theory.py` or `lens_impl/theory.py: value, theorem_2`
CODE = re.compile(r"`(lens_impl/[\w/]+\.py)(?:: ([\w, ]+))?`")
# Other paths of the project that pages name in backquotes; patterns and results are not among them.
PATH = re.compile(r"`((?:tests|rules|benchmarks|envs|docs|config|workflow|notebooks)/[\w./-]+)`")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_resolve(page):
    missing = []
    for link in LINK.findall(text(page)):
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if "://" in link or (file.exists() and (not anchor or anchor in anchors(file))):
            continue
        missing.append(link)
    assert not missing


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_named_paths_exist(page):
    missing = [path for path in PATH.findall(text(page)) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_named_code_exists(page):
    missing = []
    for path, symbols in CODE.findall(text(page)):
        if not (ROOT / path).is_file():
            missing.append(path)
            continue
        defined = top_level_names(ROOT / path)
        wanted = re.findall(r"\w+", symbols)
        missing += [f"{path}: {symbol}" for symbol in wanted if symbol not in defined]
    assert not missing


def top_level_names(module: Path) -> set[str]:
    names = set()
    for node in ast.parse(text(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_the_readmes_example_prints_its_table():
    readme = text(ROOT / "README.md")
    code = readme.split("```python\n")[1].split("```")[0]
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split()[1:] for line in printed.splitlines()]
    table = [re.findall(r"(?<=\| )[-+]?[\d.]+(?= \|)", row) for row in readme.splitlines()]
    shown = [row for row in table if len(row) == 4][1:]
    assert [[float(value) for value in row] for row in shown] == [
        [float(value) for value in row] for row in rows
    ]


def test_every_part_of_the_package_is_on_the_readmes_map():
    readme = text(ROOT / "README.md").split("## Map")[1]
    parts = [path.name for path in sorted((ROOT / "lens_impl").iterdir()) if path.is_dir()]
    shown = re.findall(r"^  (\w+)/", readme, flags=re.MULTILINE)
    assert sorted(shown) == [part for part in parts if not part.startswith("__")]
