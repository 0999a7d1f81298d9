"""The paper's figures, and figures beyond it.

in:  results/<scale>/runs/{run}/: curves.parquet, metrics.jsonl, config.json, samples_math.parquet,
                                  the rollouts that its training dumped
     config/paper_numbers.yaml    the paper's values, drawn hollow
out: results/<scale>/figures/*.{pdf,png}
     results/<scale>/runs/{run}/rollouts.parquet   one row a dumped response
"""


rule collect_rollouts:
    """Bring the rollouts that a training dumped into one small file."""
    input:
        manifest="results/<scale>/runs/{run}/manifest.json",
    output:
        "results/<scale>/runs/{run}/rollouts.parquet",
    log:
        "results/<scale>/logs/collect_rollouts/{run}.log",
    benchmark:
        "results/<scale>/benchmarks/collect_rollouts/{run}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    shell:
        """
        python -m lens_impl.training.dumps \
            --manifest {input.manifest:q} \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule figure2_negative_ratio:
    """Figure 2: share of all-wrong groups during training on MATH + NuminaMath 1.5."""
    input:
        expand(
            "results/<scale>/runs/{run}/{file}",
            run=[run.name for run in NUMINA_GRPO],
            file=["metrics.jsonl", "config.json"],
        ),
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/figure2_negative_ratio.pdf",
        png=report(
            "results/<scale>/figures/figure2_negative_ratio.png",
            caption="../workflow/report/figure2_negative_ratio.rst",
            category="Figures",
            labels={"shows": "Figure 2: share of all-wrong groups"},
        ),
    log:
        "results/<scale>/logs/figure2_negative_ratio.log",
    benchmark:
        "results/<scale>/benchmarks/figure2_negative_ratio.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        figure="figure2_negative_ratio",
        runs=described(NUMINA_GRPO),
        results=subpath(output.pdf, ancestor=2),
        scale=config["scale"],
    shell:
        """
        python -m lens_impl.report.figures.paper {params.figure} \
            --runs {params.runs:q} \
            --results {params.results:q} \
            --scale {params.scale:q} \
            --paper {input.paper:q} \
            --out-pdf {output.pdf:q} \
            --out-png {output.png:q} \
            >{log:q} 2>&1
        """


use rule figure2_negative_ratio as figure4_weight with:
    # Figure 4: the weight w(z) of a wrong response by its confidence; a formula, no run.
    input:
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/figure4_weight.pdf",
        png=report(
            "results/<scale>/figures/figure4_weight.png",
            caption="../workflow/report/figure4_weight.rst",
            category="Figures",
            labels={"shows": "Figure 4: weight w(z)"},
        ),
    log:
        "results/<scale>/logs/figure4_weight.log",
    benchmark:
        "results/<scale>/benchmarks/figure4_weight.tsv"
    params:
        figure="figure4_weight",
        runs="[]",


use rule figure2_negative_ratio as figure5_math_dapo with:
    # Figure 5: validation accuracy during training on MATH + DAPO.
    input:
        curves=expand(
            "results/<scale>/runs/{run}/curves.parquet", run=[run.name for run in DAPO]
        ),
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/figure5_math_dapo.pdf",
        png=report(
            "results/<scale>/figures/figure5_math_dapo.png",
            caption="../workflow/report/figure5_math_dapo.rst",
            category="Figures",
            labels={"shows": "Figure 5: accuracy, MATH + DAPO"},
        ),
    log:
        "results/<scale>/logs/figure5_math_dapo.log",
    benchmark:
        "results/<scale>/benchmarks/figure5_math_dapo.tsv"
    params:
        figure="figure5_math_dapo",
        runs=described(DAPO),


use rule figure2_negative_ratio as figure6_math_numina with:
    # Figure 6: validation accuracy during training on MATH + NuminaMath 1.5.
    input:
        curves=expand(
            "results/<scale>/runs/{run}/curves.parquet",
            run=[run.name for run in NUMINA],
        ),
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/figure6_math_numina.pdf",
        png=report(
            "results/<scale>/figures/figure6_math_numina.png",
            caption="../workflow/report/figure6_math_numina.rst",
            category="Figures",
            labels={"shows": "Figure 6: accuracy, MATH + NuminaMath"},
        ),
    log:
        "results/<scale>/logs/figure6_math_numina.log",
    benchmark:
        "results/<scale>/benchmarks/figure6_math_numina.tsv"
    params:
        figure="figure6_math_numina",
        runs=described(NUMINA),


use rule figure2_negative_ratio as pass_at_k_by_level with:
    # Pass@k against k, by level.
    input:
        expand(
            "results/<scale>/runs/{run}/samples_math.parquet",
            run=evaluated(RUNS),
        ),
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/pass_at_k_by_level.pdf",
        png=report(
            "results/<scale>/figures/pass_at_k_by_level.png",
            caption="../workflow/report/pass_at_k_by_level.rst",
            category="Beyond the paper",
            labels={"shows": "Pass@k by level"},
        ),
    log:
        "results/<scale>/logs/pass_at_k_by_level.log",
    benchmark:
        "results/<scale>/benchmarks/pass_at_k_by_level.tsv"
    params:
        figure="pass_at_k_by_level",
        runs=described(RUNS),


use rule figure2_negative_ratio as gain_by_level with:
    # Gain over GRPO by level, with its interval.
    input:
        expand(
            "results/<scale>/runs/{run}/samples_math.parquet",
            run=evaluated(RUNS),
        ),
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/gain_by_level.pdf",
        png=report(
            "results/<scale>/figures/gain_by_level.png",
            caption="../workflow/report/gain_by_level.rst",
            category="Beyond the paper",
            labels={"shows": "Gain over GRPO by level"},
        ),
    log:
        "results/<scale>/logs/gain_by_level.log",
    benchmark:
        "results/<scale>/benchmarks/gain_by_level.tsv"
    params:
        figure="gain_by_level",
        runs=described(RUNS),


use rule figure2_negative_ratio as negative_mass with:
    # Share of the advantages that comes from all-wrong groups.
    input:
        expand(
            "results/<scale>/runs/{run}/metrics.jsonl", run=[run.name for run in RUNS]
        ),
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/negative_mass.pdf",
        png=report(
            "results/<scale>/figures/negative_mass.png",
            caption="../workflow/report/negative_mass.rst",
            category="Beyond the paper",
            labels={"shows": "Advantage from all-wrong groups"},
        ),
    log:
        "results/<scale>/logs/negative_mass.log",
    benchmark:
        "results/<scale>/benchmarks/negative_mass.tsv"
    params:
        figure="negative_mass",
        runs=described(RUNS),


use rule figure2_negative_ratio as rescued with:
    # Share of problems all wrong before training that are solved later.
    input:
        expand(
            "results/<scale>/runs/{run}/curves.parquet", run=[run.name for run in RUNS]
        ),
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/rescued.pdf",
        png=report(
            "results/<scale>/figures/rescued.png",
            caption="../workflow/report/rescued.rst",
            category="Beyond the paper",
            labels={"shows": "Problems rescued in training"},
        ),
    log:
        "results/<scale>/logs/rescued.log",
    benchmark:
        "results/<scale>/benchmarks/rescued.tsv"
    params:
        figure="rescued",
        runs=described(RUNS),


use rule figure2_negative_ratio as reliability with:
    # Correctness against confidence, on the test set and over training.
    input:
        expand(
            "results/<scale>/runs/{run}/samples_math.parquet",
            run=evaluated(RUNS),
        ),
        expand(
            "results/<scale>/runs/{run}/rollouts.parquet",
            run=[run.name for run in RUNS],
        ),
        paper="config/paper_numbers.yaml",
    output:
        pdf="results/<scale>/figures/reliability.pdf",
        png=report(
            "results/<scale>/figures/reliability.png",
            caption="../workflow/report/reliability.rst",
            category="Beyond the paper",
            labels={"shows": "Confidence against correctness"},
        ),
    log:
        "results/<scale>/logs/reliability.log",
    benchmark:
        "results/<scale>/benchmarks/reliability.tsv"
    params:
        figure="reliability",
        runs=described(RUNS),


rule figures:
    """Figures 2, 4, 5 and 6, and those beyond the paper."""
    input:
        rules.figure2_negative_ratio.output,
        rules.figure4_weight.output,
        rules.figure5_math_dapo.output,
        rules.figure6_math_numina.output,
        rules.pass_at_k_by_level.output,
        rules.gain_by_level.output,
        rules.reliability.output,
        rules.negative_mass.output,
        rules.rescued.output,
