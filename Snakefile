"""Reproduction of LENS: data, base model, training, evaluation, tables and figures of one scale.

config/config.yaml names the scale; everything it makes is under results/<scale>/.
"""

from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/tracking.smk"
include: "rules/notebooks.smk"


rule all:
    default_target: True
    input:
        # Named although later files need them: a missing one is rebuilt even if those exist.
        rules.trainings.input,
        rules.evaluations.input,
        rules.regimes.input,
        rules.tables.input,
        rules.figures.input,
        "results/<scale>/summary.md",
        "results/<scale>/mlflow.mirror.json",
        rules.notebooks.input,
