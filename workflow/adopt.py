"""Let Snakemake take for its own what `dvc pull` restored; `make sync` calls it.

What Snakemake's output cache keeps when DVC clears a stage is put there too, so that a change of
parameters computes only what is new, as it does where the results were made.
"""

import os
import sys
from pathlib import Path

from dvc.repo import Repo
from dvc_data.hashfile.tree import Tree
from snakemake.api import SnakemakeApi
from snakemake.executors.touch import Executor
from snakemake.settings.types import (
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
    WorkflowSettings,
)

from untrained.files import digest

CODE = "results/code/"
RULES = f"{CODE}rules/"


def changed() -> list[str]:
    """Return what differs from what dvc.lock was recorded with, but for the code of jobs."""
    with Repo() as repo:
        status = repo.status()
    status.pop("code", None)
    entries = [entry for found in status.values() for entry in found if isinstance(entry, dict)]
    deps = [dep for entry in entries for dep in entry.get("changed deps", {}).items()]
    names = {name for _, how in deps if isinstance(how, dict) for name in how}  # of parameters
    files = {path for path, how in deps if not isinstance(how, dict)}
    return sorted(names | {path for path in files if path.startswith(RULES) or CODE not in path})


def damaged() -> list[str]:
    """Return the files whose content is not that of dvc.lock, of which DVC compares no digest.

    DVC takes what a remote or its cache has under a digest for what has this digest.
    """
    known: dict[Path, str] = {}
    with Repo() as repo:
        for out in repo.index.outs:
            top, made = Path(out.fs_path), out.get_obj() if out.use_cache else None
            if isinstance(made, Tree):
                known |= {top.joinpath(*key): one.value for key, _, one in made}
            elif made is not None:
                known[top] = made.hash_info.value
    found = [
        os.path.relpath(path)
        for path, md5 in known.items()
        if not path.is_file() or digest(path, "md5") != md5
    ]
    return sorted(path for path in found if not path.startswith(CODE))


def adopt() -> None:
    """Touch all artifacts in the order of their making, and fill the output cache.

    They were made by the code whose digests came along: what other code would make is stale then.
    """
    if wrong := damaged():
        sys.exit(
            f"{wrong[0]} is not what dvc.lock says ({len(wrong)} of such files): the DVC remote or "
            ".dvc/cache is damaged there, delete the file and .dvc/cache, and pull from another "
            "remote, or `dvc repro`"
        )
    recorded = {path: path.read_bytes() for path in Path(CODE).rglob("*.json")}
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1),
            workflow_settings=WorkflowSettings(cache=[]),
            snakefile=Path("Snakefile"),
        )
        dag = workflow.dag(DAGSettings(forceall=True, max_checksum_file_size=10**8))
        if others := changed():
            others = ", ".join(others)
            sys.exit(f"dvc.lock belongs to another {others}: `dvc repro` computes what has changed")
        for path, digests in recorded.items():
            path.write_bytes(digests)
        Executor.SLEEPING_TIME = 0  # a tenth of a second for each file, in the order of making
        dag.execute_workflow(executor="touch")
        for job in workflow._workflow.dag.jobs:
            cache = job.rule.cache
            if cache and cache.output and all(map(os.path.exists, job.output)):
                workflow._workflow.async_run(cache.store(job))


if __name__ == "__main__":
    sys.argv.append("--touch")  # rules are read as for `snakemake --touch`
    adopt()
