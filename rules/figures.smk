"""The paper's figures, and figures beyond it: lens_impl/report/registry.py has them all.

in:  results/<scale>/runs/{run}/: what the registry says that a figure reads
     lens_impl/comparison/paper_numbers.yaml   the paper's values, drawn hollow
out: results/<scale>/figures/{figure}.{pdf,png}
     results/<scale>/runs/{run}/rollouts.parquet   one row per dumped response
"""


rule collect_rollouts:
    """Bring the rollouts that a run dumped into one small file."""
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


rule figure:
    """One figure of the registry."""
    input:
        files=lambda wildcards: registry.figure(wildcards.figure).inputs(
            RUNS, config["scale"]
        ),
        paper=PAPER,
    output:
        pdf="results/<scale>/figures/{figure}.pdf",
        png=report(
            "results/<scale>/figures/{figure}.png",
            caption="../workflow/report/shown.rst",
            category=lambda wildcards: registry.figure(wildcards.figure).category,
            labels=lambda wildcards: {
                "shows": registry.figure(wildcards.figure).label
            },
        ),
    log:
        "results/<scale>/logs/figure/{figure}.log",
    benchmark:
        "results/<scale>/benchmarks/figure/{figure}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        runs=lambda wildcards: registry.figure(wildcards.figure).names(RUNS),
        results=subpath(output.pdf, ancestor=2),
        caption=lambda wildcards: registry.figure(wildcards.figure).caption,
    shell:
        """
        python -m lens_impl.report.figures {wildcards.figure:q} \
            --results {params.results:q} \
            --runs {params.runs:q} \
            --out-pdf {output.pdf:q} \
            --out-png {output.png:q} \
            >{log:q} 2>&1
        """


rule figures:
    """Figures 2, 4, 5 and 6, those beyond the paper, and one for each further evaluation set."""
    input:
        expand(
            "results/<scale>/figures/{figure}.{suffix}",
            figure=registry.figures(config["data"]["evaluation_sets"]),
            suffix=["pdf", "png"],
        ),
