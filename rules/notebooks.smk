"""The notebooks, executed on the results of a scale.

in:  notebooks/{notebook}.ipynb   stored without output
     everything that a scale makes
out: results/<scale>/notebooks/{notebook}.html
"""

NOTEBOOKS = sorted(glob_wildcards("notebooks/{notebook}.ipynb").notebook)


rule execute_notebook:
    """Execute a notebook and keep it as a page."""
    input:
        rules.tables.input,
        rules.figures.input,
        rules.trainings.input,
        "results/<scale>/mlflow.mirror.json",
        notebook="notebooks/{notebook}.ipynb",
    output:
        report(
            "results/<scale>/notebooks/{notebook}.html",
            caption="../workflow/report/notebook.rst",
            category="Notebooks",
            labels={"notebook": "{notebook}"},
        ),
    log:
        "results/<scale>/logs/execute_notebook/{notebook}.log",
    benchmark:
        "results/<scale>/benchmarks/execute_notebook/{notebook}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=20,
    params:
        results=subpath(output[0], ancestor=2),
    shell:
        """
        python -m lens_impl.notebooks.execute \
            --notebook {input.notebook:q} \
            --results {params.results:q} \
            --out {output:q} \
            >{log:q} 2>&1
        """


rule notebooks:
    """All notebooks as pages."""
    input:
        expand("results/<scale>/notebooks/{notebook}.html", notebook=NOTEBOOKS),
