SHARD = "results/scores/{space}/{dataset}/{family}/seed{seed}/{shard}of{shards}.parquet"
# What a shard's scores depend on: not which other families of proxies are scored.
SHARD_SETTINGS = settings("scores", but=["proxies", "sample_seed"])


rule scores:
    input:
        expand("results/scores/{space}.parquet", space=SPACES),


rule score:
    input:
        images="data/images/{dataset}.json",
        among=only(PLAN.partly_known, "data/benchmarks/{space}.parquet"),
        code="results/code/scores/{space}/{family}.json",
        minibatches="results/code/minibatches/{dataset}.json",
    output:
        SHARD,
    log:
        "logs/scores/{space}/{dataset}/{family}/seed{seed}/{shard}of{shards}.log",
    cache: True
    conda:
        "../envs/untrained.yaml"
    resources:
        gpu=GPUS,
    params:
        path=SHARD,  # the cache hashes params, not wildcards
        proxies=lambda wildcards: [f"--proxy {proxy}" for proxy in PLAN.families[wildcards.family]],
        settings=SHARD_SETTINGS,
        sample_seed=option(
            "--sample-seed",
            (
                None
                if config["scores"]["architectures"] == "all"
                else config["scores"]["sample_seed"]
            ),
        ),
        among=lambda wildcards, input: f"--among {input.among}" if input.among else "",
        share="--share" if config["scores"]["share"] else "--no-share",
        seconds="--seconds" if config["scores"]["seconds"] else "--no-seconds",
        ledger=LEDGER,
    shell:
        "untrained shard {wildcards.space} {params.proxies} --dataset {wildcards.dataset}"
        " --seed {wildcards.seed} --shard {wildcards.shard} --shards {wildcards.shards}"
        " --architectures {params.settings[architectures]}"
        " {params.sample_seed} --split {params.settings[split]}"
        " --batch-size {params.settings[batch_size]}"
        " --augmentation {params.settings[augmentation]}"
        " --sampling {params.settings[sampling]}"
        " --precision {params.settings[precision]} {params.share} {params.seconds} {params.among}"
        " --ledger {params.ledger} --out {output} 2> {log}"


rule merge:
    input:
        code=["results/code/scores/merged.json"] * bool(PLAN.ensembles),
        shards=lambda wildcards: expand(
            SHARD,
            space=wildcards.space,
            dataset=PARAMETERS.datasets_of(wildcards.space),
            family=PLAN.families,
            seed=config["seeds"],
            **numbered("scores", PLAN.scored),
        ),
    output:
        "results/scores/{space}.parquet",
    log:
        "logs/scores/{space}.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        # so many paths would be too long for a command
        listed=lambda wildcards, input: listed(
            input.shards, f".snakemake/shards/{wildcards.space}.txt"
        ),
        ensembles=" ".join(option("--ensemble", one) for one in PLAN.ensembles),
    shell:
        "untrained merge --list {params.listed} {params.ensembles} --out {output} 2> {log}"
