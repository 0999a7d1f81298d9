"""The command `lens`, also as `python -m lens_impl`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lens_impl import __version__
from lens_impl.errors import run_cli

# Each verb imports what it needs when it runs: `lens plan` waits for no torch.

EXAMPLES = """\
examples, in the project's folder:
  lens list                                  runs of the scale in config/config.yaml: how far, where
  lens plan --scale paper --gpu h100 --gpus 64
  lens timeline --scale tiny                 a Gantt chart of what ran: results/tiny/timeline.png
  lens manifest --run tiny_math-dapo_lens_s1
  lens compare ../before/results/tiny results/tiny
  lens theory                                the paper's theorems, checked by autograd

Everything else is a file that Snakemake makes: snakemake --config scale=tiny
"""


def list_runs(arguments: argparse.Namespace) -> str:
    """State, step, age of the last step and machine of every run."""
    from lens_impl.experiments.configuration import load
    from lens_impl.experiments.inputs import checkpoint_folder
    from lens_impl.experiments.runs import planned_runs
    from lens_impl.text import grid
    from lens_impl.training.progress import progress

    config = load(arguments.scale)
    rows = []
    for run in planned_runs(config):
        checkpoints = Path(checkpoint_folder(config, run))
        manifest = checkpoints.parent.parent / "manifest.json"
        at = progress(checkpoints, manifest, checkpoints.name)
        age = "" if at.age is None else _age(at.age)
        step = f"{at.step}/{config['train']['steps']}"
        rows.append([run.name, at.state, step, age, at.where])
    return grid(["run", "state", "step", "last step", "where"], rows)


def _age(seconds: float) -> str:
    """90 -> 1 min ago."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def plan_costs(arguments: argparse.Namespace) -> str:
    """GPU-hours, disk and wall time of all runs, before anything runs."""
    from lens_impl.experiments.configuration import load
    from lens_impl.experiments.costs import Assumptions, plan
    from lens_impl.report.plan import render

    tokens = {
        "response_tokens": arguments.response_tokens,
        "prompt_tokens": arguments.prompt_tokens,
    }
    assumed = Assumptions(**{key: value for key, value in tokens.items() if value is not None})
    config = load(arguments.scale)
    return render(plan(config, arguments.gpu, arguments.gpus, assumed, Path("results")))


def draw_timeline(arguments: argparse.Namespace) -> str:
    """When each job ran, and which chain of jobs bounds the time of the whole."""
    from lens_impl.experiments.configuration import load
    from lens_impl.experiments.runs import evaluated, planned_runs
    from lens_impl.report.timeline import write_timeline

    config = load(arguments.scale)
    out = arguments.out or Path("results", config["scale"])
    text = write_timeline(Path(), config["scale"], evaluated(planned_runs(config)), out)
    return f"{text}\n\nchart  {out / 'timeline.png'}, {out / 'timeline.pdf'}"


def name_manifest(arguments: argparse.Namespace) -> str:
    """The file that a run ends with; for scripts."""
    from lens_impl.experiments.configuration import load
    from lens_impl.experiments.runs import find

    config = load(arguments.scale)
    return f"results/{config['scale']}/runs/{find(config, arguments.run).name}/manifest.json"


def compare_results(arguments: argparse.Namespace) -> str:
    """Whether two results folders are equal to the last bit; status 1 where they are not."""
    from lens_impl.comparison.equality import report

    text, equal = report(arguments.before, arguments.after)
    if not equal:
        print(text)
        raise SystemExit(1)
    return text


def check_theory(arguments: argparse.Namespace) -> None:
    """Every statement of the paper's theory, checked by autograd on small policies."""
    from lens_impl import theory

    theory.main()


def parser() -> argparse.ArgumentParser:
    """All verbs with their options."""
    lens = argparse.ArgumentParser(
        prog="lens",
        description="What a configuration asks for, what it costs, and how far it is.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lens.add_argument("--version", action="version", version=f"lens {__version__}")
    verbs = lens.add_subparsers(title="commands", metavar="COMMAND")

    def verb(
        name: str, call: Callable[[argparse.Namespace], str | None]
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=call.__doc__, description=call.__doc__)
        added.set_defaults(call=call)
        return added

    runs = verb("list", list_runs)
    plan = verb("plan", plan_costs)
    plan.add_argument("--gpu", default="h100", help="a100, h100 or h200 (default h100)")
    plan.add_argument("--gpus", type=int, help="GPUs of the cluster (default: those of one run)")
    plan.add_argument("--response-tokens", type=float, help="mean length of a response")
    plan.add_argument("--prompt-tokens", type=float, help="mean length of a prompt")
    timeline = verb("timeline", draw_timeline)
    timeline.add_argument("--out", type=Path, help="folder of the chart (default results/<scale>)")
    manifest = verb("manifest", name_manifest)
    manifest.add_argument("--run", required=True, help="name of a run, as `lens list` shows it")
    for each in (runs, plan, timeline, manifest):
        each.add_argument("--scale", help="default: the scale in config/config.yaml")
    compare = verb("compare", compare_results)
    compare.add_argument("before", type=Path, help="a folder results/<scale>")
    compare.add_argument("after", type=Path, help="the same scale, of another version of the code")
    verb("theory", check_theory)
    return lens


def main() -> None:
    lens = parser()
    arguments = lens.parse_args()
    if "call" not in arguments:
        lens.print_help()
        return
    text = arguments.call(arguments)
    if text:
        print(text)


def command() -> None:
    """Entry point of the installed command."""
    run_cli(main)


if __name__ == "__main__":
    command()
