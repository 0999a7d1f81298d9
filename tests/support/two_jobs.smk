# Two jobs, of one and of two seconds; the second needs the first. Only it has a benchmark file.
rule all:
    input:
        "results/tiny/b",


rule first:
    output:
        "results/tiny/a",
    log:
        "results/tiny/logs/first.log",
    shell:
        "sleep 1; touch {output}"


rule second:
    input:
        "results/tiny/a",
    output:
        directory("results/tiny/b"),
    log:
        "results/tiny/logs/second/b.log",
    benchmark:
        "results/tiny/benchmarks/second/b.tsv"
    shell:
        "mkdir {output}; sleep 2"
