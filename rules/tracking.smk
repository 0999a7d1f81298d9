"""MLflow, which mirrors the files under results/; no other rule reads it.

in:  everything that a scale makes
out: results/mlflow.db, or a tracking server; results/<scale>/mlflow.{init,mirror}.json say when
"""


rule init_tracking:
    """Create MLflow's database once: processes that create it together spoil it."""
    output:
        "results/<scale>/mlflow.init.json",
    log:
        "results/<scale>/logs/init_tracking.log",
    benchmark:
        "results/<scale>/benchmarks/init_tracking.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        """
        python -m lens_impl.tracking.mirror init \
            --tracking-uri "$MLFLOW_TRACKING_URI" \
            --experiment "$MLFLOW_EXPERIMENT_NAME" \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule mirror_tracking:
    """Log every run's files, Pass@k, the tables and the figures to MLflow, whatever it missed."""
    input:
        rules.write_summary.output,
        rules.figures.input,
    output:
        "results/<scale>/mlflow.mirror.json",
    log:
        "results/<scale>/logs/mirror_tracking.log",
    benchmark:
        "results/<scale>/benchmarks/mirror_tracking.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        runs=[run.name for run in RUNS],
        results=subpath(output[0], parent=True),
    shell:
        """
        python -m lens_impl.tracking.mirror mirror \
            --results {params.results:q} \
            --runs {params.runs:q} \
            --tracking-uri "$MLFLOW_TRACKING_URI" \
            --experiment "$MLFLOW_EXPERIMENT_NAME" \
            --out {output:q} \
            >{log:q} 2>&1
        """
