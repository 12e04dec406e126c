"""Latencies of candidates on this machine, as a table that `untrained.devices` reads.

A candidate is timed by `torch.utils.benchmark`: it runs in evaluation mode without gradients on
images of a normal distribution that are there already, for a while before it is timed, with a fixed
number of threads; on a GPU each run ends when the GPU is done. The latency is the median over
blocks of runs, and its interval is that of the median, which order statistics have with 95 %
confidence whatever the times' distribution.
"""

import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import nan
from numbers import Real
from os import cpu_count
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from untrained.benchmarks.devices import DEVICE_TYPES
from untrained.errors import DamagedFileError, ParameterError, quoted, short
from untrained.files import alone_in, check_target, read_parquet, write_parquet
from untrained.images.sets import image_set
from untrained.limits import COUNT, at_most
from untrained.networks.modes import buffers_restored, modes_restored
from untrained.networks.prepared import copied, dtype_of, in_mode, moved, prepared
from untrained.proxies.base import UndefinedScore
from untrained.scoring.arguments import shape_of, whole
from untrained.scoring.candidates import Candidate, Given, candidates_of, check_classes
from untrained.scoring.devices import leased_device
from untrained.scoring.engine import tolerated
from untrained.scoring.images import Shape, check_memory, spell_shape
from untrained.scoring.own import Calling
from untrained.scoring.progress import Track, untracked
from untrained.scoring.request import OwnNetwork
from untrained.seeds import torch_seeded

if TYPE_CHECKING:
    import pandas as pd

#: Column of a table of measurements to its type: those of any table of devices, and more.
MEASURED_TYPES: Mapping[str, str] = {
    **DEVICE_TYPES,
    "low": "float64",
    "high": "float64",
    "space": "str",
    "candidate": "str",
    "input": "str",
    "batch_size": "int64",
    "threads": "int64",
    "runs": "int64",
    "machine": "str",
    "torch": "str",
}
#: The columns that say what was timed, and on which device.
_SUBJECT = ("space", "candidate", "arch", "dataset", "device")
#: The least number of blocks of runs whose times make an interval.
_BLOCKS = 6
_MOST_SECONDS = 3600


