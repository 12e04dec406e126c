ORDERED = [name for name, space in PLAN.spaces.items() if space.ordered]
FORMATS = ["parquet", "csv", "md", "tex"]
FIGURES = ["scores", "kernels", "time", "regret", "seeds", "proxies"]
EVOLUTION_FIGURES = ["kernel_evolution", "score_evolution"]
TABLES = ["correlations", "seeds", "proxies", "searches", "comparisons"]
# of several spaces: their scores side by side
COMPARED = ["proxies"] if len(SPACES) > 1 else []


rule report:
    input:
        expand("results/report/{space}.md", space=SPACES),
        expand("results/metrics/{space}.json", space=SPACES),
        expand(
            "results/tables/{space}/{table}.{format}",
            space=SPACES,
            table=TABLES,
            format=FORMATS,
        ),
        expand(
            "results/figures/{space}/{figure}.{format}",
            space=SPACES,
            figure=FIGURES,
            format=["svg", "png"],
        ),
        expand("results/tables/{space}/preferences.{format}", space=ORDERED, format=FORMATS),
        expand(
            "results/figures/{space}/preferences.{format}",
            space=ORDERED,
            format=["svg", "png"],
        ),
        expand("results/figures/{figure}.{format}", figure=COMPARED, format=["svg", "png"]),
        expand("results/tables/{space}/ablations.{format}", space=PLAN.ablated, format=FORMATS),
        expand(
            "results/figures/{space}/ablations.{format}", space=PLAN.ablated, format=["svg", "png"]
        ),
        expand(
            "results/tables/{space}/{table}.{format}",
            space=PLAN.pruned,
            table=["prunings", "trajectory"],
            format=FORMATS,
        ),
        expand(
            "results/figures/{space}/trajectory.{format}", space=PLAN.pruned, format=["svg", "png"]
        ),
        expand("results/tables/{space}/evolutions.{format}", space=PLAN.followed, format=FORMATS),
        expand(
            "results/figures/{space}/{figure}.{format}",
            space=PLAN.followed,
            figure=EVOLUTION_FIGURES,
            format=["svg", "png"],
        ),


rule tables:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        scores="results/scores/{space}.parquet",
        searches=lambda wildcards: traces(wildcards.space),
        code="results/code/report.json",
    output:
        report(
            expand("results/tables/{{space}}/correlations.{format}", format=FORMATS[1:]),
            caption="../report/correlations.rst",
            category="{space}",
            labels={"table": "Rank correlations"},
        ),
        report(
            expand("results/tables/{{space}}/seeds.{format}", format=FORMATS[1:]),
            caption="../report/seeds.rst",
            category="{space}",
            labels={"table": "What seeds buy"},
        ),
        report(
            expand("results/tables/{{space}}/proxies.{format}", format=FORMATS[1:]),
            caption="../report/proxies.rst",
            category="{space}",
            labels={"table": "Scores and their controls"},
        ),
        report(
            expand("results/tables/{{space}}/searches.{format}", format=FORMATS[1:]),
            caption="../report/searches.rst",
            category="{space}",
            labels={"table": "Searches"},
        ),
        report(
            expand("results/tables/{{space}}/comparisons.{format}", format=FORMATS[1:]),
            caption="../report/comparisons.rst",
            category="{space}",
            labels={"table": "Searches against REA"},
        ),
        correlations="results/tables/{space}/correlations.parquet",
        seeds="results/tables/{space}/seeds.parquet",
        searches="results/tables/{space}/searches.parquet",
        comparisons="results/tables/{space}/comparisons.parquet",
        proxies="results/tables/{space}/proxies.parquet",
        regret="results/tables/{space}/regret.parquet",
        metrics="results/metrics/{space}.json",
    log:
        "logs/report/{space}/tables.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        settings={key: config["report"][key] for key in ("resamples", "seed")},
        algorithms=config["searches"]["algorithms"],
    shell:
        "untrained report tables {wildcards.space} --benchmark {input.benchmark}"
        " --scores {input.scores} --resamples {params.settings[resamples]}"
        " --seed {params.settings[seed]} --tables $(dirname {output.searches})"
        " --metrics {output.metrics} {input.searches} 2> {log}"


