"""Training runs: one rule for every model, mix, method and seed.

in:  results/<scale>/data/{mix}.parquet, results/<scale>/models/{model}/
out: results/<scale>/runs/{model}_{mix}_{method}_s{seed}/
     config.json metrics.jsonl curves.parquet manifest.json
Checkpoints are next to them in checkpoints/<hash>/ and are no output: Snakemake deletes the outputs
of a job that fails, and a killed run must resume where it was. Progress goes to the terminal and to
the log.
"""


rule train:
    """Train a model on a mix of prompts by a method from a seed; resumes from its checkpoint."""
    input:
        prompts="results/<scale>/data/{mix}.parquet",
        validation="results/<scale>/data/eval_math.parquet",
        model="results/<scale>/models/{model}",
        tracking=ancient("results/<scale>/mlflow.init.json"),
    output:
        config="results/<scale>/runs/{model}_{mix}_{method}_s{seed}/config.json",
        metrics="results/<scale>/runs/{model}_{mix}_{method}_s{seed}/metrics.jsonl",
        curves="results/<scale>/runs/{model}_{mix}_{method}_s{seed}/curves.parquet",
        manifest="results/<scale>/runs/{model}_{mix}_{method}_s{seed}/manifest.json",
    log:
        "results/<scale>/logs/train/{model}_{mix}_{method}_s{seed}.log",
    benchmark:
        "results/<scale>/benchmarks/train/{model}_{mix}_{method}_s{seed}.tsv"
    # The longest jobs first: what follows from them fills the gaps.
    priority: 1
    conda:
        TRAIN_ENV
    threads: config["train"]["threads"]
    resources:
        **training_resources(config),
        mem_mb=config["resources"]["train"]["mem_mb"],
        runtime=config["resources"]["train"]["runtime"],
    params:
        settings=lambda wildcards: as_json(training_settings(config, run_of(wildcards))),
        schedule=as_json(training_schedule(config)),
        checkpoints=lambda wildcards: checkpoint_folder(config, run_of(wildcards)),
        run_dir=subpath(output.manifest, parent=True),
    shell:
        # A signal that ends a job on a cluster reaches all its processes: only the run may react.
        """
        trap '' TERM USR1
        python -m lens_impl.training.supervisor \
            --config {params.settings:q} \
            --schedule {params.schedule:q} \
            --gpu "$LENS_GPU" \
            --train {input.prompts:q} \
            --validation {input.validation:q} \
            --model {input.model:q} \
            --run-dir {params.run_dir:q} \
            --checkpoints {params.checkpoints:q} \
            --tracking-uri "$MLFLOW_TRACKING_URI" \
            --experiment "$MLFLOW_EXPERIMENT_NAME" \
            2>&1 | tee -i {log:q}
        """


rule trainings:
    """Every run of the experiments."""
    input:
        [f"results/<scale>/runs/{run.name}/manifest.json" for run in RUNS],
