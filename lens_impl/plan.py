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

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lens_impl import experiments
from lens_impl.checkpoints import metrics_lines
from lens_impl.display import grid, wrap
from lens_impl.errors import UserError

FIXED_SECONDS = 15.0  # weights to the sampler, rewards, bookkeeping of one rollout batch
ROWS_AT_ONCE = 256  # sequences that one copy of the model samples at once: verl's max_num_seqs
WEIGHT_BYTES, CACHE_BYTES = 2, 2  # bf16
MASTER_BYTES, ADAM_BYTES, EXPORT_BYTES = 4, 8, 4  # float32, of a checkpoint
DUMP_BYTES, SAMPLE_BYTES = 20, 4  # of a token in rollouts/ and in samples_{set}.parquet


@dataclass(frozen=True)
class Gpu:
    """peak: bf16 FLOP/s; memory: bytes; bandwidth: bytes/s."""

    peak: float
    memory: float
    bandwidth: float


GPUS = {
    "a100": Gpu(312e12, 80e9, 2.039e12),
    "h100": Gpu(989e12, 80e9, 3.35e12),
    "h200": Gpu(989e12, 141e9, 4.8e12),
}


@dataclass(frozen=True)
class Assumptions:
    """What neither configuration nor paper says. Tokens are means; shares are of the peaks."""

    response_tokens: float = 700
    prompt_tokens: float = 150
    compute_share: float = 0.35
    bandwidth_share: float = 0.6


@dataclass(frozen=True)
class Seconds:
    """Of one rollout batch by phase, and of one validation; source says where they come from."""

    phases: dict[str, float]
    validation: float
    source: str


def forward_flops(size: dict, context: float) -> float:
    """FLOPs of one token's forward pass with `context` tokens before it."""
    return 2 * size["parameters"] + 4 * size["layers"] * size["hidden"] * context


