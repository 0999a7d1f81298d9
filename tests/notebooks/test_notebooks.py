"""The notebooks: stored without output, and executed for real."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lens_impl.files import ROOT, write_json
from lens_impl.tracking.mirror import mirror_results

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_notebooks_are_stored_without_output():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path
            # No logic: nothing but calls of the package, widgets and constants.
            code = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            assert not any(word in code for word in ("class ", "\nfor ", "\nif ", "\nwhile ")), path


def execute(notebook: Path, results: Path, out: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "lens_impl.notebooks.execute", "--notebook", str(notebook)]
    command += ["--results", str(results), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_executes(results, tmp_path, notebook):
    if notebook.stem.startswith("04"):
        uri = f"sqlite:///{results.path.parent / 'mlflow.db'}"
        mirror_results(uri, "lens-tiny", results)
    done = execute(notebook, results.path, tmp_path / "page.html")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_notebook_without_results_says_so_in_a_sentence(tmp_path):
    write_json(tmp_path / "other.json", {})
    done = execute(NOTEBOOKS[1], tmp_path, tmp_path / "page.html")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "has no finished run" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "page.html").exists()