rule figure:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        scores="results/scores/{space}.parquet",
        correlations="results/tables/{space}/correlations.parquet",
        seeds="results/tables/{space}/seeds.parquet",
        searches="results/tables/{space}/searches.parquet",
        regret="results/tables/{space}/regret.parquet",
        proxies="results/tables/{space}/proxies.parquet",
        code="results/code/report.json",
    output:
        report(
            "results/figures/{space}/{figure}.svg",
            caption="../report/figure.rst",
            category="{space}",
            labels={"figure": "{figure}"},
        ),
        png="results/figures/{space}/{figure}.png",
    log:
        "logs/report/{space}/{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        kernels=config["report"]["kernels"],
        scores=SHARD_SETTINGS,
    shell:
        "untrained report figure {wildcards.figure} {wildcards.space}"
        " --benchmark {input.benchmark} --scores {input.scores}"
        " --tables $(dirname {input.searches}) --kernels {params.kernels}"
        " --split {params.scores[split]} --batch-size {params.scores[batch_size]}"
        " --augmentation {params.scores[augmentation]} --sampling {params.scores[sampling]}"
        " --out {output.png} 2> {log}"


# What the best of each score are made of.
rule preference_table:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        scores="results/scores/{space}.parquet",
        code="results/code/report.json",
    output:
        report(
            expand("results/tables/{{space}}/preferences.{format}", format=FORMATS[1:]),
            caption="../report/preferences.rst",
            category="{space}",
            labels={"table": "What scores prefer"},
        ),
        table="results/tables/{space}/preferences.parquet",
    log:
        "logs/report/{space}/preference_table.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        settings={key: config["report"][key] for key in ("resamples", "seed", "best")},
    shell:
        "untrained report preferences {wildcards.space} --benchmark {input.benchmark}"
        " --scores {input.scores} --resamples {params.settings[resamples]}"
        " --seed {params.settings[seed]} --best {params.settings[best]}"
        " --tables $(dirname {output.table}) 2> {log}"


rule preference_figure:
    input:
        table="results/tables/{space}/preferences.parquet",
        code="results/code/report.json",
    output:
        report(
            "results/figures/{space}/preferences.svg",
            caption="../report/figure.rst",
            category="{space}",
            labels={"figure": "preferences"},
        ),
        png="results/figures/{space}/preferences.png",
    log:
        "logs/report/{space}/preferences.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    shell:
        "untrained report figure preferences {wildcards.space} --tables $(dirname {input.table})"
        " --out {output.png} 2> {log}"


# The scores of all spaces in one figure.
rule spaces_figure:
    input:
        tables=expand("results/tables/{space}/proxies.parquet", space=SPACES),
        code="results/code/report.json",
    output:
        report(
            "results/figures/proxies.svg",
            caption="../report/proxies.rst",
            category="All spaces",
            labels={"figure": "proxies"},
        ),
        png="results/figures/proxies.png",
    log:
        "logs/report/proxies.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    shell:
        "untrained report spaces {input.tables} --out {output.png} 2> {log}"


rule ablation_table:
    input:
        scores=lambda wildcards: ablations(wildcards.space),
        code="results/code/report.json",
    output:
        report(
            expand("results/tables/{{space}}/ablations.{format}", format=FORMATS[1:]),
            caption="../report/ablations.rst",
            category="{space}",
            labels={"table": "Ablations"},
        ),
        table="results/tables/{space}/ablations.parquet",
    log:
        "logs/report/{space}/ablation_table.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        settings={key: config["report"][key] for key in ("resamples", "seed")},
    shell:
        "untrained report ablations {wildcards.space} --resamples {params.settings[resamples]}"
        " --seed {params.settings[seed]} --tables $(dirname {output.table}) {input.scores} 2> {log}"


rule ablation_figure:
    input:
        scores=lambda wildcards: ablations(wildcards.space),
        table="results/tables/{space}/ablations.parquet",
        code="results/code/report.json",
    output:
        report(
            "results/figures/{space}/ablations.svg",
            caption="../report/ablations.rst",
            category="{space}",
            labels={"figure": "ablations"},
        ),
        png="results/figures/{space}/ablations.png",
    log:
        "logs/report/{space}/ablations.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        scores=lambda wildcards, input: " ".join(f"--ablations {path}" for path in input.scores),
    shell:
        "untrained report figure ablations {wildcards.space} {params.scores}"
        " --tables $(dirname {input.table}) --out {output.png} 2> {log}"


