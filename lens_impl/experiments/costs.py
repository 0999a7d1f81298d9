"""What a scale will cost: seconds per step, GPU-hours, disk and wall time, before anything runs.

Where a run of a model has left metrics.jsonl, its measured seconds are used. Otherwise they come
from a FLOP model of the GPU, whose assumptions are printed with the result:

- A forward pass takes 2 N FLOPs per token (N parameters), forward and backward 6 N (Kaplan et al.
  2020, arXiv:2001.08361, section 2.1), and the attention 4 L d c more in a forward pass (L layers,
  width d, c tokens of context: two products of 2 d c). Gradient checkpointing adds a forward pass.
- Training reaches a share of the peak (model FLOPs utilisation, Chowdhery et al. 2022,
  arXiv:2204.02311, appendix B).
- A decoding step reads all weights and the keys and values of its sequences once, or is bound by
  FLOPs; it reaches a share of the memory bandwidth. When most responses have ended, the longest
  continue alone, one token per pass over the weights (Pope et al. 2022, arXiv:2211.05102,
  section 2).
- Peaks: NVIDIA's data sheets of A100 80GB SXM, H100 SXM and H200 SXM, dense bf16.

The model leaves out waiting, communication and start-up; a step has FIXED_SECONDS for them.
lens_impl.report.plan writes a plan as text.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lens_impl.errors import UserError
from lens_impl.experiments.runs import models_of, planned_runs
from lens_impl.experiments.settings import checkpoint_hash, gpus_of, training_settings
from lens_impl.files import read_growing_jsonl

FIXED_SECONDS = 15.0  # weights to the sampler, rewards, bookkeeping of one rollout batch
ROWS_AT_ONCE = 256  # sequences that one copy of the model samples at a time: verl's max_num_seqs
WEIGHT_BYTES, CACHE_BYTES = 2, 2  # bf16
MASTER_BYTES, ADAM_BYTES, EXPORT_BYTES = 4, 8, 4  # float32, of a checkpoint
DUMP_BYTES, SAMPLE_BYTES = 20, 4  # per token in rollouts/ and in samples_{set}.parquet


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
    """Of one rollout batch, by phase, and of one validation. source: where they come from."""

    phases: dict[str, float]
    validation: float
    source: str


def forward_flops(size: dict, context: float) -> float:
    """FLOPs of one token's forward pass with `context` tokens before it."""
    return 2 * size["parameters"] + 4 * size["layers"] * size["hidden"] * context


def sampling_seconds(
    size: dict,
    gpu: Gpu,
    gpus: int,
    memory_share: float,
    rows: int,
    longest: int,
    assumed: Assumptions,
) -> float:
    """Seconds to sample `rows` responses on `gpus` GPUs, each with a copy of the model.

    size: parameters, layers, hidden, kv of the model. longest: tokens of the longest response.
    UserError where the model does not fit into `memory_share` of a GPU's memory.
    """
    context = assumed.prompt_tokens + assumed.response_tokens / 2
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
    bandwidth = gpu.bandwidth * assumed.bandwidth_share
    reading = (weights + at_once * cache) / bandwidth
    computing = at_once * forward_flops(size, context) / (gpu.peak * assumed.compute_share)
    tail = (longest - assumed.response_tokens) * weights / bandwidth
    return rows * assumed.response_tokens / gpus / at_once * max(reading, computing) + tail


def modelled(config: dict, model: str, gpu: Gpu, assumed: Assumptions) -> Seconds:
    """The FLOP model of this module for one model of a configuration."""
    train, size = config["train"], config["models"][model]["size"]
    ranks = train["nodes"] * train["gpus_per_node"]
    copies = ranks // train["gpu"]["tensor_parallel"]
    # Copies over several GPUs are taken as one GPU of their sum.
    joined = Gpu(*(value * ranks / copies for value in (gpu.peak, gpu.memory, gpu.bandwidth)))
    share, longest = train["gpu"]["vllm_memory"], train["max_response_tokens"]
    rows = train["prompts_per_rollout"] * train["group_size"]

    def sampled(rows: int) -> float:
        return sampling_seconds(size, joined, copies, share, rows, longest, assumed)

    tokens = rows * (assumed.prompt_tokens + assumed.response_tokens)
    flops = forward_flops(size, (assumed.prompt_tokens + assumed.response_tokens) / 2)
    speed = ranks * gpu.peak * assumed.compute_share
    phases = {
        "rollout": sampled(rows),
        "old_log_prob": tokens * flops / speed,
        "update": tokens * 4 * flops / speed,
    }
    phases["step"] = sum(phases.values()) + FIXED_SECONDS
    validated = validation_problems(config) * train["validation"]["n"]
    return Seconds(phases, sampled(validated) + FIXED_SECONDS, "FLOP model")


