"""Evaluations that are damaged, missing or do not fit the others."""

import pandas as pd
import pytest
from support.synthetic_results import synthetic_results, synthetic_runs
from support.tables import command, read, text_of

from lens_impl.comparison.paper import paper_numbers
from lens_impl.errors import UserError
from lens_impl.files import write_json

PAPER = paper_numbers()
LLAMA = "llama-3-1-8b-instruct"


def break_truncated(run_dir):
    path = run_dir / "samples_math.parquet"
    path.write_bytes(path.read_bytes()[:-200])


def break_missing(run_dir):
    (run_dir / "samples_math.parquet").unlink()


def break_partial(run_dir):
    path = run_dir / "samples_math.parquet"
    pd.read_parquet(path).iloc[:-1].to_parquet(path)


def break_problems(run_dir):
    path = run_dir / "samples_math.parquet"
    pd.read_parquet(path).iloc[16:].to_parquet(path)


def break_n(run_dir):
    path = run_dir / "samples_math.parquet"
    samples = pd.read_parquet(path)
    samples[samples["sample"] < 8].to_parquet(path)


def break_manifest(run_dir):
    (run_dir / "manifest.json").write_text('{"git"')


@pytest.mark.parametrize(
    ("damage", "words", "left_out"),
    [
        (break_truncated, "is left out: ", True),
        (break_missing, "samples_math.parquet is missing", True),
        (break_partial, "does not have 16 different samples", True),
        (break_problems, "it answers 19 problems, the others 20", True),
        (break_n, "Pass@16 is without tiny_math-dapo_lens_s2 (n = 8)", False),
        (break_manifest, "cannot be read: which code made", False),
    ],
)
def test_damaged_results_are_named_and_the_rest_is_shown(tmp_path, damage, words, left_out):
    runs = synthetic_runs(mixes=("math-dapo",))
    results = synthetic_results(tmp_path / "tiny", runs, problems=20)
    damage(results.file("tiny_math-dapo_lens_s2", ""))
    with pytest.raises(UserError, match="tiny_math-dapo_lens_s2"):
        command(results, "table1")
    text = text_of(results, "table1")
    assert "tiny_math-dapo_lens_s2" in text and words in " ".join(text.split())
    rows = read(results, "table1")
    assert rows.loc[("lens", "", "all", 1), "seeds"] == ("1" if left_out else "1 2")
    assert rows.loc[("grpo", "", "all", 16), "seeds"] == "1 2"
    assert rows.loc[("lens", "", "all", 16), "seeds"] == (
        "1" if left_out or damage is break_n else "1 2"
    )


def test_mixed_commits_are_named_and_stop_nothing(tmp_path):
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1,))
    results = synthetic_results(tmp_path / "tiny", runs, problems=10)
    manifest = results.manifest(runs[0].name)
    git = {"commit": "b" * 40, "dirty": False}
    write_json(results.file(runs[0].name, "manifest.json"), manifest | {"git": git})
    command(results, "table1")
    text = text_of(results, "table1")
    assert f"MIXED COMMITS, so code may differ between these runs: {'b' * 12}" in text


def test_k_above_n_and_missing_runs(tmp_path):
    runs = [run for run in synthetic_runs(seeds=(1,)) if run.method == "lens-mixed-only"]
    results = synthetic_results(tmp_path / "smoke", runs, problems=10, n=4)
    for table in ("table1", "table2"):
        command(results, table)
    text = text_of(results, "table1")
    assert "No run of this table is among the experiments of scale smoke." in text
    text = text_of(results, "table2")
    ours = text.split("## The paper's numbers")[0]
    assert "Pass@4 |" in ours and "Pass@8 |" not in ours
    assert "not run" in ours and "Pass@8, Pass@16 cannot be estimated from n = 4" in ours
