"""The costs of a scale (lens_impl.experiments.costs) as text for a terminal."""

from lens_impl.experiments.costs import FIXED_SECONDS, GPUS, Cost, Plan, validations
from lens_impl.text import grid, wrap

PHASES = ("rollout", "old_log_prob", "update", "step")


def render(plan: Plan) -> str:
    """The whole plan: one row per model, totals, disk, and where the numbers come from."""
    parts = [_head(plan), _table(plan), _samples(plan), _totals(plan)]
    parts += [_disk(plan)] if plan.on_gpu else []
    return "\n\n".join([*parts, _sources(plan)])


def _head(plan: Plan) -> str:
    steps, points = plan.config["train"]["steps"], validations(plan.config)
    return f"Scale {plan.config['scale']}: {plan.runs} runs of {steps} steps, {points} validations."


def _unit(plan: Plan) -> str:
    return "GPU-h" if plan.on_gpu else "job-h"


def _table(plan: Plan) -> str:
    header = ["model", "runs", "rollout s", "log-probs s", "update s", "step s", "training h"]
    header += ["validation h", f"training {_unit(plan)}", f"evaluation {_unit(plan)}"]
    return grid(header, [_row(cost) for cost in plan.costs])


def _row(cost: Cost) -> list[str]:
    return [
        cost.model,
        str(cost.runs),
        *(f"{cost.seconds.phases[name]:.0f}" for name in PHASES),
        f"{cost.training:.1f}",
        f"{cost.validation:.1f}",
        f"{cost.training_gpu_hours:.0f}",
        f"{cost.evaluation_gpu_hours:.0f}",
    ]


def _samples(plan: Plan) -> str:
    return wrap(
        f"h: of one run. A validation samples {plan.validation_samples:,} completions, a step "
        f"{plan.step_samples:,}: all validations together sample {plan.validation_share:.1f} times "
        "what training does."
    )


def _totals(plan: Plan) -> str:
    places = f"{plan.gpu.upper()}s" if plan.on_gpu else "job slots"
    runs = "1 run" if plan.runs_at_once == 1 else f"{plan.runs_at_once} runs"
    return (
        f"Total: {plan.gpu_hours:,.0f} {_unit(plan)}. Wall time on {plan.gpus} {places}: "
        f"{plan.wall_hours:,.0f} h ({runs} at a time), without waiting in queues."
    )


def _disk(plan: Plan) -> str:
    largest, kept = plan.disk
    sizes = ", ".join(f"{cost.checkpoint / 1e9:.0f} GB ({cost.model})" for cost in plan.costs)
    return wrap(
        f"Disk: {largest / 1e12:.2f} TB at most, {kept / 1e12:.2f} TB at the end. A checkpoint is "
        f"{sizes}; one is kept, and there are two while one is written."
    )


def _sources(plan: Plan) -> str:
    lines = [f"{cost.model}: {cost.seconds.source}." for cost in plan.costs]
    if any(cost.seconds.source == "FLOP model" for cost in plan.costs):
        gpu, assumed = GPUS[plan.gpu], plan.assumed
        lines += [
            wrap(
                f"FLOP model ({plan.gpu.upper()}: {gpu.peak / 1e12:.0f} TFLOP/s dense bf16, "
                f"{gpu.bandwidth / 1e12:.2f} TB/s, NVIDIA's data sheet): forward 2 N + 4 L d c per "
                "token, update 4 forward passes (Kaplan et al. 2020, arXiv:2001.08361; one of them "
                f"for gradient checkpointing), at {assumed.compute_share:.0%} of the peak (MFU, "
                "arXiv:2204.02311); a decoding step reads weights, keys and values once "
                f"(arXiv:2211.05102), at {assumed.bandwidth_share:.0%} of the bandwidth; "
                f"{FIXED_SECONDS:.0f} s per step for the rest."
            ),
            f"Assumed, and not in the paper: {assumed.response_tokens:.0f} tokens per response, "
            f"{assumed.prompt_tokens:.0f} per prompt (--response-tokens, --prompt-tokens).",
        ]
    return "\n".join(lines)