def measure(
    candidates: Mapping[str, Given] | Sequence[Given],
    input: Shape | str | None = None,  # noqa: A002 - as in `rank`
    *,
    dataset: str | None = None,
    batch_size: int = 1,
    device: str = "cpu",
    threads: int | None = None,
    seconds: float = 1.0,
    name: str | None = None,
    classes: int | None = None,
    out: Path | None = None,
    track: Track = untracked,
    tell: Callable[[str], None] = lambda _: None,
) -> "pd.DataFrame":
    """Measure the latency of candidates, networks of your own among them, on this machine.

    >>> from torch import nn
    >>> from untrained import measure
    >>> made = lambda width: nn.Sequential(nn.Conv2d(1, width, 3), nn.Flatten())
    >>> found = measure({"thin": lambda: made(2), "wide": lambda: made(64)}, "1x32x32", seconds=0.1)
    >>> found[["candidate", "metric"]].values.tolist()
    [['thin', 'latency'], ['wide', 'latency']]
    >>> bool((found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all())
    True

    Args:
        candidates: as in `rank`.
        input: shape (C, H, W) of an image, or as text "3x32x32"; by default that of `dataset`.
        dataset: the data set whose number of classes, and shape, architectures of spaces have;
            default cifar10.
        batch_size: the number of images that are run at once.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`, which is a free GPU or else the CPU. It is not
            the default, since here the device is what is measured. Settings of PyTorch that change
            its speed, such as TF32, stay as they are.
        threads: the number of threads of PyTorch on the CPU, 1 by default.
        seconds: how long each candidate is timed, after a tenth of that for warming up.
        name: the name of the device in the table; by default that of the processor or the card,
            with the threads and the images where they are several.
        classes: the number of classes of networks of timm and torchvision, by default their own.
        out: a parquet file to which each measurement is added when it is done. What it has
            already is not measured again.
        track: reports the progress.
        tell: takes messages for people.

    Returns:
        One row for each candidate, in their order: `arch` (index in its space, -1 for a network of
        one's own), `dataset` (of an architecture; else the shape of the images), `device`, `metric`
        (latency), `value` (the median in ms of one batch), `low` and `high` (its 95 % interval),
        `space` (empty for networks of one's own), `candidate`, `input`, `batch_size`, `threads`,
        `runs`, `machine`, `torch` (the version). NaN and no runs where a candidate failed;
        `attrs["failed"]` maps it to the reason.

    Raises:
        UntrainedError: a candidate, a data set or a device does not exist, a number is out of
            range, something given is not used, or the file is no such table.
    """
    import pandas as pd

    of = dataset or "cifar10"
    shape = shape_of(input) or image_set(of).shape
    batch_size = whole("batch_size", batch_size, 1)
    used = 1 if threads is None else whole("threads", threads, 1)
    at_most(COUNT, batch_size=batch_size)
    check_memory(batch_size, shape)
    at_most(cpu_count() or 1, threads=used)
    if isinstance(seconds, bool) or not isinstance(seconds, Real):
        raise ParameterError(f"seconds {quoted(seconds)}: give a number")
    if not 0 < seconds <= _MOST_SECONDS:
        raise ParameterError(f"seconds {seconds}: above 0, up to {_MOST_SECONDS}")
    if name is not None and not (isinstance(name, str) and re.fullmatch(r"[\w.+-]+", name)):
        raise ParameterError(f"name {quoted(name)} of the device: letters, digits, and any of _.+-")
    found = candidates_of(candidates, classes)
    check_classes(classes, candidates)
    if dataset is not None and input is not None and all(one.own for one in found):
        raise ParameterError(
            f"dataset {short(dataset)}: the images have the shape that is given, and networks of "
            "your own the classes that they have, leave it out"
        )
    with leased_device(device) as where:
        if threads is not None and where.type != "cpu":
            raise ParameterError(f"threads {threads}: {where} has none to choose, leave it out")
        machine = machine_of(where)
        named = name or _named(machine, used, batch_size)
        setting = {
            "device": named,
            "metric": "latency",
            "input": spell_shape(shape),
            "batch_size": batch_size,
            "threads": used,
            "machine": machine,
            "torch": torch.__version__,
        }
        rows = [_subject(one, of, shape) | setting for one in found]
        before = _known(out, rows, tell)
        numbers = torch.Generator().manual_seed(0)
        images = torch.randn(batch_size, *shape, generator=numbers).to(where)
        classes_of_space = image_set(of).num_classes
        done, failed = list[dict[str, Any]](), dict[str, str]()
        for one, row in zip(track(found, len(found), "measuring", "networks"), rows, strict=True):
            key = _key(row)
            if key not in before:
                run = partial(_timed, one, classes_of_space, images, used, seconds)
                timed = tolerated(run)
                if isinstance(timed, UndefinedScore):
                    failed[one.name] = f"{timed.status}: {timed}"
                    done.append(row | dict.fromkeys(("value", "low", "high"), nan) | {"runs": 0})
                    continue
                before[key] = row | timed
                if out is not None:  # to which other processes may add measurements as well
                    with alone_in(out.parent, tell):
                        before = _there(out) | {key: before[key]}
                        _write(before.values(), out)
            done.append(before[key] | {"candidate": one.name})
    table = pd.DataFrame(done)[list(MEASURED_TYPES)].astype(dict(MEASURED_TYPES))
    table.attrs["failed"] = failed
    return table


def machine_of(device: torch.device) -> str:
    """Return the name of the processor or of the card."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, named), "") or platform.processor() or platform.machine() or "cpu"


def _named(machine: str, threads: int, batch_size: int) -> str:
    """Return a name that can stand in the brackets of a quantity."""
    name = re.sub(r"\W+", "_", re.sub(r"\((R|TM)\)", "", machine).lower()).strip("_")
    name += f"_{threads}threads" if threads > 1 else ""
    return name + (f"_batch{batch_size}" if batch_size > 1 else "")


def _subject(candidate: Candidate, dataset: str, shape: Shape) -> dict[str, Any]:
    """Return what says which network a row is of."""
    if candidate.own:
        return {
            "space": "",
            "candidate": candidate.name,
            "arch": -1,
            "dataset": spell_shape(shape),
        }
    target: Any = candidate.target
    name = f"{target.name}/{candidate.index}"
    return {"space": target.name, "candidate": name, "arch": candidate.index, "dataset": dataset}


def _there(out: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the measurements of a file by their subjects, if it is there.

    Raises:
        DamagedFileError: it is no table of measurements.
    """
    if not out.is_file():
        return {}
    try:
        table = read_parquet(out, MEASURED_TYPES)
    except DamagedFileError as error:  # more likely it is another file
        raise DamagedFileError(
            f"{out} is no table of measurements, so nothing is added to it: name another file"
        ) from error
    each = [{str(name): one for name, one in row.items()} for row in table.to_dict("records")]
    return {_key(row): row for row in each}


