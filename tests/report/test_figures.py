"""Figures from synthetic results: what is drawn is read back from the axes."""

import json
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from support.synthetic_results import make_results, make_runs

from lens_impl.files import ROOT, read_yaml
from lens_impl.report.figures import paper as figures

PAPER_FILE = ROOT / "config" / "paper_numbers.yaml"
PAPER = read_yaml(PAPER_FILE)
LLAMA = "llama-3-1-8b-instruct"


@pytest.fixture(scope="module")
def runs():
    return make_runs() + make_runs(model="other", seeds=(1,))


@pytest.fixture(scope="module")
def results(tmp_path_factory, runs):
    return make_results(tmp_path_factory.mktemp("results") / "tiny", runs)


def bold(ax):
    """Label -> line of the lines that have a label."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_curves_show_the_mean_over_seeds(results, runs):
    figure = figures.figure5_math_dapo(results, runs, "tiny", PAPER)
    assert [ax.get_title() for ax in figure.axes] == [
        "tiny\nall levels: 40 problems x 16 samples",
        "tiny\nLevels 4-5: 16 problems x 16 samples",
        "other\nall levels: 40 problems x 16 samples",
        "other\nLevels 4-5: 16 problems x 16 samples",
    ]
    for ax, hard in zip(figure.axes[:2], (False, True), strict=True):
        lines = bold(ax)
        assert list(lines) == ["GRPO (2 seeds)", "LENS (2 seeds)"]
        seeds = [figures.read_curves(results, f"tiny_math-dapo_lens_s{seed}") for seed in (1, 2)]
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
    figure = figures.figure6_math_numina(results, runs, "tiny", PAPER)
    lines = bold(figure.axes[0])
    assert list(lines) == ["GRPO (2 seeds)", "LENS (2 seeds)"]  # no ablation in Figure 6
    for attribute in ("get_linestyle", "get_marker"):
        assert len({getattr(line, attribute)() for line in lines.values()}) == 2
    assert {to_hex(line.get_color()) for line in lines.values()} == {"#d55e00", "#0072b2"}


def test_negative_ratio_shows_grpo_alone(results, runs):
    figure = figures.figure2_negative_ratio(results, runs, "tiny", PAPER)
    lines = bold(figure.axes[0])
    assert [label.split(":")[0] for label in lines] == ["tiny", "other", "paper"]
    theirs = lines["paper: Llama-3.1-8B-Instruct, start and end"]
    assert list(theirs.get_ydata()) == [45, 35] and theirs.get_markerfacecolor() == "none"
    assert "32 groups a step, G = 16, 2 seeds" in next(iter(lines))
    line = next(iter(lines.values()))
    assert list(line.get_xdata()) == list(range(1, 31))
    # Shares fall by 1/3 point a step; a centred mean of three keeps them inside, and the ends
    # are means of two.
    assert line.get_ydata()[1:-1] == pytest.approx([45 - step / 3 for step in range(2, 30)])
    assert line.get_ydata()[0] == pytest.approx(45 - 1.5 / 3)
    # the bold lines, two seeds of one model and one of the other, the paper's
    assert len(figure.axes[0].lines) == 6


def test_weight_is_equation_13():
    assert figures.weight(np.array([0.5])) == pytest.approx([2 * np.log(2) - 1])
    assert figures.weight(np.array([0.8])) == pytest.approx([np.log(5) / 0.8 - 1])
    assert figures.weight(np.array([1e-9])) == pytest.approx([0.5e-9], abs=1e-6)


def test_toy_scales_say_so_inside_the_picture(results, runs):
    for name in ("figure2_negative_ratio", "figure5_math_dapo", "figure6_math_numina"):
        for scale in ("smoke", "tiny"):
            note = figures.FIGURES[name](results, runs, scale, PAPER).get_supxlabel()
            assert note == f"{scale} scale: designed toy, not the paper's models"
        assert "toy" not in figures.FIGURES[name](results, runs, "paper", PAPER).get_supxlabel()


@pytest.mark.parametrize("name", ["figure2_negative_ratio", "figure6_math_numina"])
def test_a_figure_without_runs_says_so(results, name):
    figure = figures.FIGURES[name](results, [], "smoke", PAPER)
    words = figure.axes[0].texts[0].get_text()
    assert "no run of GRPO" in words and "at scale smoke" in words


@pytest.mark.parametrize("name", ["figure2_negative_ratio", "figure4_weight", "rescued"])
def test_same_files_same_bytes(results, runs, name, tmp_path, monkeypatch):
    written = []
    for attempt in ("a", "b"):
        pdf, png = tmp_path / attempt / "f.pdf", tmp_path / attempt / "f.png"
        options = {"--runs": json.dumps(runs), "--results": results, "--scale": "tiny"}
        options |= {"--paper": PAPER_FILE}
        options |= {"--out-pdf": pdf, "--out-png": png}
        arguments = [str(part) for option in options.items() for part in option]
        monkeypatch.setattr(sys, "argv", ["figures", name, *arguments])
        figures.main()
        written.append((pdf.read_bytes(), png.read_bytes()))
    assert written[0] == written[1]
    assert written[0][0].startswith(b"%PDF") and b"CreationDate" not in written[0][0]
    assert written[0][1].startswith(b"\x89PNG")


def test_the_papers_model_has_its_end_point_hollow(tmp_path):
    runs = make_runs(model=LLAMA, mixes=("math-dapo",), seeds=(1,))
    results = make_results(tmp_path / "paper", runs, problems=10)
    figure = figures.figure5_math_dapo(results, runs, "paper", PAPER)
    hollow = {
        line.get_label(): line for line in figure.axes[0].lines if "paper's" in line.get_label()
    }
    assert [float(line.get_ydata()[0]) for line in hollow.values()] == [54.09, 56.63]
    assert {line.get_markerfacecolor() for line in hollow.values()} == {"none"}
    assert not [line for line in figure.axes[1].lines if "paper's" in line.get_label()]


def test_negative_mass_is_the_share_of_all_advantages(results, runs):
    figure = figures.FIGURES["negative_mass"](results, runs, "tiny", PAPER)
    panel = next(ax for ax in figure.axes if ax.get_title().startswith("tiny on math-dapo"))
    lines = bold(panel)
    assert set(lines["GRPO"].get_ydata()) == {0.0}
    negative, mixed = (0.45 - 0.1 * 15 / 30) * 0.003, 0.45 * 0.9
    value = lines["LENS"].get_ydata()[14]
    assert value == pytest.approx(100 * negative / (negative + mixed), rel=1e-3)


def test_rescued_counts_problems_all_wrong_at_first(results, runs):
    figure = figures.FIGURES["rescued"](results, runs, "tiny", PAPER)
    panel = next(ax for ax in figure.axes if ax.get_title().startswith("other on math-dapo"))
    curves = figures.read_curves(results, "other_math-dapo_lens_s1")
    first = curves[(curves["step"] == 0) & (curves["correct"] == 0)]["problem_id"]
    last = curves[(curves["step"] == 30) & curves["problem_id"].isin(first)]["correct"]
    assert len(first) > 0
    assert bold(panel)["LENS"].get_ydata()[-1] == pytest.approx(100 * (last > 0).mean())


def test_reliability_bins_hold_equal_numbers(results, runs):
    figure = figures.FIGURES["reliability"](results, runs, "tiny", PAPER)
    steps = [line for line in figure.axes[1].lines if line.get_label() == "rollouts, step 10"]
    assert len(steps[0].get_xdata()) == 6
    # a quarter of the responses is in the all-correct group, a quarter in mixed ones is right
    assert np.mean(steps[0].get_ydata()) == pytest.approx(50, abs=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", figures.FIGURES)
def test_no_text_overlaps(results, runs, name):
    """Titles, legends, axis labels and tick labels of every panel have a place of their own."""
    with figures.context():
        figure = figures.FIGURES[name](results, runs[:12], "tiny", PAPER)
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
