rule report:
    input:
        expand("results/report/{space}.md", space=SPACES),
        expand("results/metrics/{space}.json", space=SPACES),
        [tables_of(own, space) + figures_of(own, space) for space, own in SECTIONS_OF.items()],
        expand(
            "results/figures/{name}.{format}",
            name=JOINT * (len(SPACES) > 1),
            format=["svg", "png"],
        ),


# A shell command is spelled when its job runs, after these loops: what differs is in params.
for name, group in GROUPS.items():
    if any(one.tables for one in group):

        rule:
            name:
                f"table_{name}"
            input:
                **read_by(group, READ),
                code="results/code/report.json",
            output:
                *map(reported, tables_of(group)),
            log:
                f"logs/report/{{space}}/table_{name}.log",
            localrule: True
            conda:
                "../envs/untrained.yaml"
            params:
                names=",".join(one.name for one in group if one.tables),
                read=partial(spelled_inputs, group[0].reads),
                options=spelled(dict.fromkeys(key for one in group for key in one.options), config),
            shell:
                "untrained report table {params.names} {wildcards.space} {params.read} {params.options}"
                " --tables results/tables/{wildcards.space} 2> {log}"


for name, group in GROUPS.items():
    drawn = [one for one in group if one.figures]
    reads = group[0].reads if any(one.draws_files for one in group) else ()
    options = dict.fromkeys(key for one in group for it in one.figures for key in it.options)
    if drawn:

        rule:
            name:
                f"figure_{name}"
            input:
                **read_by(group, reads),
                tables=[path for path in tables_of(group) if path.endswith(".parquet")],
                code="results/code/report.json",
            output:
                *map(reported, figures_of(drawn)),
            log:
                f"logs/report/{{space}}/figure_{name}.log",
            localrule: True
            conda:
                "../envs/untrained.yaml"
            params:
                names=",".join(one.name for one in drawn),
                read=partial(spelled_inputs, reads),
                options=spelled(options, config),
            shell:
                "untrained report figure {params.names} {wildcards.space} {params.read} {params.options}"
                " --tables results/tables/{wildcards.space}"
                " --figures results/figures/{wildcards.space} 2> {log}"


# One figure of all spaces.
rule joint_figure:
    input:
        tables=expand("results/tables/{space}/{{section}}.parquet", space=SPACES),
        code="results/code/report.json",
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
        spaces=" --beside ".join(SPACES),
    shell:
        "untrained report figure {wildcards.section} {params.spaces} --figures results/figures 2> {log}"


rule page:
    input:
        tables=lambda wildcards: tables_of(SECTIONS_OF[wildcards.space], wildcards.space),
        figures=lambda wildcards: figures_of(SECTIONS_OF[wildcards.space], wildcards.space),
        code="results/code/report.json",
    output:
        page="results/report/{space}.md",
        metrics="results/metrics/{space}.json",
    log:
        "logs/report/{space}/page.log",
    localrule: True
    conda:
        "../envs/untrained.yaml"
    params:
        sections=lambda wildcards: [one.name for one in SECTIONS_OF[wildcards.space]],
    shell:
        "untrained report page {wildcards.space} {params.sections} --out {output.page}"
        " --metrics {output.metrics} 2> {log}"
