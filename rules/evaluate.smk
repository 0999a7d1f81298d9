"""Evaluation of trained runs and of the base models.

in:  results/<scale>/runs/{run}/manifest.json, or results/<scale>/models/{model}/ for {model}_base
out: results/<scale>/runs/{run}/samples_{set}.parquet   one row per sample
     results/<scale>/runs/{run}/pass_at_k_{set}.csv     Pass@k by level
"""


rule sample_completions:
    """Sample n completions of every problem of one shard."""
    input:
        model=lambda wildcards: model_of(config, wildcards.run),
        problems="results/<scale>/data/eval_{set}.parquet",
    output:
        temp("results/<scale>/runs/{run}/shards/samples_{set}.{shard}.parquet"),
    log:
        "results/<scale>/logs/sample_completions/{run}.{set}.{shard}.log",
    benchmark:
        "results/<scale>/benchmarks/sample_completions/{run}.{set}.{shard}.tsv"
    conda:
        TRAIN_ENV
    threads: config["evaluate"]["threads"]
    resources:
        mem_mb=config["resources"]["sample"]["mem_mb"],
        runtime=config["resources"]["sample"]["runtime"],
        gpu=gpus_of(config, "sample"),
    params:
        config=lambda wildcards: as_json(evaluation_config(config, wildcards.set)),
        shards=config["evaluate"]["shards"],
    shell:
        """
        python -m lens_impl.evaluation.evaluate sample \
            --model {input.model:q} \
            --data {input.problems:q} \
            --shard {wildcards.shard:q} \
            --shards {params.shards:q} \
            --config {params.config:q} \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule score_completions:
    """Grade every sample and estimate Pass@k with intervals, for all problems and by level."""
    input:
        shards=expand(
            "results/<scale>/runs/{{run}}/shards/samples_{{set}}.{shard}.parquet",
            shard=range(config["evaluate"]["shards"]),
        ),
    output:
        samples="results/<scale>/runs/{run}/samples_{set}.parquet",
        pass_at_k="results/<scale>/runs/{run}/pass_at_k_{set}.csv",
    log:
        "results/<scale>/logs/score_completions/{run}.{set}.log",
    benchmark:
        "results/<scale>/benchmarks/score_completions/{run}.{set}.tsv"
    conda:
        "../envs/core.yaml"
    threads: config["evaluate"]["threads"]
    resources:
        mem_mb=config["resources"]["sample"]["mem_mb"],
        runtime=config["resources"]["sample"]["runtime"],
    params:
        config=lambda wildcards: as_json(evaluation_config(config, wildcards.set)),
    shell:
        """
        python -m lens_impl.evaluation.evaluate score \
            --shards {input.shards:q} \
            --config {params.config:q} \
            --out {output.samples:q} \
            --pass-at-k {output.pass_at_k:q} \
            >{log:q} 2>&1
        """


rule evaluations:
    """Pass@k of every training and base model on every evaluation set."""
    input:
        expand(
            "results/<scale>/runs/{run}/pass_at_k_{set}.csv",
            run=evaluated(RUNS),
            set=config["data"]["evaluation_sets"],
        ),
