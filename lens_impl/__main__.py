"""From a checked configuration to the table of training runs and what each is given.

python -m lens_impl list                  the trainings of a scale: how far, where
python -m lens_impl plan                  what they cost: GPU-hours, disk, wall time
python -m lens_impl timeline              when each job ran, what bounds the whole
python -m lens_impl manifest --run NAME   the file that a training ends with
"""

import argparse
from pathlib import Path

from lens_impl.errors import run_cli
from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import evaluated, find, planned_runs
from lens_impl.experiments.settings import checkpoint_hash, training_settings


def _listing(config: dict) -> str:
    from lens_impl.text import grid
    from lens_impl.training.progress import progress

    rows = []
    for run in planned_runs(config):
        digest = checkpoint_hash(training_settings(config, run))
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
        verb.add_argument("--scale", help="default: the one in config/config.yaml")
    return parser.parse_args()


def main() -> None:
    arguments = _parse()
    config = load(arguments.scale)
    if arguments.verb == "list":
        print(_listing(config))
    elif arguments.verb == "plan":
        from lens_impl.experiments.costs import Assumptions
        from lens_impl.report.plan import plan

        given = {"response_tokens": arguments.response_tokens}
        given["prompt_tokens"] = arguments.prompt_tokens
        assumed = Assumptions(**{key: value for key, value in given.items() if value is not None})
        print(plan(config, arguments.gpu, arguments.gpus, assumed, Path("results")))
    elif arguments.verb == "timeline":
        from lens_impl.report.timeline import write_timeline

        out = arguments.out or Path("results", config["scale"])
        print(write_timeline(Path(), config["scale"], evaluated(planned_runs(config)), out))
        print(f"\nchart  {out / 'timeline.png'}, {out / 'timeline.pdf'}")
    else:
        print(f"results/{config['scale']}/runs/{find(config, arguments.run).name}/manifest.json")


if __name__ == "__main__":
    run_cli(main)
