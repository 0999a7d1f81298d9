"""The rooms of the package: which may import which, and which libraries stay in one room."""

import ast
from graphlib import TopologicalSorter

import pytest

from lens_impl.files import ROOT

# A room imports only from rooms on lower floors.
FLOORS = (
    ("errors", "identity", "lazy_torch", "text"),
    ("files", "provenance", "theory"),
    ("advantages", "grading"),
    ("experiments", "models"),
    ("data", "evaluation", "results", "verl_plugin"),
    ("comparison", "tracking"),
    ("training",),
    ("report",),
    ("__main__", "notebooks"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
LIBRARIES = {
    "matplotlib": {"report", "notebooks"},
    "mlflow": {"tracking", "notebooks"},
    "verl": {"verl_plugin"},
    "ray": {"verl_plugin"},
    "torch": FLOOR.keys() - {"experiments", "comparison", "tracking", "report"},
    "pandas": FLOOR.keys() - {"experiments"},
}
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / "lens_impl").rglob("*.py")
}


def imported(name: str, types: bool = True) -> dict[str, int]:
    """Module -> line, of all that one of our modules imports, also within its functions.

    types: also what only a type checker imports.
    """
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    if not types:
        tree.body = [part for part in tree.body if "TYPE_CHECKING:" not in ast.unparse(part)]
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                found[module if module in FILES else str(node.module)] = node.lineno
    return found


MODULES = {name: imported(name) for name in FILES if name != "lens_impl"}


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_its_floor():
    assert {room(name) for name in MODULES} <= FLOOR.keys()


def test_a_room_imports_only_from_rooms_below():
    upwards = [
        f"{FILES[name].relative_to(ROOT)}:{line} imports {other}"
        for name, modules in MODULES.items()
        for other, line in modules.items()
        if other in MODULES
        and room(other) != room(name)
        and FLOOR[room(other)] >= FLOOR[room(name)]
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle():
    at_run_time = {name: imported(name, types=False) for name in MODULES}
    assert set(TopologicalSorter(at_run_time).static_order()) >= MODULES.keys()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_in_its_rooms(library):
    outside = [
        f"{FILES[name].relative_to(ROOT)}:{line} imports {other}"
        for name, modules in MODULES.items()
        for other, line in modules.items()
        if other.split(".")[0] == library and room(name) not in LIBRARIES[library]
    ]
    assert outside == []
