import re
import sys
from pathlib import Path

from snakemake.utils import min_version
from snakemake_logger_plugin_phases import PHASES

from untrained.errors import UntrainedError
from untrained.parameters import PARAMS, read_parameters

min_version("9.20")

# Of two values of one key Snakemake would take the last. The files of another workflow, which
# takes this one as a module, are its own.
if not workflow.modifier.skip_configfile:
    try:
        for path in [PARAMS, *workflow.config_settings.configfiles]:
            read_parameters(path)
    except UntrainedError as error:
        sys.exit(f"untrained: {error}")


# of the working directory, if it has any
configfile: "params.yaml" if Path("params.yaml").exists() else workflow.source_path("params.yaml")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/paths.smk"
include: "workflow/rules/sections.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/searches.smk"
include: "workflow/rules/ablations.smk"
include: "workflow/rules/prunings.smk"
include: "workflow/rules/devices.smk"
include: "workflow/rules/training_curves.smk"
include: "workflow/rules/report.smk"


# The live view of `--logger phases` has a line for each file of rules.
PHASES |= {
    one.name: Path(one.snakefile).stem for one in workflow.rules if one.snakefile.endswith(".smk")
}


# Every artifact, not only the last: a deleted intermediate file is made again.
rule all:
    default_target: True
    input:
        rules.fetch.input,
        rules.scores.input,
        rules.searches.input,
        rules.ablations.input,
        rules.prunings.input,
        rules.devices.input,
        rules.training_curves.input,
        rules.report.input,


# `quiet: rules` of the profile hides what a failed job wrote along with the job.
onerror:
    messages = "".join(
        Path(name).read_text() for name in ([log] if isinstance(log, str) else log)
    )
    for name in re.findall(r"> ('[^']+'|\S+)(?: 2>&1)?' returned non-zero", messages):
        name = name.strip("'")
        lines = Path(name).read_text().splitlines()[-20:]
        sys.stderr.write("\n".join([f"{name}:", *lines]) + "\n")
