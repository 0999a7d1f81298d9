"""The notebooks: stored without output, views against known numbers, and execution for real."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from queue import Empty

import pandas as pd
import pytest
from support.synthetic_results import make_results, make_runs

from lens_impl.errors import UserError
from lens_impl.files import ROOT, write_json, write_parquet
from lens_impl.notebooks import groups as notebook_groups
from lens_impl.notebooks import views as notebooks
from lens_impl.notebooks.views import open_results
from lens_impl.results import Results
from lens_impl.tracking.mirror import mirror_results
from lens_impl.training import dumps as rollouts

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("results") / "tiny"
    make_results(folder, make_runs(seeds=(1,)), problems=20)
    return open_results(folder)


def test_notebooks_are_stored_without_output():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path
            # No logic: nothing but calls of the package, widgets and constants.
            code = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            assert not any(word in code for word in ("class ", "\nfor ", "\nif ", "\nwhile ")), path


def test_missing_results_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="has no finished run. Hint: `make reproduce`"):
        open_results(tmp_path)


def test_a_training_that_is_not_evaluated_is_left_out(tmp_path):
    runs = make_runs(mixes=("math-dapo",), seeds=(1,))
    make_results(tmp_path, runs, problems=5)
    (tmp_path / "runs" / runs[0]["run"] / "pass_at_k_math.csv").unlink()
    assert [run.name for run in open_results(tmp_path).runs] == [runs[1]["run"]]


def test_a_negative_group_by_hand():
    """G = 4, alpha .25, p = .8 .7 .6 .5: D = 1.6; the numbers are computed in test_advantages."""
    frame = notebook_groups.explain_group([0, 0, 0, 0], [0.5, 0.6, 0.7, 0.8])
    assert list(frame["confidence"]) == [0.8, 0.7, 0.6, 0.5]
    calibrated, lens = frame["calibrated reward"], frame["LENS advantage"]
    assert list(calibrated) == pytest.approx([-0.25, -0.19444, -0.15, -0.11364], abs=1e-5)
    assert list(lens) == pytest.approx([-0.018245, -0.004356, 0.006755, 0.015846], abs=1e-6)
    assert set(frame["GRPO advantage"]) == {0.0}


def test_groups_of_a_training(results):
    run = results.runs[0].name
    frame = notebook_groups.rollouts(results, run)
    kinds = frame.groupby("group")["kind"].first()
    assert list(kinds) == ["all wrong", "all correct", "mixed", "mixed"]
    shown = notebook_groups.show_group(results, run, 10, 0)
    assert shown.attrs == {"problem": "What is $0+1$?", "answer": "1", "kind": "all wrong"}
    assert shown["confidence"].is_monotonic_decreasing and set(shown["verdict"]) == {"wrong"}
    page = notebook_groups.browse(results, run, None, "all wrong").data
    assert "step 10, group 0 (all wrong; 1 of 1)" in page and "$" not in page
    with pytest.raises(UserError, match="must be one of"):
        notebook_groups.rollouts(results, "tiny_math-dapo_lens_s9")


def test_comparison_of_files_shows_what_differs(results):
    chosen = [run.name for run in results.runs if run.mix == "math-dapo"]
    frame = notebooks.compare_files(results, chosen)
    assert list(frame.columns) == chosen and "method" in frame.index
    assert "learning_rate" not in frame.index  # the same in both


def test_rollouts_are_bounded_and_averaged(tmp_path):
    folder = tmp_path / "checkpoints"
    rows = [
        {
            "group": f"uid{group}",
            "problem_id": f"p{group}",
            "level": 3,
            "response": f"answer {group}",
            "reward": float(sample),
            "old_log_probs": [-0.2, -0.4] if sample else [],
            "advantages": [1.0, 3.0] if sample else [],
        }
        for group in range(rollouts.KEPT_GROUPS + 2)
        for sample in range(2)
    ]
    for step in (10, 5):
        write_parquet(folder / "rollouts" / f"step_{step}.parquet", pd.DataFrame(rows))
    frame = rollouts.collect(folder)
    assert list(frame.columns) == rollouts.COLUMNS and list(frame["step"].unique()) == [5, 10]
    first = frame[(frame["step"] == 5) & (frame["group"] == 0)]
    assert list(first["confidence"]) == pytest.approx([1.0, 0.740818], abs=1e-6)  # exp(0), exp(-.3)
    assert list(first["advantage"]) == [0.0, 2.0] and list(first["length"]) == [0, 2]
    assert frame["response"].isna().sum() == 2 * 2 * 2
    assert rollouts.collect(tmp_path).empty


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
    assert "holds no finished training" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "page.html").exists()


class Deaf:
    """A socket whose poll is not woken by its message until it has been asked `times` times."""

    def __init__(self, times: int):
        self.times, self.polls = times, []

    async def poll(self, timeout: int) -> int:
        self.polls.append(timeout)
        return int(len(self.polls) > self.times)


@pytest.mark.parametrize("timeout", [None, 600])
def test_a_message_that_wakes_no_poll_is_seen_by_the_next(timeout, monkeypatch):
    from lens_impl.notebooks.kernel import PollingChannel

    socket = Deaf(2)
    channel = object.__new__(PollingChannel)
    channel.socket = socket

    async def receive():
        return {"content": "reply"}

    monkeypatch.setattr(channel, "_recv", receive)
    assert asyncio.run(channel.get_msg(timeout)) == {"content": "reply"}
    assert socket.polls == [1000] * 3


def test_a_message_that_never_comes():
    from lens_impl.notebooks.kernel import PollingChannel

    channel = object.__new__(PollingChannel)
    channel.socket = Deaf(99)
    with pytest.raises(Empty):
        asyncio.run(channel.get_msg(0.5))
    assert len(channel.socket.polls) == 1 and 400 < channel.socket.polls[0] <= 500
