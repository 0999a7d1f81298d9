"""Data and base model.

in:  config; data.local_dir, or the synthetic problems, or the hub's data sets
out: results/<scale>/data/raw/                     synthetic or downloaded rows
     results/<scale>/data/{mix}.parquet            training prompts
     results/<scale>/data/{mix}.report.json        rows in, dropped by reason, rows out, hashes
     results/<scale>/data/{mix}.card.md            the same for people: the data card
     results/<scale>/data/eval_{set}.parquet       evaluation problems
     results/<scale>/data/eval_{set}.report.json   rows, levels, answers that cannot be graded
     results/<scale>/tokenizers/{model}/      tokenizer of a model that is trained from scratch
     results/<scale>/models/{model}/          Hugging Face folder of the base model
     results/<scale>/models/{model}.regime.json   what the base model can do

One thread for the toy's model: a second makes it at most a third faster, and many times slower where
the two threads wait for a CPU that another program has.
"""


rule make_tiny_problems:
    """Write the toy's problems in the schemas of MATH, DAPO and NuminaMath, traps included."""
    output:
        toy_files(config),
    log:
        "results/<scale>/logs/make_tiny_problems.log",
    benchmark:
        "results/<scale>/benchmarks/make_tiny_problems.tsv"
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        config=lambda wildcards: as_json(config["tiny_problems"]),
        raw=subpath(output[0], parent=True),
    shell:
        """
        python -m lens_impl.data.toy \
            --config {params.config:q} \
            --out {params.raw:q} \
            >{log:q} 2>&1
        """


rule download_dataset:
    """Fetch one data set from the hub at its pinned revision; resumes where it was stopped."""
    output:
        directory("results/<scale>/data/raw/{source}"),
    log:
        "results/<scale>/logs/download_dataset/{source}.log",
    benchmark:
        "results/<scale>/benchmarks/download_dataset/{source}.tsv"
    # Compute nodes are often offline.
    localrule: True
    conda:
        "../envs/core.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    shell:
        """
        python -m lens_impl.data.download fetch \
            --set {wildcards.source:q} \
            --out {output:q} \
            2>&1 | tee -i {log:q}
        """


rule mix_prompts:
    """Mix MATH with a second source: extract answers, filter, de-duplicate, decontaminate."""
    input:
        raw=lambda wildcards: raw_files(config, mix=wildcards.mix),
        tokenizers=lambda wildcards: tokenizers(config, MODELS, wildcards.mix).values(),
    output:
        prompts="results/<scale>/data/{mix}.parquet",
        report="results/<scale>/data/{mix}.report.json",
        card=report(
            "results/<scale>/data/{mix}.card.md",
            caption="../workflow/report/data_card.rst",
            category="Data",
            labels={"mix": "{mix}"},
        ),
    log:
        "results/<scale>/logs/mix_prompts/{mix}.log",
    benchmark:
        "results/<scale>/benchmarks/mix_prompts/{mix}.tsv"
    conda:
        "../envs/train_cpu.yaml"
    # The grader uses all cores, but the synthetic problems are few: two mixes at once.
    threads: 1 if "tiny_problems" in config else 2
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        raw=raw_folder(config),
        # Unsorted: the first source of the mix keeps a problem that several have.
        sizes=lambda wildcards: json.dumps(config["data"]["mixes"][wildcards.mix]),
        evaluation_sets=as_json(config["data"]["evaluation_sets"]),
        languages=as_json(config["data"]["languages"]),
        instruction=config["data"]["instruction"],
        seed=config["data"]["seed"],
        strict="--strict" if config["data"]["strict"] else "",
        models=lambda wildcards: as_json(tokenizers(config, MODELS, wildcards.mix)),
        max_prompt_tokens=config["train"]["max_prompt_tokens"],
    shell:
        """
        python -m lens_impl.data.prepare mix {params.strict} \
            --mix {wildcards.mix:q} \
            --sizes {params.sizes:q} \
            --raw {params.raw:q} \
            --evaluation-sets {params.evaluation_sets:q} \
            --languages {params.languages:q} \
            --instruction={params.instruction:q} \
            --seed {params.seed:q} \
            --models {params.models:q} \
            --max-prompt-tokens {params.max_prompt_tokens:q} \
            --out {output.prompts:q} \
            --report {output.report:q} \
            --out-md {output.card:q} \
            >{log:q} 2>&1
        """


