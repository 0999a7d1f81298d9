"""The paper's tables and figures, a summary, and the MLflow mirror.

in:  results/<scale>/runs/{run}/{pass_at_k_math.csv,metrics.jsonl,curves.parquet,manifest.json}
     config/paper_numbers.yaml   the paper's numbers, shown beside ours
out: results/<scale>/tables/*.{csv,md}, results/<scale>/figures/*.{pdf,png}
     results/<scale>/summary.md, results/<scale>/mlflow.mirror.json
"""

DAPO = select("math-dapo", ["grpo", "lens"])
NUMINA = select("math-numina", ["grpo", "lens"])
ABLATION = select(
    "math-numina", ["grpo", "lens-mixed-only", "lens-negative-only", "lens"]
)


rule table1:
    """Table 1: Pass@k on MATH + DAPO, GRPO against LENS."""
    input:
        passes=expand("results/<scale>/runs/{run}/pass_at_k_math.csv", run=names(DAPO)),
        paper="config/paper_numbers.yaml",
    output:
        csv="results/<scale>/tables/table1.csv",
        md=report(
            "results/<scale>/tables/table1.md",
            caption="../workflow/report/table1.rst",
            category="Tables",
        ),
    log:
        "results/<scale>/logs/table1.log",
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
        python -m lens_impl.tables {params.table} \
            --runs {params.runs:q} \
            --results {params.results:q} \
            --paper {input.paper:q} \
            --scale {params.scale:q} \
            --out-csv {output.csv:q} \
            --out-md {output.md:q} \
            >{log:q} 2>&1
        """


use rule table1 as table2 with:
    # Table 2: the ablation on MATH + NuminaMath 1.5.
    input:
        passes=expand(
            "results/<scale>/runs/{run}/pass_at_k_math.csv", run=names(ABLATION)
        ),
        paper="config/paper_numbers.yaml",
    output:
        csv="results/<scale>/tables/table2.csv",
        md=report(
            "results/<scale>/tables/table2.md",
            caption="../workflow/report/table2.rst",
            category="Tables",
        ),
    log:
        "results/<scale>/logs/table2.log",
    params:
        table="table2",
        runs=described(ABLATION),
        results=subpath(output.csv, ancestor=2),
        scale=config["scale"],


use rule table1 as table3 with:
    # Table 3: Pass@k on MATH + NuminaMath 1.5, GRPO against LENS.
    input:
        passes=expand(
            "results/<scale>/runs/{run}/pass_at_k_math.csv", run=names(NUMINA)
        ),
        paper="config/paper_numbers.yaml",
    output:
        csv="results/<scale>/tables/table3.csv",
        md=report(
            "results/<scale>/tables/table3.md",
            caption="../workflow/report/table3.rst",
            category="Tables",
        ),
    log:
        "results/<scale>/logs/table3.log",
    params:
        table="table3",
        runs=described(NUMINA),
        results=subpath(output.csv, ancestor=2),
        scale=config["scale"],


rule figure2_negative_ratio:
    """Figure 2: share of all-wrong groups during training on MATH + NuminaMath 1.5."""
    input:
        metrics=expand(
            "results/<scale>/runs/{run}/metrics.jsonl",
            run=[run.name for run in NUMINA],
        ),
    output:
        pdf="results/<scale>/figures/figure2_negative_ratio.pdf",
        png=report(
            "results/<scale>/figures/figure2_negative_ratio.png",
            caption="../workflow/report/figure2_negative_ratio.rst",
            category="Figures",
        ),
    log:
        "results/<scale>/logs/figure2_negative_ratio.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        figure="figure2_negative_ratio",
        runs=described(NUMINA),
        results=subpath(output.pdf, ancestor=2),
        scale=config["scale"],
    shell:
        """
        python -m lens_impl.figures {params.figure} \
            --runs {params.runs:q} \
            --results {params.results:q} \
            --scale {params.scale:q} \
            --out-pdf {output.pdf:q} \
            --out-png {output.png:q} \
            >{log:q} 2>&1
        """


use rule figure2_negative_ratio as figure4_weight with:
    # Figure 4: the weight w(z) of a wrong response by its confidence; a formula, no run.
    input:
        [],
    output:
        pdf="results/<scale>/figures/figure4_weight.pdf",
        png=report(
            "results/<scale>/figures/figure4_weight.png",
            caption="../workflow/report/figure4_weight.rst",
            category="Figures",
        ),
    log:
        "results/<scale>/logs/figure4_weight.log",
    params:
        figure="figure4_weight",
        runs="[]",
        results=subpath(output.pdf, ancestor=2),
        scale=config["scale"],


use rule figure2_negative_ratio as figure5_math_dapo with:
    # Figure 5: validation accuracy during training on MATH + DAPO.
    input:
        curves=expand(
            "results/<scale>/runs/{run}/curves.parquet", run=[run.name for run in DAPO]
        ),
    output:
        pdf="results/<scale>/figures/figure5_math_dapo.pdf",
        png=report(
            "results/<scale>/figures/figure5_math_dapo.png",
            caption="../workflow/report/figure5_math_dapo.rst",
            category="Figures",
        ),
    log:
        "results/<scale>/logs/figure5_math_dapo.log",
    params:
        figure="figure5_math_dapo",
        runs=described(DAPO),
        results=subpath(output.pdf, ancestor=2),
        scale=config["scale"],


use rule figure2_negative_ratio as figure6_math_numina with:
    # Figure 6: validation accuracy during training on MATH + NuminaMath 1.5.
    input:
        curves=expand(
            "results/<scale>/runs/{run}/curves.parquet",
            run=[run.name for run in NUMINA],
        ),
    output:
        pdf="results/<scale>/figures/figure6_math_numina.pdf",
        png=report(
            "results/<scale>/figures/figure6_math_numina.png",
            caption="../workflow/report/figure6_math_numina.rst",
            category="Figures",
        ),
    log:
        "results/<scale>/logs/figure6_math_numina.log",
    params:
        figure="figure6_math_numina",
        runs=described(NUMINA),
        results=subpath(output.pdf, ancestor=2),
        scale=config["scale"],


rule tables:
    """Tables 1 to 3."""
    input:
        rules.table1.output,
        rules.table2.output,
        rules.table3.output,


rule figures:
    """Figures 2, 4, 5 and 6."""
    input:
        rules.figure2_negative_ratio.output,
        rules.figure4_weight.output,
        rules.figure5_math_dapo.output,
        rules.figure6_math_numina.output,


rule write_summary:
    """Say in one page what was run and how it compares with the paper."""
    input:
        rules.tables.input,
        rules.evaluations.input,
        rules.trainings.input,
        paper="config/paper_numbers.yaml",
    output:
        report(
            "results/<scale>/summary.md",
            caption="../workflow/report/summary.rst",
            category="Summary",
        ),
    log:
        "results/<scale>/logs/write_summary.log",
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
        python -m lens_impl.tables summary \
            --runs {params.runs:q} \
            --results {params.results:q} \
            --paper {input.paper:q} \
            --scale {params.scale:q} \
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
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        runs=described(RUNS),
        results=subpath(output[0], parent=True),
    shell:
        """
        python -m lens_impl.tracking mirror \
            --results {params.results:q} \
            --runs {params.runs:q} \
            --tracking-uri "$MLFLOW_TRACKING_URI" \
            --experiment "$MLFLOW_EXPERIMENT_NAME" \
            --out {output:q} \
            >{log:q} 2>&1
        """
