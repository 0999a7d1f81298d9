"""Groups of responses in the notebooks: by hand, and of a synthetic run."""

import pytest

from lens_impl.errors import UserError
from lens_impl.notebooks import groups


def test_a_negative_group_by_hand():
    """G = 4, alpha .25, p = .8 .7 .6 .5: D = 1.6; the numbers are computed in test_advantages."""
    frame = groups.explain_group([0, 0, 0, 0], [0.5, 0.6, 0.7, 0.8])
    assert list(frame["confidence"]) == [0.8, 0.7, 0.6, 0.5]
    calibrated, lens = frame["calibrated reward"], frame["LENS advantage"]
    assert list(calibrated) == pytest.approx([-0.25, -0.19444, -0.15, -0.11364], abs=1e-5)
    assert list(lens) == pytest.approx([-0.018245, -0.004356, 0.006755, 0.015846], abs=1e-6)
    assert set(frame["GRPO advantage"]) == {0.0}


def test_groups_of_a_run(results):
    run = results.runs[0].name
    frame = groups.rollouts(results, run)
    kinds = frame.groupby("group")["kind"].first()
    assert list(kinds) == ["all wrong", "all correct", "mixed", "mixed"]
    shown = groups.show_group(results, run, 10, 0)
    assert shown.attrs == {"problem": "What is $0+1$?", "answer": "1", "kind": "all wrong"}
    assert shown["confidence"].is_monotonic_decreasing and set(shown["verdict"]) == {"wrong"}
    page = groups.browse(results, run, None, "all wrong").data
    assert "step 10, group 0 (all wrong; 1 of 1)" in page and "$" not in page
    with pytest.raises(UserError, match="must be one of"):
        groups.rollouts(results, "tiny_math-dapo_lens_s9")


def test_what_is_drawn_of_a_negative_group():
    """GRPO learns nothing from it; LENS pushes the surer answers down. All markers are hollow."""
    confidences = [0.5, 0.6, 0.7, 0.8]
    figure = groups.group_figure([0, 0, 0, 0], confidences)
    frame = groups.explain_group([0, 0, 0, 0], confidences)
    for ax, method in zip(figure.axes, ("GRPO", "LENS"), strict=True):
        _, correct, wrong = ax.get_lines()  # the first is zero
        assert len(correct.get_xdata()) == 0 and wrong.get_markerfacecolor() == "none"
        assert list(wrong.get_xdata()) == [0.8, 0.7, 0.6, 0.5]
        assert list(wrong.get_ydata()) == list(frame[f"{method} advantage"])
    assert figure.axes[0].get_ylim() == (-1, 1)
    assert figure.axes[1].get_ylim() == pytest.approx((-1.15 * 0.018245, 1.15 * 0.018245), rel=1e-3)


def test_what_is_drawn_of_a_mixed_group():
    figure = groups.group_figure([1, 0], [0.6, 0.9], alpha=1)
    for ax in figure.axes:
        _, correct, wrong = ax.get_lines()
        assert list(correct.get_xdata()) == [0.6] and correct.get_markerfacecolor() != "none"
        assert list(wrong.get_xdata()) == [0.9] and wrong.get_markerfacecolor() == "none"
        assert correct.get_ydata()[0] > 0 > wrong.get_ydata()[0]
    assert groups.draw_group([1, 0], [0.6, 0.9]).data.startswith(b"\x89PNG")


def test_the_browser_offers_what_was_dumped(results):
    choices = groups.sample_choices(results)
    assert choices["run"] == [run.name for run in results.runs]
    assert choices["step"] == [10, 20, 30]  # dumped every ten of 30 steps
    for kind in choices["kind"]:
        page = groups.browse(results, choices["run"][0], 20, kind, choices["number"][1]).data
        assert f"({kind}; " in page and "<table" in page


def test_a_step_that_was_not_dumped(results, pair):
    page = groups.browse(results, pair[0], 11, "mixed").data
    assert "No mixed group of step 11" in page
    with pytest.raises(UserError, match="has no group 9 of step 10"):
        groups.show_group(results, pair[0], 10, 9)


def test_the_negative_group_is_the_one_with_the_widest_spread(results, pair):
    shown = groups.negative_group(results, pair[0])
    assert shown.attrs["kind"] == "all wrong"
    frame = groups.rollouts(results, pair[0])
    first = frame[(frame["step"] == 10) & (frame["kind"] == "all wrong")]
    assert sorted(shown["confidence"]) == sorted(first["confidence"])
