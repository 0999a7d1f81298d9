"""Tables from synthetic results."""

import pandas as pd
import pytest
from support.synthetic_results import COMMIT, synthetic_results, synthetic_runs
from support.tables import command, read, text_of

from lens_impl.comparison import verdicts
from lens_impl.comparison.evaluations import read_evaluations
from lens_impl.comparison.paper import paper_numbers
from lens_impl.evaluation.intervals import holm
from lens_impl.evaluation.passk import pass_at_k

PAPER = paper_numbers()
LLAMA = "llama-3-1-8b-instruct"


def test_estimates_are_means_over_problems_and_seeds(results):
    rows = read(results, "table1")
    found = read_evaluations(results, [1])
    both = [found.counts[f"tiny_math-dapo_lens_s{seed}"] for seed in (1, 2)]
    means = [pass_at_k(16, seed["correct"].to_numpy(), 4).mean() for seed in both]
    row = rows.loc[("lens", "", "all", 4)]
    assert row["estimate"] == pytest.approx(sum(means) / 2)
    assert row["seed_low"] == str(min(means)) and row["seed_high"] == str(max(means))
    assert row["low"] < row["estimate"] < row["high"]
    assert (row["seeds"], row["problems"], row["n"]) == ("1 2", 40, 16)
    assert rows.loc[("lens", "", "4-5", 4), "problems"] == 16
    assert rows.loc[("base", "", "all", 1), "seeds"] == "-"


def test_gain_is_the_difference_of_the_estimates(results):
    rows = read(results, "table1")
    gain = rows.loc[("lens", "grpo", "all", 1)]
    lens, grpo = (rows.loc[(method, "", "all", 1), "estimate"] for method in ("lens", "grpo"))
    assert gain["estimate"] == pytest.approx(lens - grpo)
    assert 0 < float(gain["p_value"]) <= 1


def test_each_table_has_the_methods_of_the_papers(results):
    for table in ("table1", "table2", "table3"):
        methods = list(dict.fromkeys(row["method"] for row in PAPER["tables"][table]["rows"]))
        passes = read(results, table).xs("", level="versus")
        assert list(dict.fromkeys(passes.index.get_level_values("method"))) == ["base", *methods]


def test_toy_keeps_the_papers_numbers_apart(results):
    text = text_of(results, "table1")
    ours, theirs = text.split("## The paper's numbers")
    assert "not comparable with the paper's absolute numbers" in ours
    for row in PAPER["tables"]["table1"]["rows"]:
        for number in row["pass_at_k"]:
            assert f"{number:.2f}" not in ours and f"{number:.2f}" in theirs
    assert "verdict" in ours and verdicts.CONTAINED not in ours
    assert "+2.54" in theirs and "+2.54" not in ours
    assert "[a] No set of counts" in theirs


def test_the_papers_model_stands_beside_ours(tmp_path):
    runs = synthetic_runs(model=LLAMA, mixes=("math-numina",), seeds=(1,))
    results = synthetic_results(tmp_path / "paper", runs, problems=20)
    command(results, "table3")
    text = text_of(results, "table3")
    ours = text.split("## The paper's numbers")[0]
    assert "toy" not in text
    assert "| paper [c] " in ours and "83.40" in ours
    assert "86.28" not in ours  # the other model's
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ours.splitlines()]
    gains = [row for row in rows if row[:1] == ["LENS"] and len(row) == 7]
    assert [row[4] for row in gains] == ["+1.76", "+0.66", "+1.90", "+1.12", "+0.60"]
    tex = text_of(results, "table3", "tex")
    assert r"\toprule" in tex and "83.40" in tex and "Qwen-2.5-3B-Base" in tex


def test_p_values_of_a_list_are_corrected(results):
    rows = read(results, "table2")
    gains = rows.xs("grpo", level="versus").xs("all", level="level")
    p = pd.to_numeric(gains["p_value"]).to_numpy()
    assert pd.to_numeric(gains["p_holm"]).to_numpy() == pytest.approx(holm(p))


def test_effects_by_level_and_subject(results, runs):
    command(results, "effects")
    rows = pd.read_csv(results.table("effects", "csv"), dtype={"label": str})
    lens = rows[(rows["mix"] == "math-dapo") & (rows["k"] == 1)]
    assert list(lens[lens["by"] == "level"]["label"]) == ["1", "2", "3", "4", "5"]
    assert list(lens[lens["by"] == "subject"]["label"]) == ["Algebra", "Geometry"]
    weights = lens[lens["by"] == "level"]
    whole = read(results, "table1").loc[("lens", "grpo", "all", 1), "estimate"]
    mean = (weights["estimate"] * weights["problems"]).sum() / weights["problems"].sum()
    assert mean == pytest.approx(whole)
    assert "## LENS on math-dapo, tiny, seeds 1, 2" in text_of(results, "effects")


def test_many_seeds(tmp_path):
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1, 2, 3, 4, 5))
    results = synthetic_results(tmp_path / "tiny", runs, problems=60)
    command(results, "seeds")
    rows = pd.read_csv(results.table("seeds", "csv")).set_index(["level", "k"])
    assert set(rows.index) == {("all", 1), ("all", 16), ("4-5", 1), ("4-5", 16)}
    row = rows.loc[("all", 1)]
    assert row["low"] < row["estimate"] < row["high"] and row["seeds"] == "1 2 3 4 5"
    assert row["paper_effect"] == pytest.approx((2.54 + 1.53) / 200)
    assert 0 < row["power_2"] < row["power_5"] < row["power_20"] <= 1
    text = text_of(results, "seeds")
    assert f"Of 10 runs: 10 runs, commit {COMMIT[:12]}, finished 2026-01-01." in text
