# Only of spaces that have one.
rule benchmarks:
    input:
        expand("data/benchmarks/{space}.parquet", space=PLAN.measured),


rule fetch:
    input:
        rules.benchmarks.input,
        expand("data/images/{dataset}.json", dataset=config["datasets"]),


# The digests of the code of every job, an input of that job, are written while rules are read.
rule code:
    input:
        CODE,


# The accuracies of trained networks.
rule fetch_benchmark:
    input:
        code="results/code/benchmarks/{space}.json",
        bundled=lambda wildcards: PLAN.bundled_table(wildcards.space),
    output:
        "data/benchmarks/{space}.parquet",
    log:
        "logs/fetch/{space}.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        source=lambda wildcards, input: (
            f"--from {input.bundled}"
            if input.bundled
            else option("--mirror", config["fetch"]["mirror"])
        ),
    shell:
        "untrained fetch {wildcards.space} {params.source} --out {output} 2> {log}"


# A note of which image file the networks are shown, with its checksum; the file itself, where it
# is an official one, lies beside the note and is too large to version.
rule fetch_images:
    input:
        code="results/code/images/{dataset}.json",
        bundled=lambda wildcards: PLAN.bundled_images(wildcards.dataset),
    output:
        "data/images/{dataset}.json",
    log:
        "logs/fetch/{dataset}.log",
    retries: 2
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        split=config["scores"]["split"],
        source=lambda wildcards: PLAN.images_options(wildcards.dataset),
    shell:
        "untrained fetch {wildcards.dataset} --split {params.split} {params.source}"
        " --note {output} 2> {log}"
