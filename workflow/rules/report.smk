from functools import partial

from untrained.report import SECTIONS, sections_of
from untrained.report.build import files_of, write_captions
from untrained.report.options import spelled

# What a section reads: kind to its files of a space.
READ = {
    "benchmark": lambda space: [f"data/benchmarks/{space}.parquet"],
    "scores": lambda space: [f"results/scores/{space}.parquet"],
    "searches": traces,
    "ablations": ablations,
    "prunings": pruning_traces,
    "training_curves": training_curves,
}
CAPTIONS = Path(".snakemake/captions").absolute()
write_captions(CAPTIONS)
SECTIONS_OF = {space: sections_of(PLAN.spaces[space], config) for space in SPACES}


def together(sections):
    """Sections that one job makes: they read the same, are of the same spaces, and draw alike."""
    found = {}
    for section in sections:
        spaces = tuple(space for space in SPACES if section in SECTIONS_OF[space])
        options = tuple(name for figure in section.figures for name in figure.options)
        alone = bool(options) and not section.tables
        if spaces:
            key = (section.reads, spaces, section.name if alone else "")
            found.setdefault(key, []).append(section)
    return {"_".join(one.name for one in group): group for group in found.values()}


def read_by(group, kinds):
    """The files of some kinds that a group of sections reads, as inputs by name."""
    return {
        kind: lambda wildcards, kind=kind: READ[kind](wildcards.space)
        for kind in dict.fromkeys(kind for one in group for kind in one.reads)
        if kind in kinds
    }


def spelled_inputs(kinds, wildcards, input):
    """The options and arguments that name what a section reads."""
    words = []
    for kind in kinds:
        files = getattr(input, kind)
        option = f"--{kind} " if kind in ("benchmark", "scores") else ""
        words += [f"{option}{path}" for path in ([files] if isinstance(files, str) else files)]
    return " ".join(words)


def tables_of(group, space="{space}"):
    """The files of the tables of some sections."""
    names = [name for one in group for table in one.tables for name in files_of(table)]
    return [f"results/tables/{space}/{name}" for name in names]


def figures_of(group, space="{space}"):
    """The files of the figures of some sections."""
    names = [figure.name for one in group for figure in one.figures]
    return expand("results/figures/{space}/{name}.{format}", space=space, name=names, format=["svg", "png"])


def reported(path):
    """A file in Snakemake's report, where it is one that people read."""
    kind, name = Path(path).parts[1][:-1], Path(path).stem
    if path.endswith((".parquet", ".png")):
        return path
    caption = str(CAPTIONS / kind / f"{name}.rst")
    return report(path, caption=caption, category="{space}", labels={kind: name})


JOINT = [one.name for one in SECTIONS if any(figure.joint for figure in one.figures)]
GROUPS = together(SECTIONS)


rule report:
    input:
        expand("results/report/{space}.md", space=SPACES),
        expand("results/metrics/{space}.json", space=SPACES),
        [tables_of(own, space) + figures_of(own, space) for space, own in SECTIONS_OF.items()],
        expand("results/figures/{name}.{format}", name=JOINT * (len(SPACES) > 1), format=["svg", "png"]),


# A shell command is spelled when its job runs, after these loops: what differs is in params.
for name, group in GROUPS.items():
    if any(one.tables for one in group):

        rule:
            name:
                f"table_{name}"
            input:
                code="results/code/report.json",
                **read_by(group, READ),
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
                tables=[path for path in tables_of(group) if path.endswith(".parquet")],
                code="results/code/report.json",
                **read_by(group, reads),
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
