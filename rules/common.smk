"""The configuration, the table of runs, and what the rules share."""

import json
import os

from lens_impl.comparison.paper import NUMBERS
from lens_impl.data.raw import raw_files, raw_folder, toy_files
from lens_impl.data.sources import SOURCES, check_data
from lens_impl.errors import UserError
from lens_impl.experiments.checks import check, check_results_folder
from lens_impl.experiments.configuration import all_methods, scale_file
from lens_impl.experiments.inputs import checkpoint_folder, model_of
from lens_impl.experiments.inputs import run_of, tokenizers
from lens_impl.experiments.runs import evaluated, mixes_of
from lens_impl.experiments.runs import models_from, models_of, planned_runs
from lens_impl.experiments.settings import evaluation_config, gpus_of, regime_config
from lens_impl.experiments.settings import tracking_uri, training_resources
from lens_impl.experiments.settings import training_schedule, training_settings
from lens_impl.report import registry


def or_exit(function, *arguments):
    """Call a function of the package; its UserError ends the workflow as one sentence.

    SystemExit, since Snakemake shows any other exception with a traceback.
    """
    try:
        return function(*arguments)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None


configfile: "config/config.yaml"
configfile: or_exit(scale_file, config["scale"])


# A file given by --configfile may add methods of its own.
config["methods"] = or_exit(all_methods, config)
or_exit(check, config)
or_exit(check_data, config)
if workflow.is_main_process:
    # Not in the jobs of a cluster: a disk that is full for a while must not use up their retries.
    or_exit(check_results_folder)

RUNS = planned_runs(config)
# Relative, so that a clone that moves rebuilds nothing.
PAPER = os.path.relpath(NUMBERS)
# What the runs need. Files of another model or mix are made only if they are asked for by name.
MODELS, MIXES = models_of(RUNS), mixes_of(RUNS)
TRAIN_ENV = (
    f"../envs/train_{'gpu' if config['train']['device'] == 'cuda' else 'cpu'}.yaml"
)

# Environment variables and not params: another address of the mirror re-runs nothing.
os.environ["MLFLOW_TRACKING_URI"] = tracking_uri(config)
os.environ["MLFLOW_EXPERIMENT_NAME"] = f"lens-{config['scale']}"
# What fits into a GPU moves no result either. (`update`, since --lint cannot read two brackets.)
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
