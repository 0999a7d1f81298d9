"""Tables and summary from synthetic results, and the paper's numbers."""

import sys

import pandas as pd
import pytest
from support.synthetic_results import COMMIT, synthetic_results, synthetic_runs, write_evaluations

from lens_impl.comparison import verdicts
from lens_impl.comparison.evaluations import read_evaluations
from lens_impl.comparison.gains import pass_at_k_rows
from lens_impl.comparison.paper import paper_numbers, runs_of_table
from lens_impl.errors import UserError
from lens_impl.evaluation.intervals import holm
from lens_impl.evaluation.passk import pass_at_k
from lens_impl.files import read_json, write_json
from lens_impl.report import tables
from lens_impl.report.summary import summary_markdown
from lens_impl.results import Results

PAPER = paper_numbers()
LLAMA = "llama-3-1-8b-instruct"


@pytest.fixture(scope="module")
def runs():
    return synthetic_runs()


@pytest.fixture(scope="module")
def results(tmp_path_factory, runs) -> Results:
    made = synthetic_results(tmp_path_factory.mktemp("results") / "tiny", runs)
    for table in ("table1", "table2", "table3"):
        command(made, table)
    return made


def command(results: Results, table: str) -> None:
    options = ["--results", results.path, "--out-csv", results.table(table, "csv")]
    options += ["--out-md", results.table(table, "md")]
    if table.startswith("table"):
        options += ["--out-tex", results.table(table, "tex")]
    options += ["--runs", *(run.name for run in results.runs)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tables", table, *map(str, options)])
        tables.main()


def read(results: Results, table: str) -> pd.DataFrame:
    rows = pd.read_csv(results.table(table, "csv"), keep_default_na=False)
    return rows.set_index(["method", "versus", "level", "k"])


def text_of(results: Results, table: str, suffix: str = "md") -> str:
    return results.table(table, suffix).read_text(encoding="utf-8")


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


def test_a_table_has_the_papers_models():
    runs = synthetic_runs(model=LLAMA) + synthetic_runs(model="qwen-2-5-3b-base") + synthetic_runs()

    def models(table):
        return sorted({run.model for run in runs_of_table(runs, table)})

    assert models("table2") == [LLAMA, "tiny"]
    assert models("table3") == [LLAMA, "qwen-2-5-3b-base", "tiny"]


def test_verdict_needs_an_interval_without_zero():
    def verdict(low, high, published=1.0, same=True):
        return verdicts.verdict(low, high, published, same)

    assert verdict(-1, 2) == verdict(0, 2) == verdicts.UNCLEAR
    assert verdict(0.5, 2) == verdicts.CONTAINED
    assert verdict(1.5, 2) == verdict(0.5, 2, same=False) == verdicts.SAME
    assert verdict(-2, -1) == verdicts.OPPOSITE
    assert verdict(-2, -1, published=-1.5) == verdicts.CONTAINED


def test_what_was_not_run_is_said(results, runs):
    rows = pass_at_k_rows(read_evaluations(results.only([]), PAPER["k"]), PAPER["k"])
    judged = verdicts.verdict_rows(rows, "table1")
    assert len(judged) == 10 and set(judged["verdict"]) == {verdicts.NOT_RUN}
    assert len(verdicts.collapse_not_run(judged)) == 2
    ours = pass_at_k_rows(read_evaluations(results.only(runs[:4]), PAPER["k"]), PAPER["k"])
    toy = verdicts.verdict_rows(ours, "table1")
    assert set(toy["model"]) == {"tiny"} and toy["paper_gain"].isna().all()


def test_p_values_of_a_list_are_corrected(results):
    rows = read(results, "table2")
    gains = rows.xs("grpo", level="versus").xs("all", level="level")
    p = pd.to_numeric(gains["p_value"]).to_numpy()
    assert pd.to_numeric(gains["p_holm"]).to_numpy() == pytest.approx(holm(p))


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


def test_the_papers_numbers_are_consistent_with_themselves():
    rows = {name: entry["rows"] for name, entry in PAPER["tables"].items()}
    llama = {row["method"]: row["pass_at_k"] for row in rows["table2"]}
    for row in rows["table3"]:
        if row["model"] == "Llama-3.1-8B-Instruct":
            assert row["pass_at_k"] == llama[row["method"]]
    marks = set()
    for row in [row for entry in rows.values() for row in entry]:
        assert len(row["pass_at_k"]) == len(PAPER["k"])
        assert row["pass_at_k"] == sorted(row["pass_at_k"])
        marks |= set(row.get("footnotes", []))
    assert marks == set(PAPER["footnotes"])


def test_footnotes_about_the_papers_rows_hold():
    table3 = PAPER["tables"]["table3"]["rows"]
    passes = {(row["model"], row["method"]): row["pass_at_k"] for row in table3}
    for model in ("Llama-3.1-8B-Instruct", "Qwen-2.5-3B-Base"):  # e
        gains = [b - a for a, b in zip(passes[model, "grpo"], passes[model, "lens"], strict=True)]
        assert gains[-1] < gains[0]
    assert round(passes["Qwen-2.5-3B-Base", "grpo"][-1] * 100) % 2 == 1  # b
    for row in PAPER["tables"]["table2"]["rows"]:  # c
        assert round(row["pass_at_k"][-1] * 100) % 20 == 0
    ablation = {row["method"]: row["pass_at_k"] for row in PAPER["tables"]["table2"]["rows"]}  # d
    pairs = zip(ablation["grpo"], ablation["lens-mixed-only"], strict=True)
    gains = [round(b - a, 2) for a, b in pairs]
    assert gains == [0.54, 0.40, 1.00, 0.46, 0.40]


def test_summary_fits_a_terminal_and_names_everything(results):
    text = summary_markdown(results, ["math"])
    # Headings and the paper's longer labels included.
    assert max(map(len, text.splitlines())) <= 100
    assert f"All 12 runs: commit {COMMIT[:12]}." in text
    assert "designed toy" in text
    assert "| 2 tiny  | only negative groups |" in text
    assert "| tiny_math-numina_lens-negative-only_s2" in text
    # The synthetic share of all-wrong groups falls from .45 to .35: means of five steps each.
    assert "44 → 36 %" in text and "44→36 %" in text
    assert "near 45" not in text  # the paper's: not next to a toy's
    assert "None of 8,320." in text  # 13 evaluations of 40 problems x 16 samples


def test_summary_gives_the_papers_share_where_it_can_be_compared(tmp_path):
    results = synthetic_results(
        tmp_path / "paper", synthetic_runs(model=LLAMA, seeds=(1,)), problems=5
    )
    for table in PAPER["tables"]:
        command(results, table)
    text = summary_markdown(results, ["math"])
    assert "near 45 → about 35 %" in text and "toy" not in text


def test_summary_flags_code_that_differs(tmp_path, runs):
    some = runs[:3]
    results = synthetic_results(tmp_path / "tiny", some, problems=5)
    for table in PAPER["tables"]:
        command(results, table)
    for run, git in zip(some, [("a" * 40, True), ("b" * 40, False), (None, None)], strict=True):
        path = results.file(run.name, "manifest.json")
        git = dict(zip(("commit", "dirty"), git, strict=True))
        write_json(path, read_json(path) | {"git": git})
    text = summary_markdown(results, ["math"])
    assert "MIXED COMMITS" in text
    assert f"- aaaaaaaaaaaa: {some[0].name}" in text and f"- unknown: {some[2].name}" in text
    assert f"UNCOMMITTED CHANGES when these were trained: {some[0].name}." in text


def test_summary_counts_what_could_not_be_judged(tmp_path):
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1,))[:1]
    results = synthetic_results(tmp_path / "tiny", runs, problems=5)
    for table in PAPER["tables"]:
        command(results, table)
    path = results.samples_file(runs[0].name)
    samples = pd.read_parquet(path)
    samples.loc[[0, 1, 2], "status"] = ["timeout", "timeout", "error"]
    samples.to_parquet(path)
    assert f"- {runs[0].name}: 2 timeout, 1 error" in summary_markdown(results, ["math"])