def sampling_seconds(
    size: dict, gpu: Gpu, gpus: int, memory_share: float, rows: int, longest: int, a: Assumptions
) -> float:
    """Seconds to sample `rows` responses on `gpus` GPUs that hold a copy of the model each."""
    context = a.prompt_tokens + a.response_tokens / 2
    cache = 2 * size["layers"] * size["kv"] * CACHE_BYTES * context
    weights = size["parameters"] * WEIGHT_BYTES
    room = memory_share * gpu.memory - weights
    if room < cache:
        raise UserError(
            f"a model of {size['parameters']:.2g} parameters does not fit into "
            f"{memory_share * gpu.memory / 1e9:.0f} GB of one GPU. Hint: raise "
            "train.gpu.vllm_memory, or plan with a GPU that has more memory."
        )
    at_once = min(ROWS_AT_ONCE, rows / gpus, room // cache)
    read = (weights + at_once * cache) / (gpu.bandwidth * a.bandwidth_share)
    computed = at_once * forward_flops(size, context) / (gpu.peak * a.compute_share)
    tail = (longest - a.response_tokens) * weights / (gpu.bandwidth * a.bandwidth_share)
    return rows * a.response_tokens / gpus / at_once * max(read, computed) + tail


def modelled(config: dict, model: str, gpu: Gpu, a: Assumptions) -> Seconds:
    """The FLOP model of the module's docstring for one model of a configuration."""
    train, size = config["train"], config["models"][model]["size"]
    ranks = train["nodes"] * train["gpus_per_node"]
    copies = ranks // train["gpu"]["tensor_parallel"]
    # Copies over several GPUs are taken as one GPU of their sum.
    joined = Gpu(*(value * ranks / copies for value in (gpu.peak, gpu.memory, gpu.bandwidth)))
    share, longest = train["gpu"]["vllm_memory"], train["max_response_tokens"]
    rows = train["prompts_per_rollout"] * train["group_size"]

    def sampled(rows: int) -> float:
        return sampling_seconds(size, joined, copies, share, rows, longest, a)

    tokens = rows * (a.prompt_tokens + a.response_tokens)
    flops = forward_flops(size, (a.prompt_tokens + a.response_tokens) / 2)
    speed = ranks * gpu.peak * a.compute_share
    phases = {
        "rollout": sampled(rows),
        "old_log_prob": tokens * flops / speed,
        "update": tokens * 4 * flops / speed,
    }
    phases["step"] = sum(phases.values()) + FIXED_SECONDS
    validated = validation_problems(config) * train["validation"]["n"]
    return Seconds(phases, sampled(validated) + FIXED_SECONDS, "FLOP model")


def measured(config: dict, model: str, results: Path) -> Seconds | None:
    """Medians over the steps that trainings of this model have made; None before the first."""
    lines = []
    for run in experiments.runs(config):
        if run.model == model:
            folder = results / config["scale"] / "runs" / run.name / "checkpoints"
            folder /= experiments.checkpoint_hash(experiments.settings(config, run))
            lines += [line["seconds"] for line in metrics_lines(folder)]
    if not lines:
        return None
    names = ("rollout", "old_log_prob", "update", "step")
    phases = {name: median(line[name] for line in lines) for name in names}
    validations = [line["validation"] for line in lines if "validation" in line]
    validation = median(validations) if validations else float("nan")
    return Seconds(phases, validation, f"median of {len(lines)} measured steps")


def test_problems(config: dict) -> int:
    return config["tiny_problems"]["sizes"]["math_test"] if "tiny_problems" in config else 5000


def validation_problems(config: dict) -> int:
    every = test_problems(config)
    return min(config["train"]["validation"]["problems"] or every, every)


def validations(config: dict) -> int:
    """Before the first step, every so many, and after the last."""
    steps, every = config["train"]["steps"], config["train"]["validate_every"]
    return 1 + steps // every + (steps % every > 0)


def checkpoint_bytes(size: dict) -> float:
    return size["parameters"] * (MASTER_BYTES + ADAM_BYTES + EXPORT_BYTES)


def disk_bytes(config: dict, model: str, a: Assumptions) -> tuple[float, float]:
    """(largest, kept) of one training's folder; two checkpoints exist while one is written."""
    train, size = config["train"], config["models"][model]["size"]
    rows = train["prompts_per_rollout"] * train["group_size"]
    dumps = train["steps"] // train["dump_every"] if train["dump_every"] else 0
    every = config["evaluate"]["n"] * test_problems(config)
    texts = (dumps * rows * DUMP_BYTES + every * SAMPLE_BYTES) * a.response_tokens
    kept = checkpoint_bytes(size)
    if not train["gpu"]["keep_optimizer"]:
        kept = size["parameters"] * EXPORT_BYTES
    return 2 * checkpoint_bytes(size) + texts, kept + texts


def makespan(hours: list[float], at_once: int) -> float:
    """Hours until all jobs have ended, longest first, `at_once` of them side by side."""
    ends = [0.0] * at_once
    for job in sorted(hours, reverse=True):
        ends[ends.index(min(ends))] += job
    return max(ends)


def plan(config: dict, gpu_name: str, gpus: int | None, a: Assumptions, results: Path) -> str:
    """The whole plan as text. gpus: of the cluster; None = those of one training."""
    if gpu_name not in GPUS:
        raise UserError(f"--gpu is {gpu_name!r}, but must be one of {', '.join(GPUS)}")
    runs = experiments.runs(config)
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
    each = max(1, experiments.gpus(config, "train"))
    gpus = gpus or each
    if gpus < each:
        raise UserError(f"--gpus is {gpus}, but one training takes {each}.")
    per_run = {model: _hours(config, times[model]) for model in models}
    evaluation = {m: _evaluation_hours(config, m, GPUS[gpu_name], a, times[m]) for m in models}

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


def _hours(config: dict, seconds: Seconds) -> tuple[float, float]:
    """(training, validation) hours of one training."""
    steps = config["train"]["steps"] * seconds.phases["step"]
    return steps / 3600, validations(config) * seconds.validation / 3600


def _evaluation_hours(config: dict, model: str, gpu: Gpu, a: Assumptions, t: Seconds) -> float:
    """GPU-hours (on processors: hours) to sample the evaluation set of one run."""
    rows = test_problems(config) * config["evaluate"]["n"]
    if config["train"]["device"] == "cpu":
        validated = validation_problems(config) * config["train"]["validation"]["n"]
        return t.validation / 3600 * rows / validated
    longest, size = config["train"]["max_response_tokens"], config["models"][model]["size"]
    rows //= config["evaluate"]["shards"]
    seconds = sampling_seconds(size, gpu, config["evaluate"]["gpus"], 0.9, rows, longest, a)
    return seconds / 3600 * config["evaluate"]["shards"] * config["evaluate"]["gpus"]


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
