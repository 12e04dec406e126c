"""`untrained fetch`: benchmark tables and images, from official files or what is bundled."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict, TypeVar, overload

import typer

from untrained.files import BENCHMARKS, BUNDLED, IMAGES

T = TypeVar("T")


@dataclass(frozen=True)
class Computed(Sequence[T]):
    """A list whose entries are computed when they are looked at.

    Attributes:
        size: how many there are.
        entry: the one at an index.
    """

    size: int
    entry: Callable[[int], T]

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        places = range(self.size)[index]  # which raises what a list raises
        return self.entry(places) if isinstance(places, int) else [*map(self.entry, places)]


class Known(TypedDict, total=False):
    """What a space knows of its architectures, by index, that official files must agree with."""

    spellings: Sequence[str]
    parameters: Sequence[int]


def fetch(
    name: Annotated[str, typer.Argument(help="A search space or a data set.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Official file, archive or folder.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Base URL or folder; default: fetch.mirror of params.yaml.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Of a data set: `sample` is bundled, any other needs the files.")
    ] = "train",
    out: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    note: Annotated[
        Path | None, typer.Option(help="Also write which file a data set is read from (JSON).")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option(help="Convert images although some official files are not there.")
    ] = False,
) -> None:
    """Fetch a benchmark table or a data set."""
    from untrained.errors import unknown_name
    from untrained.images.sets import IMAGE_SETS, image_set
    from untrained.parameters import read_parameters
    from untrained.spaces import SPACES

    if mirror is None and source is None:
        section = read_parameters().get("fetch")
        mirror = section.get("mirror") if isinstance(section, dict) else None
    if name in IMAGE_SETS:
        split = image_set(name).split(split)
        target = out or IMAGES / f"{name}.npz"
        _fetch_images(name, split, source, mirror, target, allow_missing)
        if note is not None:
            _write_note(name, split, target, note)
    elif name in SPACES.names():
        _fetch_benchmark(name, source, mirror, out or BENCHMARKS / f"{name}.parquet")
    else:
        raise unknown_name("space or data set", name, [*SPACES.names(), *IMAGE_SETS])


def _fetch_benchmark(name: str, source: Path | None, mirror: str | None, target: Path) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from untrained.benchmarks.fetch import fetch_benchmark
    from untrained.benchmarks.nds_networks import FILES

    known = known_of(name) if source is not None or mirror is not None else Known()
    console = Console(stderr=True)
    # in a log a bar would be an empty line
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"converting {source}", total=None, visible=source is not None)
        fetch_benchmark(
            name,
            target,
            source,
            mirror,
            lambda done, total: progress.update(task, completed=done, total=total),
            **known,
        )
    typer.echo(f"{target}", err=True)
    if name in FILES:
        _check_costs(name, target)


def known_of(name: str) -> Known:
    """What official files of a space are compared with; files of NDS say themselves what it has."""
    from untrained.spaces import get_space

    if name in ("nasbench201", "natsbench_size"):
        space = get_space(name)
        return {"spellings": [space[index].spelling for index in range(len(space))]}
    if name == "nasbench101":
        from untrained.networks.nasbench101_channels import count_parameters
        from untrained.spaces.nasbench101 import NasBench101

        cells = NasBench101()
        # a hash takes a tenth of a millisecond, and a right file needs none
        return {
            "spellings": Computed(len(cells), lambda index: cells.cell(index).module_hash),
            "parameters": Computed(len(cells), lambda index: count_parameters(cells.cell(index))),
        }
    return {}


def _check_costs(name: str, target: Path, count: int = 16) -> None:
    """Say whether the networks of a few architectures have the costs that their table says.

    What differs stops nothing: no official file was at hand, the fault may be the networks'.
    """
    import numpy as np

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.benchmarks.nds import architectures_beside, read_architectures
    from untrained.benchmarks.nds_networks import dataset_of
    from untrained.networks.nds import mismatches

    dataset = dataset_of(name)
    costs = Benchmark.read(target, name).costs(dataset)
    known = np.flatnonzero(costs["parameters"].notna())
    chosen = known[np.linspace(0, len(known) - 1, min(count, len(known))).astype(int)]
    spellings = read_architectures(name, architectures_beside(target))
    imagenet = dataset == "ImageNet"
    first = next(mismatches(spellings, costs, chosen.tolist(), imagenet=imagenet), None)
    if first is not None:
        typer.echo(
            f"warning: {name}: {first}; its scores may be of another network than the one that was "
            "trained",
            err=True,
        )
    elif len(chosen):
        typer.echo(f"{name}: the costs of {len(chosen)} networks are those of the file", err=True)


def _fetch_images(
    name: str,
    split: str,
    source: Path | None,
    mirror: str | None,
    target: Path,
    allow_missing: bool,
) -> None:
    from untrained.images.fetch import fetch_images
    from untrained.images.sets import image_set

    image_set(name).check_split(split)
    if split == "sample":
        where = "drawn for each minibatch" if name == "noise" else "bundled"
        typer.echo(f"{name}: the sample is {where}, nothing to fetch", err=True)
        return
    counts = fetch_images(
        name,
        target,
        source,
        mirror,
        allow_missing,
        progress=lambda member: typer.echo(f"{name}: read {member}", err=True),
    )
    listed = ", ".join(f"{count} {part}" for part, count in counts.items())
    typer.echo(f"{target}: {listed} images", err=True)


def _write_note(name: str, split: str, target: Path, note: Path) -> None:
    """Record what the shards will read; official files are too large to version themselves."""
    from untrained.files import atomic, digest

    file = BUNDLED / f"{name}.webp" if split == "sample" else target
    stored = file.is_file()
    content = {
        "dataset": name,
        "split": split,
        "file": file.name if stored else None,
        "sha256": digest(file, "sha256") if stored else None,
    }
    with atomic(note) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")
