"""Figures from synthetic results: what is drawn is read back from the axes."""

import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from support.synthetic_results import synthetic_results, synthetic_runs, write_evaluations

from lens_impl.report import registry
from lens_impl.report.figures import __main__ as command
from lens_impl.report.figures.style import context
from lens_impl.results import Results
from lens_impl.theory import weight

LLAMA = "llama-3-1-8b-instruct"


@pytest.fixture(scope="module")
def runs():
    return synthetic_runs() + synthetic_runs(model="other", seeds=(1,))


@pytest.fixture(scope="module")
def results(tmp_path_factory, runs) -> Results:
    return synthetic_results(tmp_path_factory.mktemp("results") / "tiny", runs)


def draw(results: Results, name: str):
    return registry.figure(name)(results)


def bold(ax):
    """Label -> line of the lines that have a label."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_curves_show_the_mean_over_seeds(results, runs):
    figure = draw(results, "figure5_math_dapo")
    assert [ax.get_title() for ax in figure.axes] == [
        "tiny\nall levels: 40 problems x 16 samples",
        "tiny\nLevels 4-5: 16 problems x 16 samples",
        "other\nall levels: 40 problems x 16 samples",
        "other\nLevels 4-5: 16 problems x 16 samples",
    ]
    for ax, hard in zip(figure.axes[:2], (False, True), strict=True):
        lines = bold(ax)
        assert list(lines) == ["GRPO (2 seeds)", "LENS (2 seeds)"]
        seeds = [results.curves(f"tiny_math-dapo_lens_s{seed}") for seed in (1, 2)]
        if hard:
            seeds = [curves[curves["level"] >= 4] for curves in seeds]
        sums = [curves.groupby("step")[["correct", "n"]].sum() for curves in seeds]
        expected = np.mean([100 * s["correct"] / s["n"] for s in sums], axis=0)
        line = lines["LENS (2 seeds)"]
        assert list(line.get_xdata()) == [0, 10, 20, 30]  # step 0 is the base model
        assert line.get_ydata() == pytest.approx(expected)
        # Two bold lines, and a thin one for each of the two seeds of both methods.
        assert len(ax.lines) == 6 and len(ax.collections) == 2
    assert list(bold(figure.axes[2])) == ["GRPO (1 seed)", "LENS (1 seed)"]
    assert len(figure.axes[2].lines) == 2


def test_methods_differ_in_grey(results, runs):
    figure = draw(results, "figure6_math_numina")
    lines = bold(figure.axes[0])
    assert list(lines) == ["GRPO (2 seeds)", "LENS (2 seeds)"]  # no ablation in Figure 6
    for attribute in ("get_linestyle", "get_marker"):
        assert len({getattr(line, attribute)() for line in lines.values()}) == 2
    assert {to_hex(line.get_color()) for line in lines.values()} == {"#d55e00", "#0072b2"}


def test_negative_ratio_shows_grpo_alone(results, runs):
    figure = draw(results, "figure2_negative_ratio")
    lines = bold(figure.axes[0])
    assert [label.split(":")[0] for label in lines] == ["tiny", "other", "paper"]
    theirs = lines["paper: Llama-3.1-8B-Instruct, start and end"]
    assert list(theirs.get_ydata()) == [45, 35] and theirs.get_markerfacecolor() == "none"
    assert "32 groups per step, G = 16, 2 seeds" in next(iter(lines))
    line = next(iter(lines.values()))
    assert list(line.get_xdata()) == list(range(1, 31))
    # Shares fall by 1/3 point a step; a centred mean of three keeps them inside, and the ends
    # are means of two.
    assert line.get_ydata()[1:-1] == pytest.approx([45 - step / 3 for step in range(2, 30)])
    assert line.get_ydata()[0] == pytest.approx(45 - 1.5 / 3)
    # the bold lines, two seeds of one model and one of the other, the paper's
    assert len(figure.axes[0].lines) == 6


def test_weight_is_equation_13():
    assert weight(np.array([0.5])) == pytest.approx([2 * np.log(2) - 1])
    assert weight(np.array([0.8])) == pytest.approx([np.log(5) / 0.8 - 1])
    assert weight(np.array([1e-9])) == pytest.approx([0.5e-9], abs=1e-6)


def test_toy_scales_say_so_inside_the_picture(results, tmp_path):
    paper = synthetic_results(tmp_path / "paper", synthetic_runs(seeds=(1,)), problems=10)
    for name in ("figure2_negative_ratio", "figure5_math_dapo", "figure6_math_numina"):
        note = draw(results, name).get_supxlabel()
        assert note == "tiny scale: designed toy, not the paper's models"
        assert "toy" not in draw(paper, name).get_supxlabel()


@pytest.mark.parametrize("name", ["figure2_negative_ratio", "figure6_math_numina"])
def test_a_figure_without_runs_says_so(results, name):
    figure = draw(results.only([]), name)
    words = figure.axes[0].texts[0].get_text()
    assert "no run of GRPO" in words and "at scale tiny" in words


@pytest.mark.parametrize("name", ["figure2_negative_ratio", "figure4_weight", "rescued"])
def test_same_files_same_bytes(results, runs, name, tmp_path, monkeypatch):
    written = []
    for attempt in ("a", "b"):
        pdf, png = tmp_path / attempt / "f.pdf", tmp_path / attempt / "f.png"
        options = ["--results", results.path, "--out-pdf", pdf, "--out-png", png]
        options += ["--runs", *(run.name for run in runs)]
        monkeypatch.setattr(sys, "argv", ["figures", name, *map(str, options)])
        command.main()
        written.append((pdf.read_bytes(), png.read_bytes()))
    assert written[0] == written[1]
    assert written[0][0].startswith(b"%PDF") and b"CreationDate" not in written[0][0]
    assert written[0][1].startswith(b"\x89PNG")


def test_the_papers_model_has_its_end_point_hollow(tmp_path):
    runs = synthetic_runs(model=LLAMA, mixes=("math-dapo",), seeds=(1,))
    results = synthetic_results(tmp_path / "paper", runs, problems=10)
    figure = draw(results, "figure5_math_dapo")
    hollow = {
        line.get_label(): line for line in figure.axes[0].lines if "paper's" in line.get_label()
    }
    assert [float(line.get_ydata()[0]) for line in hollow.values()] == [54.09, 56.63]
    assert {line.get_markerfacecolor() for line in hollow.values()} == {"none"}
    assert not [line for line in figure.axes[1].lines if "paper's" in line.get_label()]


def test_negative_mass_is_the_share_of_all_advantages(results, runs):
    figure = draw(results, "negative_mass")
    panel = next(ax for ax in figure.axes if ax.get_title().startswith("tiny on math-dapo"))
    lines = bold(panel)
    assert set(lines["GRPO"].get_ydata()) == {0.0}
    negative, mixed = (0.45 - 0.1 * 15 / 30) * 0.003, 0.45 * 0.9
    value = lines["LENS"].get_ydata()[14]
    assert value == pytest.approx(100 * negative / (negative + mixed), rel=1e-3)


def test_rescued_counts_problems_all_wrong_at_first(results, runs):
    figure = draw(results, "rescued")
    panel = next(ax for ax in figure.axes if ax.get_title().startswith("other on math-dapo"))
    curves = results.curves("other_math-dapo_lens_s1")
    first = curves[(curves["step"] == 0) & (curves["correct"] == 0)]["problem_id"]
    last = curves[(curves["step"] == 30) & curves["problem_id"].isin(first)]["correct"]
    assert len(first) > 0
    assert bold(panel)["LENS"].get_ydata()[-1] == pytest.approx(100 * (last > 0).mean())


def test_reliability_bins_hold_equal_numbers(results, runs):
    figure = draw(results, "reliability")
    steps = [line for line in figure.axes[1].lines if line.get_label() == "rollouts, step 10"]
    assert len(steps[0].get_xdata()) == 6
    # a quarter of the responses is in the all-correct group, a quarter in mixed ones is right
    assert np.mean(steps[0].get_ydata()) == pytest.approx(50, abs=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.FIGURES)
def test_no_text_overlaps(results, runs, name):
    """Titles, legends, axis labels and tick labels of every panel have a place of their own."""
    _no_text_overlaps(results.only(runs[:12]), name)


@pytest.mark.slow
@pytest.mark.parametrize("mixes", [("math-dapo",), ("math-dapo", "math-numina")])
def test_no_text_overlaps_for_another_evaluation_set(tmp_path, mixes):
    results = synthetic_results(tmp_path / "tiny", synthetic_runs(mixes=mixes), problems=5)
    write_evaluations(results, "aime24", problems=30, n=64, ks=(1, 8, 64))
    _no_text_overlaps(results, "pass_at_k_aime24")


def _no_text_overlaps(results, name):
    with context():
        figure = draw(results, name)
        FigureCanvasAgg(figure).draw()  # lays out the figure
        boxes = [
            figure._supxlabel.get_window_extent(),
            *[legend.get_window_extent() for legend in figure.legends],
        ]
        for ax in figure.axes:
            texts = [ax.title, ax.xaxis.label, ax.yaxis.label]
            boxes += [text.get_window_extent() for text in texts if text.get_text()]
            for axis in (ax.xaxis, ax.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
                boxes += [tick.get_window_extent() for tick in ticks if tick.get_text()]
        boxes = [box for box in boxes if box.width > 2]
        width, height = figure.get_size_inches() * figure.dpi
        for i, a in enumerate(boxes):
            assert -1 <= a.x0 and a.x1 <= width + 1 and -1 <= a.y0 and a.y1 <= height + 1, a
            for b in boxes[i + 1 :]:
                across = min(a.x1, b.x1) - max(a.x0, b.x0)
                along = min(a.y1, b.y1) - max(a.y0, b.y0)
                assert across < 1 or along < 1, (name, a, b)


def test_another_evaluation_set_has_its_curves(tmp_path):
    results = synthetic_results(tmp_path / "tiny", synthetic_runs(seeds=(1,)), problems=10)
    write_evaluations(results, "aime24", problems=30, n=64, ks=(1, 8, 64))
    figure = draw(results, "pass_at_k_aime24")
    assert [ax.get_title() for ax in figure.axes] == ["all levels\n30 problems"] * 2
    for ax, mix in zip(figure.axes, ("math-dapo", "math-numina"), strict=True):
        assert ax.get_ylabel() == f"tiny, {mix}\nPass@k (%), n = 64, 1 seed"
        grpo = results.on("aime24").pass_at_k(f"tiny_{mix}_grpo_s1")
        drawn = next(c for c in ax.containers if c.get_label() == "GRPO")
        assert list(drawn.lines[0].get_xdata()) == [1, 8, 64]
        assert drawn.lines[0].get_ydata() == pytest.approx(100 * grpo["estimate"].to_numpy())
