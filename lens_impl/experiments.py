"""From a checked configuration to the table of training runs and what each is given.

python -m lens_impl.experiments list                  the trainings of a scale: how far, where
python -m lens_impl.experiments plan                  what they cost: GPU-hours, disk, wall time
python -m lens_impl.experiments timeline              when each job ran, what bounds the whole
python -m lens_impl.experiments manifest --run NAME   the file that a training ends with
"""

import argparse
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from lens_impl.configuration import choice, load
from lens_impl.errors import UserError, run_cli

# The train settings that do not decide the trajectory of a run: its length and what it writes.
_SCHEDULE = ("steps", "validate_every", "validation", "checkpoint_every", "dump_every")
# Named in a run's settings only where there is more than one process.
_RANKS = ("nodes", "gpus_per_node")


@dataclass(frozen=True)
class Run:
    """One training: which model learns which mix of prompts by which method from which seed."""

    model: str
    mix: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.model}_{self.mix}_{self.method}_s{self.seed}"


def base_name(model: str) -> str:
    """The run name under which the untrained model is evaluated."""
    return f"{model}_base"


def evaluated(trained: list[Run]) -> list[str]:
    """The names under which something is evaluated: base models of trainings, then these."""
    bases = dict.fromkeys(base_name(run.model) for run in trained)
    return [*bases, *(run.name for run in trained)]


def models_from(config: dict, source: str) -> str:
    """A pattern of the names of the models that have this source; without any, one of no name."""
    names = [name for name, model in config["models"].items() if model["source"] == source]
    return "|".join(names) or "(?!)"


def runs(config: dict) -> list[Run]:
    """Every training that `experiments` asks for, each once, in that order."""
    wanted = [
        Run(experiment["model"], experiment["mix"], method, seed)
        for experiment in config["experiments"]
        for seed in experiment["seeds"]
        for method in experiment["methods"]
    ]
    return list(dict.fromkeys(wanted))


def find(config: dict, name: str) -> Run:
    """The training of that name; UserError if the experiments do not ask for it."""
    known = {run.name: run for run in runs(config)}
    if name not in known:
        raise UserError(f"the run is {name!r}, but must be {choice(name, known)}")
    return known[name]


def describe(run: Run) -> dict:
    """A run as tables, figures and the MLflow mirror are given it."""
    return {"run": run.name, **asdict(run)}


def settings(config: dict, run: Run) -> dict:
    """Everything but data and model files that decides the trajectory of a training.

    How long it goes on and how often it validates and saves are left out, so that a training
    can be lengthened from its checkpoint.
    """
    train = {
        key: value
        for key, value in config["train"].items()
        if key not in (*_SCHEDULE, *_RANKS, "gpu")
    }
    ranks = {key: config["train"][key] for key in _RANKS}
    return {
        **asdict(run),
        "advantage": config["methods"][run.method],
        "learning_rate": config["models"][run.model]["learning_rate"],
        **train,
        **(ranks if math.prod(ranks.values()) > 1 else {}),
    }


def gpus(config: dict, job: str) -> int:
    """GPUs of one job, `train` or `sample`: none on the processor."""
    if config["train"]["device"] == "cpu":
        return 0
    if job == "train":
        return config["train"]["nodes"] * config["train"]["gpus_per_node"]
    return config["evaluate"]["gpus"]


def training_resources(config: dict) -> dict:
    """What Slurm must know of a training's nodes and GPUs, in the words of Snakemake's plugin."""
    train = config["train"]
    if train["nodes"] == 1:
        return {"gpu": gpus(config, "train")}
    # `mpi`: no step around the job, which starts its own over all nodes (lens_impl.ray_cluster).
    several = {"nodes": train["nodes"], "tasks": train["nodes"], "mpi": "srun", "tasks_per_gpu": 0}
    on_gpu = train["device"] == "cuda"
    return several | ({"gres": f"gpu:{train['gpus_per_node']}"} if on_gpu else {})


