EXPERIMENTS = ["minibatch", "noise", "initialisation", "batch-size", "variance"]


rule ablations:
    input:
        expand(
            "results/ablations/{space}/{experiment}.parquet",
            space=ABLATED,
            experiment=EXPERIMENTS,
        ),


# Scores of a few cells again and again with one thing varied.
rule ablate:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        images=f"data/images/{config['ablations']['dataset']}.json",
        code=code("ablations"),
        proxy=modules_of(module_of(config["ablations"]["proxy"])),
    output:
        "results/ablations/{space}/{experiment}.parquet",
    log:
        "logs/ablations/{space}/{experiment}.log",
    wildcard_constraints:
        experiment="|".join(EXPERIMENTS),
    conda:
        "../envs/untrained.yaml"
    resources:
        gpu=GPUS_PER_SHARD,
    params:
        settings=config["ablations"],
        batch_sizes=",".join(map(str, config["ablations"]["batch_sizes"])),
        scores={key: config["scores"][key] for key in ("split", "batch_size", "precision")},
    shell:
        "untrained ablate {wildcards.space} --experiment {wildcards.experiment}"
        " --benchmark {input.benchmark} --proxy {params.settings[proxy]}"
        " --dataset {params.settings[dataset]} --split {params.scores[split]}"
        " --batch-size {params.scores[batch_size]} --batch-sizes {params.batch_sizes}"
        " --repeats {params.settings[repeats]} --cells {params.settings[cells]}"
        " --minibatches {params.settings[minibatches]}"
        " --initialisations {params.settings[initialisations]} --seed {params.settings[seed]}"
        " --precision {params.scores[precision]} --out {output} 2> {log}"
