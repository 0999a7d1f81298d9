"""The paper's tables and the summary of a scale.

in:  results/<scale>/runs/{run}/: samples_math.parquet, pass_at_k_math.csv, metrics.jsonl,
                                  manifest.json
     config/paper_numbers.yaml   the paper's numbers, shown beside ours
out: results/<scale>/tables/{table1,table2,table3}.{csv,tex,md}, effects.{csv,md}
     results/<scale>/summary.md
     results/<scale>/tables/{methods.md,seeds.csv,seeds.md}   only when asked for
"""


rule table1:
    """Table 1: Pass@k on MATH + DAPO, GRPO against LENS."""
    input:
        samples=expand(
            "results/<scale>/runs/{run}/samples_math.parquet",
            run=evaluated(DAPO),
        ),
        paper="config/paper_numbers.yaml",
    output:
        csv="results/<scale>/tables/table1.csv",
        tex="results/<scale>/tables/table1.tex",
        md=report(
            "results/<scale>/tables/table1.md",
            caption="../workflow/report/table1.rst",
            category="Tables",
            labels={"shows": "Table 1: Pass@k, MATH + DAPO"},
        ),
    log:
        "results/<scale>/logs/table1.log",
    benchmark:
        "results/<scale>/benchmarks/table1.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        table="table1",
        runs=described(DAPO),
        results=subpath(output.csv, ancestor=2),
        scale=config["scale"],
    shell:
        """
        python -m lens_impl.report.paper_tables {params.table} \
            --runs {params.runs:q} \
            --results {params.results:q} \
            --paper {input.paper:q} \
            --scale {params.scale:q} \
            --out-csv {output.csv:q} \
            --out-tex {output.tex:q} \
            --out-md {output.md:q} \
            >{log:q} 2>&1
        """


use rule table1 as table2 with:
    # Table 2: the ablation on MATH + NuminaMath 1.5.
    input:
        samples=expand(
            "results/<scale>/runs/{run}/samples_math.parquet",
            run=evaluated(ABLATION),
        ),
        paper="config/paper_numbers.yaml",
    output:
        csv="results/<scale>/tables/table2.csv",
        tex="results/<scale>/tables/table2.tex",
        md=report(
            "results/<scale>/tables/table2.md",
            caption="../workflow/report/table2.rst",
            category="Tables",
            labels={"shows": "Table 2: ablation"},
        ),
    log:
        "results/<scale>/logs/table2.log",
    benchmark:
        "results/<scale>/benchmarks/table2.tsv"
    params:
        table="table2",
        runs=described(ABLATION),


use rule table1 as table3 with:
    # Table 3: Pass@k on MATH + NuminaMath 1.5, GRPO against LENS.
    input:
        samples=expand(
            "results/<scale>/runs/{run}/samples_math.parquet",
            run=evaluated(NUMINA),
        ),
        paper="config/paper_numbers.yaml",
    output:
        csv="results/<scale>/tables/table3.csv",
        tex="results/<scale>/tables/table3.tex",
        md=report(
            "results/<scale>/tables/table3.md",
            caption="../workflow/report/table3.rst",
            category="Tables",
            labels={"shows": "Table 3: Pass@k, MATH + NuminaMath"},
        ),
    log:
        "results/<scale>/logs/table3.log",
    benchmark:
        "results/<scale>/benchmarks/table3.tsv"
    params:
        table="table3",
        runs=described(NUMINA),


rule effects:
    """Gains over GRPO by level and by subject."""
    input:
        samples=expand(
            "results/<scale>/runs/{run}/samples_math.parquet",
            run=evaluated(RUNS),
        ),
        paper="config/paper_numbers.yaml",
    output:
        csv="results/<scale>/tables/effects.csv",
        md=report(
            "results/<scale>/tables/effects.md",
            caption="../workflow/report/effects.rst",
            category="Tables",
            labels={"shows": "Gains by level and subject"},
        ),
    log:
        "results/<scale>/logs/effects.log",
    benchmark:
        "results/<scale>/benchmarks/effects.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        table="effects",
        runs=described(RUNS),
        results=subpath(output.csv, ancestor=2),
        scale=config["scale"],
    shell:
        """
        python -m lens_impl.report.paper_tables {params.table} \
            --runs {params.runs:q} \
            --results {params.results:q} \
            --paper {input.paper:q} \
            --scale {params.scale:q} \
            --out-csv {output.csv:q} \
            --out-md {output.md:q} \
            >{log:q} 2>&1
        """


use rule effects as seeds with:
    # Paired differences over all seeds of the experiments, and the seeds an effect needs.
    output:
        csv="results/<scale>/tables/seeds.csv",
        md="results/<scale>/tables/seeds.md",
    log:
        "results/<scale>/logs/seeds.log",
    benchmark:
        "results/<scale>/benchmarks/seeds.tsv"
    params:
        table="seeds",


rule tables:
    """Tables 1 to 3, and effects by level and subject."""
    input:
        rules.table1.output,
        rules.table2.output,
        rules.table3.output,
        rules.effects.output,


rule write_summary:
    """Say in one page what was run and how it compares with the paper."""
    input:
        rules.tables.input,
        rules.evaluations.input,
        rules.trainings.input,
        rules.regimes.input,
        paper="config/paper_numbers.yaml",
    output:
        report(
            "results/<scale>/summary.md",
            caption="../workflow/report/summary.rst",
            category="Summary",
            labels={"shows": "Summary"},
        ),
    log:
        "results/<scale>/logs/write_summary.log",
    benchmark:
        "results/<scale>/benchmarks/write_summary.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        runs=described(RUNS),
        results=subpath(output[0], parent=True),
        scale=config["scale"],
    shell:
        """
        python -m lens_impl.report.paper_tables summary \
            --runs {params.runs:q} \
            --results {params.results:q} \
            --paper {input.paper:q} \
            --scale {params.scale:q} \
            --out-md {output:q} \
            >{log:q} 2>&1
        """


rule method_table:
    """All methods side by side, whatever the experiments are."""
    input:
        trainings=expand(
            "results/<scale>/runs/{run}/{file}",
            run=[run.name for run in RUNS],
            file=["metrics.jsonl", "config.json"],
        ),
        passes=expand(
            "results/<scale>/runs/{run}/pass_at_k_math.csv",
            run=[run.name for run in RUNS],
        ),
    output:
        "results/<scale>/tables/methods.md",
    log:
        "results/<scale>/logs/method_table.log",
    benchmark:
        "results/<scale>/benchmarks/method_table.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        runs=described(RUNS),
        results=subpath(output[0], ancestor=2),
        scale=config["scale"],
    shell:
        """
        python -m lens_impl.report.methods \
            --runs {params.runs:q} \
            --results {params.results:q} \
            --scale {params.scale:q} \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule methods:
    """The table of all methods, and what the notebooks show of them; not a part of `all`."""
    input:
        rules.method_table.output,
        expand(
            "results/<scale>/runs/{run}/rollouts.parquet",
            run=[run.name for run in RUNS],
        ),
