"""The paper's numbers, and which runs its tables compare."""

from support.synthetic_results import synthetic_runs

from lens_impl.comparison.paper import paper_numbers, runs_of_table

PAPER = paper_numbers()
LLAMA = "llama-3-1-8b-instruct"


def test_a_table_has_the_papers_models():
    runs = synthetic_runs(model=LLAMA) + synthetic_runs(model="qwen-2-5-3b-base") + synthetic_runs()

    def models(table):
        return sorted({run.model for run in runs_of_table(runs, table)})

    assert models("table2") == [LLAMA, "tiny"]
    assert models("table3") == [LLAMA, "qwen-2-5-3b-base", "tiny"]


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