def test_another_evaluation_set_has_a_table_and_its_place_in_the_summary(tmp_path):
    """AIME has no levels, and its own n and k."""
    results = synthetic_results(tmp_path / "tiny", synthetic_runs(), problems=10)
    write_evaluations(results, "aime24", problems=30, n=64, ks=(1, 8, 64))
    for table in (*PAPER["tables"], "pass_at_k_aime24"):
        command(results, table)
    text = text_of(results, "pass_at_k_aime24")
    assert "# Pass@k on aime24" in text and "Levels 4-5" not in text
    assert "## tiny on math-dapo: 30 problems x 64 samples per run" in text
    rows = pd.read_csv(results.table("pass_at_k_aime24", "csv"), keep_default_na=False)
    assert set(rows["k"]) == {1, 8, 64} and set(rows["mix"]) == {"math-dapo", "math-numina"}
    # The base model has one seed: its row is the csv of its evaluation, interval included.
    base = rows[(rows["method"] == "base") & (rows["mix"] == "math-dapo")]
    own = results.on("aime24").pass_at_k("tiny_base")
    own = own[own["level"] == "all"]
    for column in ("estimate", "low", "high"):
        assert base[column].tolist() == pytest.approx(own[column].tolist(), abs=1e-12)
    summary = summary_markdown(results, ["math", "aime24"])
    assert "## Pass@k on aime24" in summary and "P@64" in summary
    assert "None of 27,040." in summary  # 12 runs and a base model, 160 and 1,920 samples each
