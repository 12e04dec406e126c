rule searches:
    input:
        [traces(space) for space in SPACES],


rule search:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        scores=lambda wildcards: PLAN.searched_scores(wildcards.space),
        code="results/code/searches/{space}/{algorithm}.json",
    output:
        TRACE,
    log:
        "logs/searches/{algorithm}/{space}/{dataset}/{shard}of{shards}.log",
    cache: True
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        path=TRACE,  # the cache hashes params, not wildcards
        settings=settings("searches", but=["algorithms", "shards"]),
        where=option("--where", config["searches"]["where"]),
    shell:
        "untrained search {wildcards.algorithm:q} {wildcards.space} --dataset {wildcards.dataset}"
        " --benchmark {input.benchmark} --scores {input.scores}"
        " --proxy {params.settings[proxy]:q} --runs {params.settings[runs]}"
        " --shard {wildcards.shard} --shards {wildcards.shards}"
        " --seed {params.settings[seed]} --budget {params.settings[budget]}"
        " --seconds-per-score {params.settings[seconds_per_score]} {params.where} --out {output:q} > {log:q} 2>&1"
