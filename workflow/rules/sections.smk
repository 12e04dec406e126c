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
    return expand(
        "results/figures/{space}/{name}.{format}", space=space, name=names, format=["svg", "png"]
    )


def reported(path):
    """A file in Snakemake's report, where it is one that people read."""
    kind, name = Path(path).parts[1][:-1], Path(path).stem
    if path.endswith((".parquet", ".png")):
        return path
    caption = str(CAPTIONS / kind / f"{name}.rst")
    return report(path, caption=caption, category="{space}", labels={kind: name})


JOINT = [one.name for one in SECTIONS if any(figure.joint for figure in one.figures)]
GROUPS = together(SECTIONS)
