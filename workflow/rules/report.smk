rule report:
    input:
        ["results/report/index.html"] * bool(PLAN.measured),
        expand("results/report/{space}.md", space=PLAN.measured),
        expand("results/metrics/{space}.json", space=PLAN.measured),
        [tables_of(own, space) + figures_of(own, space) for space, own in SECTIONS_OF.items()],
        expand(
            "results/figures/{name}.{format}",
            name=JOINT * (len(PLAN.measured) > 1),
            format=["svg", "png"],
        ),


# A shell command is spelled when its job runs, after this loop: what differs is in params.
for section in APPLYING:

    rule:
        name:
            f"section_{section.name}"
        input:
            **read_by(section.reads),
            tables=expand("results/tables/{{space}}/{name}.parquet", name=section.needs),
            code=f"results/code/report/{section.name}.json",
        output:
            *map(reported, tables_of([section]) + figures_of([section])),
        log:
            f"logs/report/{{space}}/{section.name}.log",
        localrule: True
        conda:
            "../envs/untrained.yaml"
        params:
            name=section.name,
            read=partial(spelled_inputs, section.reads),
            options=spelled(section.options, config),
        shell:
            "untrained report section {params.name} {wildcards.space} {params.read} {params.options}"
            " --tables results/tables/{wildcards.space}"
            " --figures results/figures/{wildcards.space} 2> {log}"


# One figure of all spaces, of a section of the same name.
rule joint_figure:
    input:
        tables=expand("results/tables/{space}/{{section}}.parquet", space=PLAN.measured),
        code="results/code/report/{section}.json",
    output:
        report(
            "results/figures/{section}.svg",
            caption=str(CAPTIONS / "figure" / "proxies.rst"),
            category="All spaces",
            labels={"figure": "{section}"},
        ),
        png="results/figures/{section}.png",
    log:
        "logs/report/{section}.log",
    wildcard_constraints:
        section="|".join(JOINT),
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        spaces=" --beside ".join(PLAN.measured),
    shell:
        "untrained report section {wildcards.section} {params.spaces} --figures results/figures 2> {log}"


rule page:
    input:
        scores="results/scores/{space}.parquet",
        tables=lambda wildcards: tables_of(SECTIONS_OF[wildcards.space], wildcards.space),
        figures=lambda wildcards: figures_of(SECTIONS_OF[wildcards.space], wildcards.space),
        code="results/code/report/page.json",
    output:
        page="results/report/{space}.md",
        metrics="results/metrics/{space}.json",
        cells="results/metrics/cells/{space}.json",
    log:
        "logs/report/{space}/page.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        sections=lambda wildcards: [one.name for one in SECTIONS_OF[wildcards.space]],
    shell:
        "untrained report page {wildcards.space} {params.sections} --out {output.page}"
        " --metrics {output.metrics} --cells {output.cells} 2> {log}"


# An interactive page of all spaces; the files are where the command looks for them.
rule explorer:
    input:
        expand("data/benchmarks/{space}.parquet", space=PLAN.measured),
        expand("results/scores/{space}.parquet", space=PLAN.measured),
        expand(
            "results/tables/{space}/{name}.parquet",
            space=PLAN.measured,
            name=["correlations", "regret"],
        ),
        devices=[path for space in PLAN.measured for path in PLAN.devices_table(space)],
        code="results/code/report/explorer.json",
    output:
        "results/report/index.html",
    log:
        "logs/report/explorer.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        spaces=PLAN.measured,
        settings=settings("scores", "split", "batch_size", "augmentation", "sampling", "precision"),
    shell:
        "untrained report explorer {params.spaces} --out {output} --split {params.settings[split]}"
        " --batch-size {params.settings[batch_size]}"
        " --augmentation {params.settings[augmentation]}"
        " --sampling {params.settings[sampling]}"
        " --precision {params.settings[precision]} 2> {log}"