rule prepare_evaluation:
    """Bring an evaluation set into the columns that verl reads, in file order."""
    input:
        raw=lambda wildcards: raw_files(config, evaluation_set=wildcards.set),
        tokenizers=lambda wildcards: tokenizers(
            config, MODELS, f"eval_{wildcards.set}"
        ).values(),
    output:
        problems="results/<scale>/data/eval_{set}.parquet",
        report="results/<scale>/data/eval_{set}.report.json",
    log:
        "results/<scale>/logs/prepare_evaluation/{set}.log",
    benchmark:
        "results/<scale>/benchmarks/prepare_evaluation/{set}.tsv"
    conda:
        "../envs/train_cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        raw=raw_folder(config),
        instruction=config["data"]["instruction"],
        models=lambda wildcards: as_json(
            tokenizers(config, MODELS, f"eval_{wildcards.set}")
        ),
        max_prompt_tokens=config["train"]["max_prompt_tokens"],
    shell:
        """
        python -m lens_impl.data.prepare evaluation \
            --set {wildcards.set:q} \
            --raw {params.raw:q} \
            --instruction={params.instruction:q} \
            --models {params.models:q} \
            --max-prompt-tokens {params.max_prompt_tokens:q} \
            --out {output.problems:q} \
            --report {output.report:q} \
            >{log:q} 2>&1
        """


rule fetch_base_model:
    """Link a model of the hub, downloaded where the workflow was started: nodes are often offline."""
    output:
        directory("results/<scale>/models/{model}"),
    log:
        "results/<scale>/logs/fetch_base_model/{model}.log",
    benchmark:
        "results/<scale>/benchmarks/fetch_base_model/{model}.tsv"
    wildcard_constraints:
        model=models_from(config, "hub"),
    localrule: True
    conda:
        "../envs/core.yaml"
    params:
        repo=lambda wildcards: config["models"][wildcards.model]["repo"],
        revision=lambda wildcards: config["models"][wildcards.model]["revision"],
        template=lambda wildcards: config["models"][wildcards.model]["template"],
    shell:
        """
        python -m lens_impl.models.hub \
            --repo {params.repo:q} \
            --revision {params.revision:q} \
            --template {params.template:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


rule make_tokenizer:
    """Write the tokenizer of the toy's base model: the data need it, and not the model."""
    output:
        directory("results/<scale>/tokenizers/{model}"),
    log:
        "results/<scale>/logs/make_tokenizer/{model}.log",
    benchmark:
        "results/<scale>/benchmarks/make_tokenizer/{model}.tsv"
    wildcard_constraints:
        model=models_from(config, "pretrain"),
    conda:
        "../envs/train_cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        """
        python -m lens_impl.models.toy tokenizer \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule pretrain_base_model:
    """Train the toy's base model from scratch on worked solutions with misconceptions."""
    input:
        corpus="results/<scale>/data/raw/pretrain.jsonl",
    output:
        directory("results/<scale>/models/{model}"),
    log:
        "results/<scale>/logs/pretrain_base_model/{model}.log",
    benchmark:
        "results/<scale>/benchmarks/pretrain_base_model/{model}.tsv"
    wildcard_constraints:
        model=models_from(config, "pretrain"),
    # All training runs wait for it.
    priority: 1
    conda:
        "../envs/train_cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        config=lambda wildcards: as_json(config["models"][wildcards.model]["pretrain"]),
    shell:
        """
        python -m lens_impl.models.toy train \
            --config {params.config:q} \
            --corpus {input.corpus:q} \
            --threads {threads} \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule measure_regime:
    """Measure a base model's Pass@1, Pass@16 and all-wrong groups before any training."""
    input:
        model="results/<scale>/models/{model}",
        mixes=expand("results/<scale>/data/{mix}.parquet", mix=MIXES),
        evaluation="results/<scale>/data/eval_math.parquet",
    output:
        "results/<scale>/models/{model}.regime.json",
    log:
        "results/<scale>/logs/measure_regime/{model}.log",
    benchmark:
        "results/<scale>/benchmarks/measure_regime/{model}.tsv"
    conda:
        TRAIN_ENV
    threads: config["evaluate"]["threads"]
    resources:
        mem_mb=config["resources"]["sample"]["mem_mb"],
        runtime=config["resources"]["sample"]["runtime"],
        gpu=gpus_of(config, "sample"),
    params:
        config=as_json(regime_config(config)),
    shell:
        """
        python -m lens_impl.evaluation.baseline \
            --model {input.model:q} \
            --mix {input.mixes:q} \
            --eval {input.evaluation:q} \
            --config {params.config:q} \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule regimes:
    """What the base models can do before any training."""
    input:
        expand("results/<scale>/models/{model}.regime.json", model=MODELS),
