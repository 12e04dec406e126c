rule searches:
    input:
        [traces(space) for space in SPACES],


rule search:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        scores=lambda wildcards: PLAN.searched_scores(wildcards.space, wildcards.algorithm),
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
        settings=settings("searches", "runs", "seed"),
        options=lambda wildcards: PLAN.search_options(wildcards.algorithm),
        scores=lambda wildcards, input: "--scores" if input.scores else "",
        where=option("--where", config["searches"]["where"]),
    shell:
        "untrained search {wildcards.algorithm:q} {wildcards.space} --dataset {wildcards.dataset}"
        " --benchmark {input.benchmark} {params.scores} {input.scores}"
        " {params.options} {params.where}"
        " --runs {params.settings[runs]} --shard {wildcards.shard} --shards {wildcards.shards}"
        " --seed {params.settings[seed]} --out {output:q} > {log:q} 2>&1"
