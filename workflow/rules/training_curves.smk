rule training_curves:
    input:
        [training_curves(space) for space in SPACES],


# Trains cells a little and follows their kernels and scores.
rule training_curve:
    input:
        images="data/images/{dataset}.json",
        code="results/code/training_curves/{space}.json",
        minibatches="results/code/minibatches/{dataset}.json",
    output:
        CURVES,
    log:
        "logs/training_curves/{space}/{dataset}/seed{seed}/{shard}of{shards}.log",
    cache: True
    conda:
        "../envs/untrained.yaml"
    resources:
        gpu=GPUS,
    params:
        path=CURVES,  # the cache hashes params, not wildcards
        cells=lambda wildcards: PLAN.followed_cells(
            wildcards.space, int(wildcards.shard), int(wildcards.shards)
        ),
        epochs=",".join(map(str, config["training_curves"]["epochs"])),
        proxies=[f"--proxy {proxy}" for proxy in config["training_curves"]["proxies"]],
        settings=settings("training_curves", "kernel", "batch_size"),
        scores=settings("scores", "split", "augmentation", "sampling", "precision"),
        ledger=LEDGER,
    shell:
        "untrained training-curves {wildcards.space} {params.cells} --epochs {params.epochs}"
        " {params.proxies} --kernel {params.settings[kernel]} --dataset {wildcards.dataset}"
        " --split {params.scores[split]} --seed {wildcards.seed}"
        " --batch-size {params.settings[batch_size]}"
        " --augmentation {params.scores[augmentation]} --sampling {params.scores[sampling]}"
        " --precision {params.scores[precision]} --ledger {params.ledger}"
        " --out {output} 2> {log}"
