from functools import partial

from untrained.report import SECTIONS, sections_of
from untrained.report.build import files_of, write_captions
from untrained.report.options import spelled

# What a section reads: kind to its files of a space.
READ = {
    "benchmark": lambda space: [f"data/benchmarks/{space}.parquet"],
    "scores": lambda space: [f"results/scores/{space}.parquet"],
    "shipped": lambda space: PLAN.shipped_scores(space),
    "searches": traces,
    "ablations": ablations,
    "prunings": pruning_traces,
    "training_curves": training_curves,
    "devices": fronts,
    "devices_table": lambda space: PLAN.devices_table(space),
}
CAPTIONS = Path(".snakemake/captions").absolute()
write_captions(CAPTIONS)
SECTIONS_OF = {space: sections_of(PLAN.spaces[space], config) for space in SPACES}
APPLYING = [one for one in SECTIONS if any(one in own for own in SECTIONS_OF.values())]
JOINT = [figure.name for one in SECTIONS for figure in one.figures if figure.joint]


def read_by(kinds):
    """The files of some kinds that a section reads, as inputs by name."""
    return {
        kind: lambda wildcards, kind=kind: READ[kind](wildcards.space)
        for kind in dict.fromkeys(kinds)
    }


def spelled_inputs(kinds, wildcards, input):
    """The options and arguments that name what a section reads."""
    words = []
    for kind in dict.fromkeys(kinds):
        files = getattr(input, kind)
        option = (
            f"--{kind.replace('_', '-')} "
            if kind in ("benchmark", "scores", "devices_table")
            else ""
        )
        paths = [files] if isinstance(files, str) else files
        words += [option + shlex.quote(str(path)) for path in paths]
    return " ".join(words)


def tables_of(sections, space="{space}"):
    """The files of the tables of some sections."""
    names = [name for one in sections for table in one.tables for name in files_of(table)]
    return [f"results/tables/{space}/{name}" for name in names]


def figures_of(sections, space="{space}"):
    """The files of the figures of some sections."""
    names = [figure.name for one in sections for figure in one.figures]
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
