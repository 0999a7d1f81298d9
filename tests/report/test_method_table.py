"""The table of all methods from the files of their runs."""

import pytest
from support.synthetic_results import synthetic_results, synthetic_runs

from lens_impl.report.methods import methods, training_numbers


def line(step, sampled, relevant, seconds):
    return {
        "step": step,
        "groups_sampled": sampled,
        "gradient_relevant": relevant,
        "seconds": {"step": seconds},
    }


def test_dropped_groups_count_as_sampled_and_the_first_step_is_not_timed():
    lines = [line(1, 8, 1.0, 9.0), line(2, 16, 1.0, 2.0), line(3, 32, 1.0, 4.0)]
    numbers = training_numbers(lines, trained_groups=8)
    assert numbers["relevant"] == pytest.approx(100 * (1 + 1 / 2 + 1 / 4) / 3)
    assert numbers["groups"] == pytest.approx(56 / 3)
    assert numbers["s/step"] == 3.0
    assert training_numbers(lines[:1], trained_groups=8)["s/step"] == 9.0


def test_table_has_a_row_a_method_with_the_means_over_its_seeds(tmp_path):
    runs = synthetic_runs(mixes=("math-dapo",))
    results = synthetic_results(tmp_path / "tiny", runs, problems=20, steps=10)
    page = methods(results)
    text = page.markdown
    assert "toy" in text and "## tiny, math-dapo" in text
    (row,) = [row for row in text.splitlines() if row.startswith("| LENS ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "1 2"
    passes = [results.pass_at_k(f"tiny_math-dapo_lens_s{seed}") for seed in (1, 2)]
    assert list(page.rows["method"]) == ["grpo", "grpo", "lens", "lens"]
    first = [table[(table["level"] == "all") & (table["k"] == 1)]["estimate"] for table in passes]
    assert cells[2] == f"{100 * sum(float(x.iloc[0]) for x in first) / 2:.1f}"
    assert cells[6:] == ["90.0", "32.0", "1.5"]
    assert max(map(len, text.splitlines())) <= 110
