"""The paper's figures.

in:  results/<scale>/runs/{run}/: curves.parquet, metrics.jsonl, config.json
out: results/<scale>/figures/*.{pdf,png}
"""


rule figure2_negative_ratio:
    """Figure 2: share of all-wrong groups during training on MATH + NuminaMath 1.5."""
    input:
        expand(
            "results/<scale>/runs/{run}/{file}",
            run=[run.name for run in NUMINA_GRPO],
            file=["metrics.jsonl", "config.json"],
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
        runs=described(NUMINA_GRPO),
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


rule figures:
    """Figures 2, 4, 5 and 6."""
    input:
        rules.figure2_negative_ratio.output,
        rules.figure4_weight.output,
        rules.figure5_math_dapo.output,
        rules.figure6_math_numina.output,
