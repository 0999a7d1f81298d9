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

from lens_impl.errors import UserError
from lens_impl.experiments.runs import planned_runs
from lens_impl.experiments.settings import checkpoint_hash, training_settings
from lens_impl.files import read_growing_jsonl

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
    for run in planned_runs(config):
        if run.model == model:
            folder = results / config["scale"] / "runs" / run.name / "checkpoints"
            folder /= checkpoint_hash(training_settings(config, run))
            lines += [line["seconds"] for line in read_growing_jsonl(folder / "metrics.jsonl")]
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


def run_hours(config: dict, seconds: Seconds) -> tuple[float, float]:
    """(training, validation) hours of one training."""
    steps = config["train"]["steps"] * seconds.phases["step"]
    return steps / 3600, validations(config) * seconds.validation / 3600


def evaluation_hours(config: dict, model: str, gpu: Gpu, a: Assumptions, t: Seconds) -> float:
    """GPU-hours (on processors: hours) to sample the evaluation set of one run."""
    rows = test_problems(config) * config["evaluate"]["n"]
    if config["train"]["device"] == "cpu":
        validated = validation_problems(config) * config["train"]["validation"]["n"]
        return t.validation / 3600 * rows / validated
    longest, size = config["train"]["max_response_tokens"], config["models"][model]["size"]
    rows //= config["evaluate"]["shards"]
    seconds = sampling_seconds(size, gpu, config["evaluate"]["gpus"], 0.9, rows, longest, a)
    return seconds / 3600 * config["evaluate"]["shards"] * config["evaluate"]["gpus"]
