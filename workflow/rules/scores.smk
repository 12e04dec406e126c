rule scores:
    input:
        expand("results/scores/{space}.parquet", space=SPACES),


# What a shard's scores depend on; which families of proxies are scored besides is none of it.
SHARD_SETTINGS = {key: value for key, value in config["scores"].items() if key != "proxies"}


rule score:
    input:
        images="data/images/{dataset}.json",
        among=if_sampled("data/benchmarks/{space}.parquet"),
        code=code("scores"),
        proxy=proxy_code,
    output:
        "results/scores/{space}/{dataset}/{family}/seed{seed}/{shard}of{shards}.parquet",
    log:
        "logs/scores/{space}/{dataset}/{family}/seed{seed}/{shard}of{shards}.log",
    cache: True
    conda:
        "../envs/untrained.yaml"
    resources:
        gpu=GPUS_PER_SHARD,
    params:
        # Snakemake's output cache hashes params, not wildcards
        shard="{space}/{dataset}/{family}/seed{seed}/{shard}of{shards}",
        # one pass through a network serves all proxies of a family
        proxies=lambda wildcards: " ".join(
            f"--proxy {proxy}" for proxy in FAMILIES[wildcards.family]
        ),
        # one dict: Snakemake compares params as a set of values, blind to a swap of two
        settings=SHARD_SETTINGS,
        among=lambda wildcards, input: f"--among {input.among}" if input.among else "",
        share="--share" if config["scores"]["share"] else "--no-share",
        seconds="--seconds" if config["scores"]["seconds"] else "--no-seconds",
        # what an interrupted shard has scored: not in results/, of which Snakemake deletes what a
        # failed job made, and DVC everything before a stage
        ledger=".snakemake/ledger.sqlite",
    shell:
        "untrained shard {wildcards.space} {params.proxies} --dataset {wildcards.dataset}"
        " --seed {wildcards.seed} --shard {wildcards.shard} --shards {wildcards.shards}"
        " --architectures {params.settings[architectures]}"
        " --sample-seed {params.settings[sample_seed]} --split {params.settings[split]}"
        " --batch-size {params.settings[batch_size]}"
        " --augmentation {params.settings[augmentation]}"
        " --sampling {params.settings[sampling]}"
        " --precision {params.settings[precision]} {params.share} {params.seconds} {params.among}"
        " --ledger {params.ledger} --out {output} 2> {log}"


rule merge:
    input:
        lambda wildcards: expand(
            "results/scores/{space}/{dataset}/{family}/seed{seed}/{shard}of{shards}.parquet",
            space=wildcards.space,
            dataset=datasets_of(config, wildcards.space),
            family=FAMILIES,
            seed=SEEDS,
            shard=range(SHARDS),
            shards=SHARDS,
        ),
    output:
        "results/scores/{space}.parquet",
    log:
        "logs/scores/{space}.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    shell:
        "untrained merge {input} --out {output} 2> {log}"
