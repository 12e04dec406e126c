rule devices:
    input:
        [fronts(space) for space in SPACES],


# Searches the front of a score and each cost on a device; it reads no accuracy.
rule front:
    input:
        scores=lambda wildcards: PLAN.shipped_scores(wildcards.space),
        devices=lambda wildcards: PLAN.devices_table(wildcards.space),
        code="results/code/devices/{space}.json",
    output:
        FRONTS,
    log:
        "logs/devices/{space}/{dataset}.log",
    cache: True
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        path=FRONTS,  # the cache hashes params, not wildcards
        costs=named_costs(),
        controls=[f"--control {shlex.quote(one)}" for one in config["devices"]["controls"]],
        settings=settings("devices", "score", "predictor", "evaluations", "runs", "seed"),
    shell:
        "untrained fronts {wildcards.space} --score {params.settings[score]:q} {params.costs}"
        " {params.controls} --predictor {params.settings[predictor]:q}"
        " --dataset {wildcards.dataset} --evaluations {params.settings[evaluations]}"
        " --runs {params.settings[runs]} --seed {params.settings[seed]}"
        " --scores {input.scores:q} --devices-table {input.devices:q} --out {output} 2> {log}"
