rule prunings:
    input:
        [pruning_traces(space) for space in SPACES],


# Cuts a supernet down; the processes that measure change nothing of what it finds.
rule prune:
    input:
        images="data/images/{dataset}.json",
        code="results/code/prunings/{space}.json",
        minibatches="results/code/minibatches/{dataset}.json",
    output:
        PRUNING,
    log:
        "logs/prunings/{variant}/{criterion}/{space}/{dataset}/seed{seed}.log",
    cache: True
    conda:
        "../envs/untrained.yaml"
    threads: 1 if GPUS else 4  # a card measures all candidates of a round by one process
    resources:
        gpu=GPUS,
    params:
        path=PRUNING,  # the cache hashes params, not wildcards
        repeats=config["prunings"]["repeats"],
        batch_size=option("--batch-size", config["prunings"]["batch_size"]),
        split=config["scores"]["split"],
        ledger=LEDGER,
    shell:
        "untrained prune {wildcards.space} --variant {wildcards.variant}"
        " --criterion {wildcards.criterion} --dataset {wildcards.dataset}"
        " --split {params.split} --seed {wildcards.seed} --repeats {params.repeats}"
        " {params.batch_size} --workers {threads} --ledger {params.ledger}"
        " --out {output} > {log} 2>&1"
