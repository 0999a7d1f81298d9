"""Use the method `signed-2` of the project in the current folder; print what came out as JSON."""

import json
import sys
from pathlib import Path

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import Run
from lens_impl.experiments.settings import training_schedule, training_settings
from lens_impl.files import ROOT
from lens_impl.verl_plugin.overrides import Paths, verl_overrides

config = load("tiny")  # checked
settings = training_settings(config, Run("tiny", "math-dapo", "signed-2", 1))
paths = Paths(*map(Path, ("train", "validation", "model", "checkpoints")))
overrides = verl_overrides(settings, training_schedule(config), paths, None)
light = "torch" not in sys.modules

import torch  # noqa: E402

from lens_impl.advantages import RolloutBatch, compute_advantages  # noqa: E402
from lens_impl.report.names import method_name  # noqa: E402

mask = torch.ones(2, 1, dtype=torch.bool)
batch = RolloutBatch(torch.tensor([1.0, 0.0]), ["a", "a"], mask, torch.zeros(2, 1))
recipe = config["methods"]["signed-2"]
found = {
    "root": str(ROOT),
    "light": light,
    "overrides": overrides,
    "name": method_name("signed-2"),
    "advantages": compute_advantages(recipe["advantage"], batch, **recipe["options"]).tolist(),
}
print(json.dumps(found))
