rule ablations:
    input:
        [ablations(space) for space in SPACES],


# Scores of a few cells again and again with one thing varied.
rule ablate:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        images=f"data/images/{config['ablations']['dataset']}.json",
        code="results/code/ablations/{space}.json",
        minibatches=f"results/code/minibatches/{config['ablations']['dataset']}.json",
    output:
        ABLATIONS,
    log:
        "logs/ablations/{space}.log",
    cache: True
    conda:
        "../envs/untrained.yaml"
    resources:
        gpu=GPUS,
    params:
        path=ABLATIONS,  # the cache hashes params, not wildcards
        settings=config["ablations"],
        batch_sizes=",".join(map(str, config["ablations"]["batch_sizes"])),
        scores=settings("scores", "split", "batch_size", "precision"),
    shell:
        "untrained ablate {wildcards.space}"
        " --benchmark {input.benchmark} --proxy {params.settings[proxy]}"
        " --dataset {params.settings[dataset]} --split {params.scores[split]}"
        " --batch-size {params.scores[batch_size]} --batch-sizes {params.batch_sizes}"
        " --repeats {params.settings[repeats]} --cells {params.settings[cells]}"
        " --minibatches {params.settings[minibatches]}"
        " --initialisations {params.settings[initialisations]} --seed {params.settings[seed]}"
        " --precision {params.scores[precision]} --out {output} 2> {log}"
