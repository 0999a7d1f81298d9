"""The paper's tables, tables beyond them, and the summary: lens_impl/report/registry.py has them all.

in:  results/<scale>/runs/{run}/: what the registry says that a table reads
     lens_impl/comparison/paper_numbers.yaml   the paper's numbers, shown next to ours
out: results/<scale>/tables/{table1,table2,table3}.{csv,tex,md}, effects.{csv,md}
     results/<scale>/tables/pass_at_k_{set}.{csv,md}      of each evaluation set but the paper's
     results/<scale>/summary.md
     results/<scale>/tables/{methods,seeds}.{csv,md}      only when asked for
"""


rule table:
    """One table of the registry."""
    input:
        files=lambda wildcards: registry.table(wildcards.table).inputs(
            RUNS, config["scale"]
        ),
        paper=PAPER,
    output:
        csv="results/<scale>/tables/{table}.csv",
        md=report(
            "results/<scale>/tables/{table}.md",
            caption="../workflow/report/shown.rst",
            category=lambda wildcards: registry.table(wildcards.table).category,
            labels=lambda wildcards: {"shows": registry.table(wildcards.table).label},
        ),
    log:
        "results/<scale>/logs/table/{table}.log",
    benchmark:
        "results/<scale>/benchmarks/table/{table}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        runs=lambda wildcards: registry.table(wildcards.table).names(RUNS),
        results=subpath(output.csv, ancestor=2),
        caption=lambda wildcards: registry.table(wildcards.table).caption,
        tex="",
    shell:
        """
        python -m lens_impl.report.tables {wildcards.table:q} \
            --results {params.results:q} \
            --runs {params.runs:q} \
            --out-csv {output.csv:q} \
            --out-md {output.md:q} {params.tex} \
            >{log:q} 2>&1
        """


use rule table as paper_table with:
    output:
        csv="results/<scale>/tables/{table}.csv",
        tex="results/<scale>/tables/{table}.tex",
        md=report(
            "results/<scale>/tables/{table}.md",
            caption="../workflow/report/shown.rst",
            category=lambda wildcards: registry.table(wildcards.table).category,
            labels=lambda wildcards: {"shows": registry.table(wildcards.table).label},
        ),
    # Tables 1 to 3, which have a LaTeX form besides.
    wildcard_constraints:
        table=r"table\d",
    params:
        tex=lambda wildcards, output: f"--out-tex {output.tex}",


ruleorder: paper_table > table


rule tables:
    """Tables 1 to 3, effects by level and subject, and one for each further evaluation set."""
    input:
        expand(
            "results/<scale>/tables/{table}.{suffix}",
            table=registry.PAPER_TABLES,
            suffix=["csv", "tex", "md"],
        ),
        expand(
            "results/<scale>/tables/{table}.{suffix}",
            table=registry.tables_beyond(config["data"]["evaluation_sets"]),
            suffix=["csv", "md"],
        ),


rule write_summary:
    """Say in one page what was run and how it compares with the paper."""
    input:
        rules.tables.input,
        rules.evaluations.input,
        rules.trainings.input,
        rules.regimes.input,
        paper=PAPER,
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
        runs=[run.name for run in RUNS],
        sets=config["data"]["evaluation_sets"],
        results=subpath(output[0], parent=True),
    shell:
        """
        python -m lens_impl.report.summary \
            --results {params.results:q} \
            --runs {params.runs:q} \
            --sets {params.sets:q} \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule methods:
    """The table of all methods, and what the notebooks show of them; not a part of `all`."""
    input:
        "results/<scale>/tables/methods.md",
        expand(
            "results/<scale>/runs/{run}/rollouts.parquet", run=[r.name for r in RUNS]
        ),
