"""Views of the notebooks on synthetic results, whose numbers are known."""

import pandas as pd
import pytest
from support.synthetic_results import metrics_line, synthetic_results, synthetic_runs

from lens_impl.errors import UserError
from lens_impl.notebooks import views
from lens_impl.notebooks.views import open_results
from lens_impl.tracking.mirror import mirror_results


def test_missing_results_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="has no finished run. Hint: `make reproduce`"):
        open_results(tmp_path)


def test_a_run_that_is_not_evaluated_is_left_out(tmp_path):
    first, second = synthetic_runs(mixes=("math-dapo",), seeds=(1,))
    results = synthetic_results(tmp_path, [first, second], problems=5)
    results.file(first.name, "pass_at_k_math.csv").unlink()
    assert open_results(tmp_path).runs == (second,)


def test_drawn_metrics_are_those_of_the_file(results, pair):
    names = ["reward", "confidence_wrong", "advantage_negative", "seconds.rollout"]
    figure = views.metrics_figure(results, pair, names)
    shown, empty = figure.axes[:4], figure.axes[4:]
    assert [ax.get_title() for ax in shown] == names
    assert len(empty) == 2 and not any(ax.axison for ax in empty)  # two rows of three
    for ax, name in zip(shown, names, strict=True):
        assert [line.get_label() for line in ax.get_lines()] == pair
        for line, method in zip(ax.get_lines(), ("grpo", "lens"), strict=True):
            lines = pd.json_normalize([metrics_line(step, 30, method) for step in range(1, 31)])
            assert list(line.get_xdata()) == list(range(1, 31))
            # nothing is drawn at step 1, where the confidence of wrong answers is null
            assert line.get_ydata() == pytest.approx(lines[name].astype(float), nan_ok=True)
    markers = {line.get_marker() for line in shown[0].get_lines()}
    assert len(markers) == 2
    assert "designed toy" in " ".join(text.get_text() for text in figure.texts)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == pair


def test_drawn_metrics_are_a_picture(results, pair):
    assert views.draw_metrics(results, pair, ["reward"]).data.startswith(b"\x89PNG")
    with pytest.raises(KeyError, match="rewards"):
        views.draw_metrics(results, pair, ["rewards"])


def test_comparison_of_files_shows_what_differs(results, pair):
    frame = views.compare_files(results, pair)
    assert list(frame.columns) == pair
    assert list(frame.loc["method"]) == ["grpo", "lens"]
    assert list(frame.loc["recipe.advantage"]) == ["grpo", "lens"]
    # the mean of the last five steps: LENS alone learns from negative groups
    assert list(frame.loc["last 5 steps/advantage_negative"]) == pytest.approx([0, 0.003])
    # the same in both: one learning rate, one course of the reward
    assert not {"learning_rate", "mix", "last 5 steps/reward"} & set(frame.index)
    for run in pair:
        written = results.pass_at_k(run).set_index(["level", "k"])["estimate"]
        for level, k in (("all", 1), ("4-5", 16)):
            shown = frame[run].get(f"pass_at_{k}/level_{level}")
            assert shown is None or shown == written[level, k]
    assert "pass_at_1/level_all" in frame.index


def test_one_run_alone_shows_everything(results, pair):
    frame = views.compare_files(results, pair[:1])
    assert frame.loc["learning_rate", pair[0]] == 3e-4
    # steps 26 to 30 of 30: 0.3 + 0.2 * 28 / 30
    assert frame.loc["last 5 steps/reward", pair[0]] == pytest.approx(0.3 + 0.2 * 28 / 30)


def test_comparison_of_a_run_that_is_not_there(results):
    with pytest.raises(UserError, match="must be one of"):
        views.compare_files(results, ["tiny_math-dapo_lens_s9"])


def test_runs_that_mlflow_knows(tmp_path, migrated, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = synthetic_runs(mixes=("math-dapo",), seeds=(1,))
    results = synthetic_results(tmp_path / "tiny", runs, problems=5, steps=10)
    with pytest.raises(UserError, match="mlflow.db does not exist. Hint: `make reproduce`"):
        views.compare_mlflow(results)
    (tmp_path / "mlflow.db").write_bytes(migrated.read_bytes())
    with pytest.raises(UserError, match="has no experiment 'lens-tiny'"):
        views.compare_mlflow(results)
    mirror_results(f"sqlite:///{tmp_path / 'mlflow.db'}", "lens-tiny", results)
    frame = views.compare_mlflow(results)
    # training runs alone: neither the base model nor the run that has the tables
    assert list(frame.index) == [run.name for run in runs]
    assert list(frame["params.method"]) == ["grpo", "lens"]
    assert list(frame["metrics.reward/mean"]) == pytest.approx([0.5, 0.5])  # of the last step
    for run in runs:
        written = results.pass_at_k(run.name).set_index(["level", "k"])["estimate"]
        assert frame.loc[run.name, "metrics.math/pass_at_1/level_all"] == written["all", 1]
