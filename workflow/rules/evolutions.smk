rule evolutions:
    input:
        evolutions(),


EVOLUTION = config["evolutions"]


# Trains cells a little and follows their kernels and scores.
rule evolve:
    input:
        images=f"data/images/{EVOLUTION['dataset']}.json",
        code=code("evolutions"),
        proxies=modules_of(
            *("kernel_change", "ntk", "validation"), *map(module_of, EVOLUTION["proxies"])
        ),
    output:
        EVOLVED,
    log:
        "logs/evolutions/{space}/{dataset}/seed{seed}/{shard}of{shards}.log",
    conda:
        "../envs/untrained.yaml"
    resources:
        gpu=GPUS_PER_SHARD,
    params:
        cells=evolved_cells,
        epochs=",".join(map(str, EVOLUTION["epochs"])),
        proxies=" ".join(f"--proxy {proxy}" for proxy in EVOLUTION["proxies"]),
        settings={key: EVOLUTION[key] for key in ("kernel", "batch_size")},
        scores={
            key: config["scores"][key]
            for key in ("split", "augmentation", "sampling", "precision")
        },
        # see rule score
        ledger=".snakemake/ledger.sqlite",
    shell:
        "untrained training-curves {wildcards.space} {params.cells} --epochs {params.epochs}"
        " {params.proxies} --kernel {params.settings[kernel]} --dataset {wildcards.dataset}"
        " --split {params.scores[split]} --seed {wildcards.seed}"
        " --batch-size {params.settings[batch_size]}"
        " --augmentation {params.scores[augmentation]} --sampling {params.scores[sampling]}"
        " --precision {params.scores[precision]} --ledger {params.ledger}"
        " --out {output} 2> {log}"