def _known(
    out: Path | None, rows: Sequence[Mapping[str, Any]], tell: Callable[[str], None]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the measurements of a file by their subjects, if those of this request fit to them.

    Raises:
        DamagedFileError: it is no table of measurements.
        ParameterError: it has a device of this name, of another machine or measured in another way.
    """
    if out is None:
        return {}
    check_target(out)
    found = _there(out)
    again = [row for row in rows if _key(row) in found]
    compared = [(found[_key(row)], row, "input") for row in again]
    compared += [
        (there, rows[0], part)
        for there in found.values()
        if there["device"] == rows[0]["device"]
        for part in ("batch_size", "threads", "machine")
    ]
    for there, row, part in compared:
        if there[part] != row[part]:
            raise ParameterError(
                f"{out} has {there['candidate']} on {row['device']} with {part} {there[part]}, "
                f"and now it is {row[part]}: give the device another --name, or another file"
            )
    if again:
        tell(f"{out} has {len(again)} of {len(rows)} measurements already")
    return found


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in _SUBJECT)


def _write(rows: Any, out: Path) -> None:  # noqa: ANN401 - an iterable of rows
    import pandas as pd

    table = pd.DataFrame(list(rows))[list(MEASURED_TYPES)].astype(dict(MEASURED_TYPES))
    write_parquet(table.sort_values(list(_SUBJECT), ignore_index=True), out)


def _timed(
    candidate: Candidate, num_classes: int, images: Tensor, threads: int, seconds: float
) -> dict[str, Any]:
    """Return the latency of a candidate in ms with its interval, and the number of runs."""
    from torch.utils.benchmark import Timer

    with _network(candidate, num_classes, images) as network:
        on_gpu, given = images.device.type == "cuda", images.to(dtype_of(network))
        wait = partial(torch.cuda.synchronize, images.device) if on_gpu else lambda: None
        named = {"run": network, "images": given, "wait": wait}
        timer = Timer("run(images); wait()", timer=perf_counter, globals=named, num_threads=threads)
        timer.blocked_autorange(min_run_time=seconds / 10)
        measured = timer.blocked_autorange(min_run_time=seconds)
        times = [*measured.times]
        while len(times) < _BLOCKS:  # a run takes longer than a good part of the time
            times += timer.timeit(1).times
    times = sorted(1000 * one for one in times)
    low, high = median_interval(times)
    half = len(times) // 2
    median = (times[half] + times[-1 - half]) / 2
    runs = measured.number_per_run * len(measured.times) + len(times) - len(measured.times)
    return {"value": median, "low": low, "high": high, "runs": runs}


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval of the median of a distribution, of sorted values drawn from it.

    It is that of two order statistics, the narrowest symmetric one that covers the median with at
    least `confidence` (the binomial interval of the sign test), or the range of the values where
    none does.
    """
    from scipy.stats import binom

    count = len(values)
    # the fewest values below the median that more than (1 - confidence) / 2 of all samples have
    place = max(int(binom.ppf((1 - confidence) / 2, count, 0.5)) - 1, 0)
    return values[place], values[count - 1 - place]


@contextmanager
def _network(candidate: Candidate, num_classes: int, images: Tensor) -> Iterator[nn.Module]:
    """Yield a candidate's network in evaluation mode, where the images are; it stays as it was."""
    # what the outputs are does not matter
    calling = Calling(output=lambda outputs: outputs)
    seeded = torch_seeded(0, "measured network", device=images.device)
    with candidate.opened(calling, trained=False) as target, seeded:
        if isinstance(target, OwnNetwork):
            network = target.build(num_classes)
        else:
            network = target.network(target[candidate.index], num_classes)
        if not isinstance(network, torch.jit.ScriptModule):
            network = prepared(network, images)
        places = {one.device for one in (*network.parameters(), *network.buffers())}
        if places - {images.device}:
            network = moved(copied(network), images.device)
        with modes_restored(network), buffers_restored(network), torch.inference_mode():
            yield in_mode(network, training=False)