rule pruning_table:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        traces=lambda wildcards: pruning_traces(wildcards.space),
        code="results/code/report.json",
    output:
        report(
            expand("results/tables/{{space}}/prunings.{format}", format=FORMATS[1:]),
            caption="../report/prunings.rst",
            category="{space}",
            labels={"table": "TE-NAS's pruning search"},
        ),
        report(
            expand("results/tables/{{space}}/trajectory.{format}", format=FORMATS[1:]),
            caption="../report/trajectory.rst",
            category="{space}",
            labels={"table": "Rounds of the pruning search"},
        ),
        table="results/tables/{space}/prunings.parquet",
        rounds="results/tables/{space}/trajectory.parquet",
    log:
        "logs/report/{space}/pruning_table.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    shell:
        "untrained report prunings {wildcards.space} --benchmark {input.benchmark}"
        " --tables $(dirname {output.table}) {input.traces} 2> {log}"


rule trajectory_figure:
    input:
        table="results/tables/{space}/trajectory.parquet",
        code="results/code/report.json",
    output:
        report(
            "results/figures/{space}/trajectory.svg",
            caption="../report/trajectory.rst",
            category="{space}",
            labels={"figure": "trajectory"},
        ),
        png="results/figures/{space}/trajectory.png",
    log:
        "logs/report/{space}/trajectory.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    shell:
        "untrained report figure trajectory {wildcards.space} --tables $(dirname {input.table})"
        " --out {output.png} 2> {log}"


rule evolution_table:
    input:
        benchmark="data/benchmarks/{space}.parquet",
        readings=lambda wildcards: training_curves(wildcards.space),
        code="results/code/report.json",
    output:
        report(
            expand("results/tables/{{space}}/evolutions.{format}", format=FORMATS[1:]),
            caption="../report/evolutions.rst",
            category="{space}",
            labels={"table": "How the kernel moves"},
        ),
        table="results/tables/{space}/evolutions.parquet",
        curves="results/tables/{space}/evolution_curves.parquet",
    log:
        "logs/report/{space}/evolution_table.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        settings={key: config["report"][key] for key in ("resamples", "seed")},
    shell:
        "untrained report evolutions {wildcards.space} --benchmark {input.benchmark}"
        " --resamples {params.settings[resamples]} --seed {params.settings[seed]}"
        " --tables $(dirname {output.table}) {input.readings} 2> {log}"


rule evolution_figure:
    input:
        curves="results/tables/{space}/evolution_curves.parquet",
        code="results/code/report.json",
    output:
        report(
            "results/figures/{space}/{figure}.svg",
            caption="../report/evolutions.rst",
            category="{space}",
            labels={"figure": "{figure}"},
        ),
        png="results/figures/{space}/{figure}.png",
    log:
        "logs/report/{space}/{figure}.log",
    wildcard_constraints:
        figure="|".join(EVOLUTION_FIGURES),
    localrule: True
    conda:
        "../envs/untrained.yaml"
    shell:
        "untrained report figure {wildcards.figure} {wildcards.space}"
        " --tables $(dirname {input.curves}) --out {output.png} 2> {log}"


rule page:
    input:
        correlations="results/tables/{space}/correlations.parquet",
        seeds="results/tables/{space}/seeds.parquet",
        searches="results/tables/{space}/searches.parquet",
        comparisons="results/tables/{space}/comparisons.parquet",
        preferences=only(ORDERED, "results/tables/{space}/preferences.parquet"),
        preference_figure=only(ORDERED, "results/figures/{space}/preferences.png"),
        ablations=only(PLAN.ablated, "results/tables/{space}/ablations.parquet"),
        figures=expand("results/figures/{{space}}/{figure}.png", figure=FIGURES),
        ablation_figure=only(PLAN.ablated, "results/figures/{space}/ablations.png"),
        prunings=only(PLAN.pruned, "results/tables/{space}/prunings.parquet"),
        trajectory=only(PLAN.pruned, "results/tables/{space}/trajectory.parquet"),
        trajectory_figure=only(PLAN.pruned, "results/figures/{space}/trajectory.png"),
        evolutions=only(PLAN.followed, "results/tables/{space}/evolutions.parquet"),
        kernel_evolution=only(PLAN.followed, "results/figures/{space}/kernel_evolution.png"),
        score_evolution=only(PLAN.followed, "results/figures/{space}/score_evolution.png"),
        code="results/code/report.json",
    output:
        "results/report/{space}.md",
    log:
        "logs/report/{space}/page.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    shell:
        "untrained report page {wildcards.space} --tables $(dirname {input.searches})"
        " --out {output} {input.figures} {input.preference_figure} {input.trajectory_figure} {input.ablation_figure}"
        " {input.kernel_evolution} {input.score_evolution} 2> {log}"