def checkpoint_hash(settings: dict) -> str:
    """12 hex digits that name the checkpoint folder of these settings."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def schedule(config: dict) -> dict:
    """How long a training goes on, and how often it validates, saves and dumps its rollouts."""
    return {key: config["train"][key] for key in _SCHEDULE}


def evaluation_config(config: dict) -> dict:
    """What `lens_impl.evaluate` is given as --config: sampling as in training, n and k."""
    as_trained = ["max_response_tokens", "temperature", "top_p", "engine", "device"]
    chosen = {key: config["evaluate"][key] for key in ("n", "k", "seed", "batch_size", "threads")}
    on_gpu = {"gpus": gpus(config, "sample")} if config["train"]["device"] == "cuda" else {}
    return {**chosen, **{key: config["train"][key] for key in as_trained}, **on_gpu}


def regime_config(config: dict) -> dict:
    """What `lens_impl.base_model regime` is given as --config: groups as in training."""
    sampling = evaluation_config(config)
    del sampling["k"]
    problems = config["evaluate"]["regime_problems"]
    return {**sampling, "n": config["train"]["group_size"], "problems": problems}


def tracking_uri(config: dict) -> str:
    """Address of the MLflow store."""
    return config["mlflow"]["tracking_uri"] or "sqlite:///results/mlflow.db"


def _listing(config: dict) -> str:
    from lens_impl.checkpoints import progress
    from lens_impl.display import grid

    rows = []
    for run in runs(config):
        digest = checkpoint_hash(settings(config, run))
        run_dir = Path("results") / config["scale"] / "runs" / run.name
        at = progress(run_dir / "checkpoints" / digest, run_dir / "manifest.json", digest)
        age = "" if at.age is None else _age(at.age)
        step = f"{at.step}/{config['train']['steps']}"
        rows.append([run.name, at.state, step, age, at.where])
    return grid(["training", "state", "step", "last step", "where"], rows)


def _age(seconds: float) -> str:
    """90 -> 1 min ago."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Show what a configuration asks for.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="state, step, age and place of every training")
    plan = verbs.add_parser("plan", help="GPU-hours, disk and wall time of a scale")
    plan.add_argument("--gpu", default="h100", help="a100, h100 or h200 (default h100)")
    plan.add_argument("--gpus", type=int, help="GPUs of the cluster; default: of one training")
    plan.add_argument("--response-tokens", type=float, help="mean length of a response")
    plan.add_argument("--prompt-tokens", type=float, help="mean length of a prompt")
    timeline = verbs.add_parser("timeline", help="Gantt chart and critical path of what was run")
    timeline.add_argument("--out", type=Path, help="folder of the chart; default results/<scale>")
    manifest = verbs.add_parser("manifest", help="the file that a training ends with")
    manifest.add_argument("--run", required=True, help="name of a training")
    for verb in verbs.choices.values():
        verb.add_argument("--config-scale", help="default: the scale in config/config.yaml")
    return parser.parse_args()


def main() -> None:
    arguments = _parse()
    config = load(arguments.config_scale)
    if arguments.verb == "list":
        print(_listing(config))
    elif arguments.verb == "plan":
        from lens_impl.plan import Assumptions, plan

        given = {"response_tokens": arguments.response_tokens}
        given["prompt_tokens"] = arguments.prompt_tokens
        assumed = Assumptions(**{key: value for key, value in given.items() if value is not None})
        print(plan(config, arguments.gpu, arguments.gpus, assumed, Path("results")))
    elif arguments.verb == "timeline":
        from lens_impl.timeline import write_timeline

        out = arguments.out or Path("results", config["scale"])
        print(write_timeline(Path(), config["scale"], evaluated(runs(config)), out))
        print(f"\nchart  {out / 'timeline.png'}, {out / 'timeline.pdf'}")
    else:
        print(f"results/{config['scale']}/runs/{find(config, arguments.run).name}/manifest.json")


if __name__ == "__main__":
    run_cli(main)