def measured(config: dict, model: str, results: Path) -> Seconds | None:
    """Medians over all steps of this model's runs so far; None before the first."""
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


def evaluation_problems(config: dict) -> int:
    """Problems of the set `math`: the toy's, or the 5,000 of MATH."""
    return config["tiny_problems"]["sizes"]["math_test"] if "tiny_problems" in config else 5000


def validation_problems(config: dict) -> int:
    """Problems of one validation."""
    every = evaluation_problems(config)
    return min(config["train"]["validation"]["problems"] or every, every)


def validations(config: dict) -> int:
    """Validations of one run: before the first step, every so many, and after the last."""
    steps, every = config["train"]["steps"], config["train"]["validate_every"]
    return 1 + steps // every + (steps % every > 0)


def checkpoint_bytes(size: dict) -> float:
    """Parameters and Adam's moments in float32, and the exported model."""
    return size["parameters"] * (MASTER_BYTES + ADAM_BYTES + EXPORT_BYTES)


def disk_bytes(config: dict, model: str, assumed: Assumptions) -> tuple[float, float]:
    """(largest, kept) of one run's folder; two checkpoints exist while one is written."""
    train, size = config["train"], config["models"][model]["size"]
    rows = train["prompts_per_rollout"] * train["group_size"]
    dumps = train["steps"] // train["dump_every"] if train["dump_every"] else 0
    samples = config["evaluate"]["n"] * evaluation_problems(config)
    texts = (dumps * rows * DUMP_BYTES + samples * SAMPLE_BYTES) * assumed.response_tokens
    whole, exported = checkpoint_bytes(size), size["parameters"] * EXPORT_BYTES
    return 2 * whole + texts, (whole if train["gpu"]["keep_optimizer"] else exported) + texts


def makespan(hours: list[float], at_once: int) -> float:
    """Hours until all jobs have ended, longest first, `at_once` of them at a time."""
    ends = [0.0] * at_once
    for job in sorted(hours, reverse=True):
        ends[ends.index(min(ends))] += job
    return max(ends)


