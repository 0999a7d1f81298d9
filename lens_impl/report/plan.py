"""What a scale will cost: seconds a step, GPU-hours, disk and wall time, before anything runs.

Where a training of a model has left metrics.jsonl, its seconds are used. Elsewhere a FLOP model of
the GPU is, whose assumptions are printed with the result:

- A forward pass takes 2 N FLOPs a token (N parameters), forward and backward 6 N (Kaplan et al.
  2020, arXiv:2001.08361, section 2.1), and the attention 4 L d c more in a forward pass (L layers,
  width d, c tokens of context: two products of 2 d c). Gradient checkpointing adds a forward pass.
- Training reaches a share of the peak (model FLOPs utilisation, Chowdhery et al. 2022,
  arXiv:2204.02311, appendix B).
- A decoding step reads all weights and the keys and values of its sequences once, or is bound by
  FLOPs; it reaches a share of the memory bandwidth. When most responses have ended, the longest
  go on alone, one token a pass over the weights (Pope et al. 2022, arXiv:2211.05102, section 2).
- Peaks: NVIDIA's data sheets of A100 80GB SXM, H100 SXM and H200 SXM, dense bf16.

The model knows no waiting, no communication and no start-up; a step has FIXED_SECONDS for them.
"""

from pathlib import Path

from lens_impl.errors import UserError
from lens_impl.experiments.costs import (
    FIXED_SECONDS,
    GPUS,
    Assumptions,
    Seconds,
    checkpoint_bytes,
    disk_bytes,
    evaluation_hours,
    makespan,
    measured,
    modelled,
    run_hours,
    validation_problems,
    validations,
)
from lens_impl.experiments.runs import planned_runs
from lens_impl.experiments.settings import gpus_of
from lens_impl.text import grid, wrap


def plan(config: dict, gpu_name: str, gpus: int | None, a: Assumptions, results: Path) -> str:
    """The whole plan as text. gpus: of the cluster; None = those of one training."""
    if gpu_name not in GPUS:
        raise UserError(f"--gpu is {gpu_name!r}, but must be one of {', '.join(GPUS)}")
    runs = planned_runs(config)
    models = list(dict.fromkeys(run.model for run in runs))
    on_gpus = config["train"]["device"] == "cuda"
    times = {}
    for model in models:
        times[model] = measured(config, model, results)
        if times[model] is None and on_gpus:
            times[model] = modelled(config, model, GPUS[gpu_name], a)
        if times[model] is None:
            raise UserError(
                f"scale {config['scale']} trains on processors, for which there is no model, and "
                f"no training of {model} has been measured yet. Hint: start one, "
                "and ask again when it has made some steps."
            )
    each = max(1, gpus_of(config, "train"))
    gpus = gpus or each
    if gpus < each:
        raise UserError(f"--gpus is {gpus}, but one training takes {each}.")
    per_run = {model: run_hours(config, times[model]) for model in models}
    evaluation = {m: evaluation_hours(config, m, GPUS[gpu_name], a, times[m]) for m in models}

    unit = "GPU-h" if on_gpus else "job-h"
    steps, points = config["train"]["steps"], validations(config)
    rows = []
    total = 0.0
    for model in models:
        count = sum(run.model == model for run in runs)
        train_hours, validation_hours = per_run[model]
        cost = count * (train_hours + validation_hours) * each
        evaluations = (count + 1) * evaluation[model]
        total += cost + evaluations
        rows.append(
            [model, str(count), *_numbers(times[model], train_hours, validation_hours)]
            + [f"{cost:.0f}", f"{evaluations:.0f}"]
        )
    header = ["model", "runs", "rollout s", "log-probs s", "update s", "step s", "training h"]
    header += ["validation h", f"training {unit}", f"evaluation {unit}"]
    hours = [sum(per_run[run.model]) for run in runs]
    evaluating = sum((1 + sum(r.model == m for r in runs)) * evaluation[m] for m in models)
    wall = makespan(hours, gpus // each) + evaluating / gpus
    samples = validation_problems(config) * config["train"]["validation"]["n"]
    batch = config["train"]["prompts_per_rollout"] * config["train"]["group_size"]
    parts = [
        f"Scale {config['scale']}: {len(runs)} trainings of {steps} steps, {points} validations.",
        grid(header, rows),
        wrap(
            "h: of one training. A validation samples "
            f"{samples:,} completions, a step {batch:,}: all validations together sample "
            f"{points * samples / (steps * batch):.1f} times what training does."
        ),
        f"Total: {total:,.0f} {unit}. Wall time on {gpus} "
        f"{gpu_name.upper() + 's' if on_gpus else 'job slots'}: {wall:,.0f} h "
        f"({gpus // each} trainings side by side), waiting not counted.",
    ]
    if on_gpus:
        parts.append(_disk(config, models, runs, gpus // each, a))
    parts.append(_sources(times, config, gpu_name, a))
    return "\n\n".join(parts)


def _numbers(seconds: Seconds, train_hours: float, validation_hours: float) -> list[str]:
    names = ("rollout", "old_log_prob", "update", "step")
    hours = [f"{train_hours:.1f}", f"{validation_hours:.1f}"]
    return [*(f"{seconds.phases[name]:.0f}" for name in names), *hours]


def _disk(config: dict, models: list, runs: list, at_once: int, a: Assumptions) -> str:
    """Largest and kept; the largest is while `at_once` trainings write a checkpoint."""
    largest, kept = {}, {}
    for model in models:
        largest[model], kept[model] = disk_bytes(config, model, a)
    now = sorted((largest[run.model] - kept[run.model] for run in runs), reverse=True)[:at_once]
    after = sum(kept[run.model] for run in runs)
    checkpoints = ", ".join(
        f"{checkpoint_bytes(config['models'][model]['size']) / 1e9:.0f} GB ({model})"
        for model in models
    )
    return wrap(
        f"Disk: {(after + sum(now)) / 1e12:.2f} TB at most, {after / 1e12:.2f} TB at the end. A "
        f"checkpoint is {checkpoints}; one is kept, and two lie side by side while one is written."
    )


def _sources(times: dict[str, Seconds], config: dict, gpu_name: str, a: Assumptions) -> str:
    lines = [f"{model}: {seconds.source}." for model, seconds in times.items()]
    if any(seconds.source == "FLOP model" for seconds in times.values()):
        gpu = GPUS[gpu_name]
        lines += [
            wrap(
                f"FLOP model ({gpu_name.upper()}: {gpu.peak / 1e12:.0f} TFLOP/s dense bf16, "
                f"{gpu.bandwidth / 1e12:.2f} TB/s, NVIDIA's data sheet): forward 2 N + 4 L d c a "
                "token, update 4 forward passes (Kaplan et al. 2020, arXiv:2001.08361; one of them "
                f"for gradient checkpointing), at {a.compute_share:.0%} of the peak (MFU, "
                "arXiv:2204.02311); a decoding step reads weights, keys and values once "
                f"(arXiv:2211.05102), at {a.bandwidth_share:.0%} of the bandwidth; "
                f"{FIXED_SECONDS:.0f} s a step for the rest."
            ),
            f"Assumed, and not in the paper: {a.response_tokens:.0f} tokens a response, "
            f"{a.prompt_tokens:.0f} a prompt (--response-tokens, --prompt-tokens).",
        ]
    return "\n".join(lines)
