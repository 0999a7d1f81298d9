"""Groups of responses, for the notebooks: what GRPO and LENS do to one, made up or sampled."""

import html

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from lens_impl.advantages import RolloutBatch, compute_advantages
from lens_impl.advantages.lens import calibrated_rewards
from lens_impl.errors import UserError
from lens_impl.notebooks.views import picture
from lens_impl.report.figures.style import context, method_styles, new_figure
from lens_impl.results import Results


def group_of(rewards: list[float], confidences: list[float]) -> RolloutBatch:
    """One group of responses of one token each, whose probability is the confidence."""
    p = torch.tensor(confidences, dtype=torch.float64).clamp(1e-9, 1)
    mask = torch.ones(len(p), 1, dtype=torch.bool)
    reward = torch.tensor(rewards, dtype=torch.float32)
    return RolloutBatch(reward, ["group"] * len(p), mask, p.log()[:, None].float())


def explain_group(
    rewards: list[float], confidences: list[float], alpha: float = 0.25
) -> pd.DataFrame:
    """What GRPO and LENS do to a group: one row per response, most confident first."""
    batch = group_of(rewards, confidences)
    frame = pd.DataFrame({"reward": rewards, "confidence": confidences})
    frame["calibrated reward"] = calibrated_rewards(batch).tolist()
    frame["GRPO advantage"] = compute_advantages("grpo", batch)[:, 0].tolist()
    frame["LENS advantage"] = compute_advantages("lens", batch, alpha=alpha)[:, 0].tolist()
    return frame.sort_values("confidence", ascending=False, ignore_index=True)


def draw_group(rewards: list[float], confidences: list[float], alpha: float = 0.25):
    """Advantage against confidence in one group: correct responses filled, wrong ones hollow."""
    with context():
        return picture(group_figure(rewards, confidences, alpha))


def group_figure(rewards: list[float], confidences: list[float], alpha: float = 0.25) -> Figure:
    """The figure of draw_group."""
    frame = explain_group(rewards, confidences, alpha)
    figure, axes = new_figure(1, 2, (7.2, 3.2), f"alpha = {alpha:g}, G = {len(frame)}")
    for ax, method, marker in zip(axes[0], ("GRPO", "LENS"), "so", strict=True):
        color = method_styles([method.lower()])[method.lower()]["color"]
        ax.axhline(0, color="0.3", linewidth=0.8)
        for correct, fill in ((True, color), (False, "none")):
            part = frame[(frame["reward"] > 0) == correct]
            style = {"marker": marker, "linestyle": "none", "color": color}
            values = part[f"{method} advantage"]
            ax.plot(part["confidence"], values, **style, markerfacecolor=fill)
        ax.set(title=f"{method} (hollow: wrong)", xlabel="confidence", ylabel="advantage")
        largest = frame[f"{method} advantage"].abs().max()
        ax.set_ylim(-1.15 * largest or -1, 1.15 * largest or 1)
    return figure


def rollouts(results: Results, run: str) -> pd.DataFrame:
    """rollouts.parquet of a run (training/dumps.py), with each group's kind; may be empty."""
    frame = results.rollouts(results.find(run).name)
    best = frame.groupby(["step", "group"])["reward"].transform("max")
    worst = frame.groupby(["step", "group"])["reward"].transform("min")
    kind = np.select([best == 0, worst == 1], ["all wrong", "all correct"], "mixed")
    return frame.assign(kind=kind)


def problems(results: Results, run: str) -> pd.DataFrame:
    """Index problem_id: problem and answer of the training prompts of a run's mix."""
    prompts = results.prompts(results.find(run).mix)
    info = [row["problem_id"] for row in prompts["extra_info"]]
    columns = {
        "problem": [messages[-1]["content"] for messages in prompts["prompt"]],
        "answer": [row["ground_truth"] for row in prompts["reward_model"]],
    }
    return pd.DataFrame(columns, index=pd.Index(info, name="problem_id"))


def show_group(results: Results, run: str, step: int, group: int) -> pd.DataFrame:
    """The responses of one group; problem, answer and kind stand in `attrs`."""
    frame = rollouts(results, run)
    frame = frame[(frame["step"] == step) & (frame["group"] == group)]
    if frame.empty:
        raise UserError(f"{run} has no group {group} of step {step} in its rollouts.")
    texts = problems(results, run).loc[frame["problem_id"].iloc[0]]
    columns = ["sample", "response", "reward", "confidence", "advantage", "length"]
    shown = frame.sort_values("confidence", ascending=False)[columns].reset_index(drop=True)
    shown.insert(3, "verdict", np.where(shown["reward"] > 0, "correct", "wrong"))
    shown.attrs = {**texts.to_dict(), "kind": frame["kind"].iloc[0]}
    return shown


def negative_group(results: Results, run: str) -> pd.DataFrame:
    """The all-wrong group of a run's first dump with the widest spread of confidences, if any."""
    frame = rollouts(results, run)
    frame = frame[(frame["kind"] == "all wrong") & frame["response"].notna()]
    if frame.empty:
        return frame
    spread = frame.groupby(["step", "group"])["confidence"].agg(np.ptp)
    first = spread.loc[[spread.index[0][0]]]
    return show_group(results, run, *first.idxmax())


def sample_choices(results: Results) -> dict[str, list | tuple]:
    """What the sample browser offers: runs with rollouts, their steps, kinds of groups, numbers."""
    tables = {run.name: results.rollouts(run.name, ["step"]) for run in results.runs}
    steps = sorted({int(step) for table in tables.values() for step in table["step"]})
    kinds = ["all wrong", "mixed", "all correct"]
    return {"run": list(tables), "step": steps, "kind": kinds, "number": (0, 15)}


def browse(results: Results, run: str, step: int | None, kind: str, number: int = 0):
    """Problem, answer and the responses of the number-th group of a kind, as Jupyter shows them.

    step None: the first that was dumped.
    """
    from IPython.display import HTML

    frame = rollouts(results, run)
    step = step or frame["step"].min()
    chosen = frame[(frame["step"] == step) & (frame["kind"] == kind) & frame["response"].notna()]
    groups = list(dict.fromkeys(chosen["group"]))
    if not groups:
        return HTML(f"<p>No {kind} group of step {step} of {run} was kept (train.dump_every).</p>")
    group = groups[number % len(groups)]
    shown = show_group(results, run, step, group)
    about = f"step {step}, group {group} ({kind}; {number % len(groups) + 1} of {len(groups)})"
    problem, answer = _escape(shown.attrs["problem"]), _escape(shown.attrs["answer"])
    head = f"<p><b>{run}</b>, {about}</p><p>{problem}</p><p>answer: {answer}</p>"
    style = shown.style.format({"confidence": "{:.4f}", "advantage": "{:+.5f}", "reward": "{:g}"})
    style = style.format(_escape, subset="response").hide(axis="index")
    style = style.background_gradient(
        "RdBu", subset="advantage", vmin=-_largest(shown), vmax=_largest(shown)
    )
    style = style.set_properties(
        subset="response", **{"text-align": "left", "white-space": "pre-wrap"}
    )
    return HTML(head + style.to_html())


def _largest(shown: pd.DataFrame) -> float:
    return 2 * float(shown["advantage"].abs().max()) or 1.0


def _escape(text: str) -> str:
    """Shown as it was sampled: neither HTML nor MathJax."""
    return html.escape(str(text)).replace("$", "&#36;").replace("\\", "&#92;")
