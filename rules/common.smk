"""The configuration, the table of runs, and the functions that rules share."""

import json
import os

from lens_impl.experiments.checks import check, check_results_folder
from lens_impl.experiments.configuration import overlay
from lens_impl.files import read_yaml
from lens_impl.experiments.runs import (
    Run,
    base_name,
    evaluated,
    models_from,
    planned_runs,
)
from lens_impl.experiments.settings import (
    checkpoint_hash,
    evaluation_config,
    gpus_of,
    regime_config,
    tracking_uri,
    training_resources,
    training_schedule,
    training_settings,
)
from lens_impl.data.sources import SOURCES, TRAINING
from lens_impl.errors import UserError
from lens_impl.comparison.paper import NUMBERS, paper_numbers
from lens_impl.report import registry


def told(function, *arguments):
    """Call a function of the package; its UserError ends the workflow as one sentence.

    SystemExit, since Snakemake shows any other exception with a traceback.
    """
    try:
        return function(*arguments)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


configfile: "config/config.yaml"
configfile: told(overlay, config["scale"])


# A file given by --configfile may add methods of its own.
config["methods"] = {
    **told(read_yaml, "config/methods.yaml"),
    **config.get("methods", {}),
}
told(check, config)
if workflow.is_main_process:
    # Not in the jobs of a cluster: a disk that is full for a while must not use up their retries.
    told(check_results_folder)

RUNS = planned_runs(config)

# Environment variables and not params: another address of the mirror re-runs nothing.
os.environ["MLFLOW_TRACKING_URI"] = tracking_uri(config)
os.environ["MLFLOW_EXPERIMENT_NAME"] = f"lens-{config['scale']}"
# What fits into a GPU moves no result either.
os.environ.update(LENS_GPU=json.dumps(config["train"]["gpu"]))


envvars:
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "LENS_GPU",


pathvars:
    scale=config["scale"],


wildcard_constraints:
    model="|".join(config["models"]),
    mix="|".join(config["data"]["mixes"]),
    method="|".join(config["methods"]),
    seed=r"\d+",
    set="|".join(config["data"]["evaluation_sets"]),
    source="|".join(SOURCES),
    shard=r"\d+",
    run=r"[A-Za-z0-9-]+(_[A-Za-z0-9-]+)+",


def as_json(value):
    """One shell argument for a structured value."""
    return json.dumps(value, sort_keys=True)


# The environment of trainings and sampling.
ENGINE = f"../envs/train_{'cpu' if config['train']['device'] == 'cpu' else 'gpu'}.yaml"


def raw_folder(wildcards):
    """Where the data sets are: a folder of the user's, or the made or downloaded ones."""
    return config["data"]["local_dir"] or f"results/{config['scale']}/data/raw"


def raw_files(wildcards):
    """The made or downloaded sets; nothing where a folder of real ones is given (its form is open)."""
    if config["data"]["local_dir"]:
        return []
    if "tiny_problems" in config:
        names = ["math_train", "math_test", "dapo", "numina"]
        return expand("results/<scale>/data/raw/{name}.jsonl", name=names)
    # An evaluation set needs its own rows; a mix needs its sources, and what to keep out of it.
    sets = (
        [wildcards["set"]]
        if "set" in wildcards.keys()
        else config["data"]["evaluation_sets"]
    )
    sources = (
        config["data"]["mixes"][wildcards.mix] if "mix" in wildcards.keys() else []
    )
    names = [TRAINING[source] for source in sources] + [f"{name}_test" for name in sets]
    return expand("results/<scale>/data/raw/{name}", name=names)


# Model -> folder with its tokenizer; the data need them all, as all models train on the same problems.
# One that is trained here has its tokenizer before its weights, so that the data need not wait.
TOKENIZER_IN = {"pretrain": "tokenizers", "hub": "models"}
TOKENIZERS = {
    name: f"results/{config['scale']}/{TOKENIZER_IN[model['source']]}/{name}"
    for name, model in config["models"].items()
}


def run_of(wildcards):
    """The training that the wildcards of an output name."""
    return Run(wildcards.model, wildcards.mix, wildcards.method, int(wildcards.seed))


def settings_of(wildcards):
    """What decides the trajectory of one training."""
    return as_json(training_settings(config, run_of(wildcards)))


def checkpoint_folder(wildcards):
    """Where a training keeps its resumable state: other settings, another folder."""
    run = run_of(wildcards)
    digest = checkpoint_hash(training_settings(config, run))
    return f"results/{config['scale']}/runs/{run.name}/checkpoints/{digest}"


def policy(wildcards):
    """What is evaluated under a run's name: the base model's folder, or a training's manifest."""
    for model in config["models"]:
        if wildcards.run == base_name(model):
            return f"results/<scale>/models/{model}"
    return f"results/<scale>/runs/{wildcards.run}/manifest.json"


# The evaluation sets that the paper does not have; each has a table and a figure of its own.
FURTHER_SETS = config["data"]["evaluation_sets"][1:]
PAPER_TABLES = list(paper_numbers()["tables"])


def inputs_of(shown):
    """The files that a table or figure is made from."""
    return [f"results/{config['scale']}/{file}" for file in shown.inputs(RUNS)]


def names_of(shown):
    """The runs that a table or figure shows."""
    return [run.name for run in shown.runs(RUNS)]
