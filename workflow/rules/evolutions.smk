rule evolutions:
    input:
        evolutions(),


EVOLUTION = config["evolutions"]


# Trains a cell a little and follows its kernel and its scores.
rule evolve:
    input:
        images=f"data/images/{EVOLUTION['dataset']}.json",
        code=code("evolutions"),
        proxies=[
            path
            for family in sorted({"ntk", *map(family_of, EVOLUTION["proxies"])})
            for path in modules_of(family)
        ]
        + [str(SOURCE / "proxies/kernel_change.py")],
    output:
        EVOLVED,
    log:
        "logs/evolutions/{space}/{dataset}/cell{cell}/seed{seed}.log",
    wildcard_constraints:
        cell=r"\d+",
    conda:
        "../envs/untrained.yaml"
    resources:
        gpu=GPUS_PER_SHARD,
    params:
        epochs=",".join(map(str, EVOLUTION["epochs"])),
        proxies=" ".join(f"--proxy {proxy}" for proxy in EVOLUTION["proxies"]),
        settings={key: EVOLUTION[key] for key in ("kernel", "batch_size")},
        scores={
            key: config["scores"][key]
            for key in ("split", "augmentation", "sampling", "precision")
        },
    shell:
        "untrained evolve {wildcards.space} {wildcards.cell} --epochs {params.epochs}"
        " {params.proxies} --kernel {params.settings[kernel]} --dataset {wildcards.dataset}"
        " --split {params.scores[split]} --seed {wildcards.seed}"
        " --batch-size {params.settings[batch_size]}"
        " --augmentation {params.scores[augmentation]} --sampling {params.scores[sampling]}"
        " --precision {params.scores[precision]} --out {output} 2> {log}"