def evaluation_hours(
    config: dict, model: str, gpu: Gpu, assumed: Assumptions, seconds: Seconds
) -> float:
    """GPU-hours (on the CPU: hours) to sample the evaluation set `math` for one run."""
    evaluate, train = config["evaluate"], config["train"]
    rows = evaluation_problems(config) * evaluate["n"]
    if train["device"] == "cpu":
        validated = validation_problems(config) * train["validation"]["n"]
        return seconds.validation / 3600 * rows / validated
    longest, size = train["max_response_tokens"], config["models"][model]["size"]
    shards, gpus = evaluate["shards"], evaluate["gpus"]
    shard = sampling_seconds(size, gpu, gpus, 0.9, rows // shards, longest, assumed)
    return shard / 3600 * shards * gpus


@dataclass(frozen=True)
class Cost:
    """What the runs of one model cost. On the CPU a GPU-hour is an hour of a job.

    training, validation: hours of one run. evaluation: GPU-hours of one run. checkpoint: its bytes.
    disk: (largest, kept) bytes of one run's folder. Both are 0 on the CPU, where they are small.
    """

    model: str
    runs: int
    gpus_per_run: int
    seconds: Seconds
    training: float
    validation: float
    evaluation: float
    checkpoint: float
    disk: tuple[float, float]

    @property
    def hours(self) -> float:
        """Wall time of one run."""
        return self.training + self.validation

    @property
    def training_gpu_hours(self) -> float:
        return self.runs * self.hours * self.gpus_per_run

    @property
    def evaluation_gpu_hours(self) -> float:
        """Of all runs and the base model."""
        return (self.runs + 1) * self.evaluation


@dataclass(frozen=True)
class Plan:
    """Costs of all runs of a configuration on a cluster of `gpus` GPUs (on the CPU: job slots)."""

    config: dict
    gpu: str  # key of GPUS
    gpus: int
    assumed: Assumptions
    costs: list[Cost]

    @property
    def on_gpu(self) -> bool:
        return self.config["train"]["device"] == "cuda"

    @property
    def runs(self) -> int:
        return sum(cost.runs for cost in self.costs)

    @property
    def runs_at_once(self) -> int:
        return self.gpus // self.costs[0].gpus_per_run

    @property
    def gpu_hours(self) -> float:
        return sum(cost.training_gpu_hours + cost.evaluation_gpu_hours for cost in self.costs)

    @property
    def wall_hours(self) -> float:
        """All runs, and then all evaluations on all GPUs."""
        hours = [cost.hours for cost in self.costs for _ in range(cost.runs)]
        evaluating = sum(cost.evaluation_gpu_hours for cost in self.costs)
        return makespan(hours, self.runs_at_once) + evaluating / self.gpus

    @property
    def validation_samples(self) -> int:
        """Completions of one validation."""
        return validation_problems(self.config) * self.config["train"]["validation"]["n"]

    @property
    def step_samples(self) -> int:
        """Completions of one rollout batch."""
        return self.config["train"]["prompts_per_rollout"] * self.config["train"]["group_size"]

    @property
    def validation_share(self) -> float:
        """Completions of all validations / those of all steps."""
        validated = validations(self.config) * self.validation_samples
        return validated / (self.config["train"]["steps"] * self.step_samples)

    @property
    def disk(self) -> tuple[float, float]:
        """(largest, kept) bytes; largest while all runs at a time write a checkpoint."""
        folders = [cost.disk for cost in self.costs for _ in range(cost.runs)]
        growth = sorted((largest - kept for largest, kept in folders), reverse=True)
        kept = sum(kept for _, kept in folders)
        return kept + sum(growth[: self.runs_at_once]), kept


def plan(config: dict, gpu: str, gpus: int | None, assumed: Assumptions, results: Path) -> Plan:
    """What the experiments of a configuration cost.

    gpu: key of GPUS. gpus: of the cluster; None = those of one run. results: where runs of this
    scale may have left measured seconds. UserError where a run cannot be planned.
    """
    if gpu not in GPUS:
        raise UserError(f"--gpu is {gpu!r}, but must be one of {', '.join(GPUS)}")
    gpus_per_run = max(1, gpus_of(config, "train"))
    gpus = gpus or gpus_per_run
    if gpus < gpus_per_run:
        raise UserError(f"--gpus is {gpus}, but one run takes {gpus_per_run}.")
    models = models_of(planned_runs(config))
    costs = [_cost(config, model, gpu, gpus_per_run, assumed, results) for model in models]
    return Plan(config, gpu, gpus, assumed, costs)


def _cost(
    config: dict, model: str, gpu: str, gpus_per_run: int, assumed: Assumptions, results: Path
) -> Cost:
    on_gpu = config["train"]["device"] == "cuda"
    seconds = measured(config, model, results)
    if seconds is None and on_gpu:
        seconds = modelled(config, model, GPUS[gpu], assumed)
    if seconds is None:
        raise UserError(
            f"scale {config['scale']} trains on the CPU, for which there is no FLOP model, and no "
            f"run of {model} has been measured yet. Hint: start one and ask again some steps later."
        )
    return Cost(
        model=model,
        runs=sum(run.model == model for run in planned_runs(config)),
        gpus_per_run=gpus_per_run,
        seconds=seconds,
        training=config["train"]["steps"] * seconds.phases["step"] / 3600,
        validation=validations(config) * seconds.validation / 3600,
        evaluation=evaluation_hours(config, model, GPUS[gpu], assumed, seconds),
        checkpoint=checkpoint_bytes(config["models"][model]["size"]) if on_gpu else 0.0,
        disk=disk_bytes(config, model, assumed) if on_gpu else (0.0, 0.0),
    )
