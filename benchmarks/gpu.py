"""Measures what a GPU node does, and writes docs/performance.md.

Usage: python -m benchmarks.gpu [--seconds 420] [--limit 90] [--step NAME ...]
Each step runs in a process of its own with a limit of seconds. Of one that fails, crashes or is
late the table has what it found until then, and the next step follows. Without CUDA everything runs
in reduced form on the CPU, which shows that it runs, and nothing is written.
"""

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.page import SPACE, machine, random_cells, write_section
from benchmarks.plain import plain_score
from untrained.files import atomic
from untrained.float32 import exact_float32
from untrained.networks import batched
from untrained.networks.batched_gradients import Networks
from untrained.networks.batched_training import Together
from untrained.networks.network import GraphModule
from untrained.networks.plans import draw
from untrained.proxies.agreements import agreements_of
from untrained.scoring import batches
from untrained.scoring.devices import gpus_here, leased_device
from untrained.scoring.engine import Score, Subject, score_work
from untrained.scoring.execution import (
    Execution,
    has_bfloat16_products,
    measures_many,
    prepare_worker,
)
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import ScoreRequest, parse_reading
from untrained.search.measurements import TOGETHER, Draw
from untrained.search.pruning import Pruning, prune
from untrained.search.supernets import candidates_of, pruned_space
from untrained.seeds import torch_seeded
from untrained.spaces import SearchSpace, get_space
from untrained.training.loop import batches_of
from untrained.training.recipe import ShortRecipe

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda:0" if CUDA else "cpu")
#: The engine that a GPU takes by itself.
ENGINE = "auto" if CUDA else "batched"
#: Images of a minibatch, and architectures of a batch.
IMAGES, SIZE = (128, 64) if CUDA else (8, 2)
WHOLE = len(SPACE)

#: What a step finds, by name. It is a generator, so that what it found before it is stopped stays.
Found = Iterator[tuple[str, str]]


def wait() -> None:
    """Wait until the GPU has done everything."""
    if CUDA:
        torch.cuda.synchronize()


def seconds_of(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the median seconds of a call, after two that are not counted."""
    seconds = []
    for _ in range(2 + repeats):
        wait()
        start = time.perf_counter()
        run()
        wait()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[2:]))


def repeated(run: Callable[[], object], times: int) -> Callable[[], None]:
    """Return a call of many calls."""

    def runs() -> None:
        for _ in range(times):
            run()

    return runs


def scores(
    cells: Sequence[int],
    proxy: str = "naswot",
    *,
    space: SearchSpace = SPACE,
    images: int = IMAGES,
    device: torch.device = DEVICE,
    engine: str = ENGINE,
    precision: str = "auto",
    dataset: str = "cifar10",
    seconds: float = math.inf,
) -> tuple[list[Score], list[float]]:
    """Return the scores of architectures, and when each was there, in seconds.

    It ends early when so many `seconds` have passed.
    """
    found, times, start = list[Score](), list[float](), time.perf_counter()
    for score in scored(cells, proxy, space, images, Execution(device, engine, precision), dataset):
        found.append(score)
        times.append(time.perf_counter() - start)
        if times[-1] > seconds:
            break
    return found, times


def scored(
    cells: Sequence[int],
    proxy: str = "naswot",
    space: SearchSpace = SPACE,
    images: int = IMAGES,
    how: Execution = Execution(DEVICE, ENGINE),  # noqa: B008 - immutable
    dataset: str = "cifar10",
) -> Iterator[Score]:
    """Yield the scores of architectures."""
    readings, settings = (parse_reading(proxy),), MinibatchSettings(dataset, batch_size=images)
    request = ScoreRequest(space, readings, settings, (0,), how)
    for (score,) in score_work(request, [(cell, 0, readings) for cell in cells]):
        yield score


def seconds_each(times: Sequence[float], after: float) -> float:
    """Return the seconds of an architecture, by the batches that were complete `after` some.

    The first of these ends what is not counted: the start, and what was drawn ahead of it.

    Args:
        times: when each architecture was scored; all of a batch are when its first one is.
        after: seconds.
    """
    ends = [one for one in times[::SIZE] if one >= after]
    return (ends[-1] - ends[0]) / (SIZE * (len(ends) - 1)) if len(ends) > 1 else math.nan


def difference(found: Sequence[Score], expected: Sequence[Score]) -> str:
    """Describe how scores differ from others."""
    pairs = [
        (one.score, other.score)
        for one, other in zip(found, expected, strict=True)
        if one.score is not None and other.score is not None
    ]
    unlike = sum(one.status != other.status for one, other in zip(found, expected, strict=True))
    if not pairs:
        return f"no two scores, {unlike} of {len(found)} statuses differ"
    ours, theirs = np.array(pairs).T
    size = np.abs(ours - theirs)
    relative = (size / np.maximum(np.abs(theirs), 1e-12)).max()
    return (
        f"at most {size.max():.2g} ({relative:.1e} of the score), deviation over {len(pairs)} "
        f"cells {theirs.std():.1f}, {unlike} statuses differ"
    )


def of_whole(milliseconds: float) -> str:
    """Return the time of a cell, and of the whole space, extrapolated."""
    return f"{milliseconds:.3g} ms per cell; {milliseconds * WHOLE / 1e3:.0f} s extrapolated"


def environment() -> Found:
    """Say what is here, and whether it is counted and leased as it should be."""
    yield "PyTorch", f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}"
    yield "cores", str(len(os.sched_getaffinity(0)))
    yield "GPUs", f"{gpus_here()} by their files, {torch.cuda.device_count()} by PyTorch"
    with leased_device() as device:
        yield "leased", f"{device} of {os.environ.get('CUDA_VISIBLE_DEVICES', 'all')}"
    yield "bfloat16", str(has_bfloat16_products(DEVICE))
    yield "free shared memory", f"{shutil.disk_usage('/dev/shm').free / 1e9:.1f} GB"  # noqa: S108


def ceilings() -> Found:
    """Measure what the card can do at most."""
    size = 1 << (30 if CUDA else 22)
    source, target = (torch.zeros(size, dtype=torch.uint8, device=DEVICE) for _ in range(2))
    side = 8192 if CUDA else 256
    left, right = (torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    small, host = torch.zeros(8, device=DEVICE), torch.randn(32, 32, 3, 3)
    times = 1000 if CUDA else 10
    copied = seconds_of(lambda: target.copy_(source))
    multiplied = seconds_of(lambda: left @ right)
    launched = seconds_of(repeated(lambda: small.add_(1), times))
    read = seconds_of(repeated(lambda: small[0].item(), times))
    sent = seconds_of(repeated(lambda: host.to(DEVICE), times))
    yield "copy", f"{2 * size / copied / 1e12:.3g} TB/s"
    yield "bfloat16 product", f"{2 * side**3 / multiplied / 1e12:.3g} TFLOP/s"
    yield "launch", f"{launched / times * 1e6:.1f} microseconds"
    yield "value read back", f"{read / times * 1e6:.1f} microseconds"
    yield "weight sent", f"{sent / times * 1e6:.1f} microseconds"
    for channels, size in ((16, 32), (64, 8)):
        for networks in (1, 32 if CUDA else 2):
            shape = (IMAGES, networks * channels, size, size)
            images = torch.randn(shape, device=DEVICE, dtype=torch.bfloat16)
            kernels = torch.randn(shape[1], channels, 3, 3, device=DEVICE, dtype=torch.bfloat16)
            images, kernels = (
                one.contiguous(memory_format=torch.channels_last) for one in (images, kernels)
            )
            run = partial(torch.conv2d, images, kernels, padding=1, groups=networks)
            each = seconds_of(run) / networks
            name = f"3x3 convolution, {channels} channels, {networks} networks"
            yield name, f"{each * 1e6:.1f} microseconds for each"
    new = range(33, 41) if CUDA else range(3, 5)
    images, kernels = (
        torch.randn(*shape, device=DEVICE, dtype=torch.bfloat16)
        for shape in ((IMAGES, 16 * max(new), 8, 8), (16 * max(new), 16, 3, 3))
    )
    wait()
    start = time.perf_counter()
    for networks in new:  # for which cuDNN has to choose a kernel
        channels = 16 * networks
        torch.conv2d(images[:, :channels], kernels[:channels], padding=1, groups=networks)
    wait()
    each = (time.perf_counter() - start) / len(new)
    yield "3x3 convolution, a shape for the first time", f"{each * 1e3:.2f} ms"


def agreement() -> Found:
    """Compare the card with the processor, TF32 off."""
    wrong = 0
    shapes = [(n, f) for n in (2, 17, 128) for f in (1, 7, 63, 4096, 65536 if CUDA else 99)]
    for shape in shapes:
        bits = torch.rand(shape) > 0.3
        both = batched.common_bits(bits[None].to(DEVICE))[0].cpu().long()
        wrong += not torch.equal(both, bits.long() @ bits.long().T)
        agreed = agreements_of(bits.to(torch.int8).to(DEVICE)).cpu()
        wrong += not torch.equal(agreed, agreements_of(bits.to(torch.int8)))
    yield "products of codes", f"{wrong} of {2 * len(shapes)} differ"
    cells = random_cells(50 if CUDA else 3)
    torch.set_num_threads(8 if CUDA else 1)
    expected, _ = scores(cells, device=torch.device("cpu"), engine="fast", precision="float32")
    torch.set_num_threads(1)
    for engine, precision in (
        *((ENGINE, precision) for precision in ("float32", "bfloat16")),
        *(("fast", precision) for precision in ("float32", "bfloat16")),
        ("plain", "float32"),
    ):
        name = "many at once" if engine == ENGINE else {"fast": "plan"}.get(engine, "module")
        made, _ = scores(cells, engine=engine, precision=precision)
        yield f"naswot, {name}, {precision}", difference(made, expected)
    again, _ = scores(cells, precision="bfloat16")
    first, _ = scores(cells, precision="bfloat16")
    same = [one.score for one in again] == [one.score for one in first]
    yield "naswot, many at once, bfloat16, twice", "the same" if same else "other digits"
    for name in ("ntk_condition_number", "grad_norm", "linear_regions") if CUDA else ("grad_norm",):
        own, here = (
            scores(cells[:3], name, images=16, device=device, engine="auto", precision="float32")[0]
            for device in (DEVICE, torch.device("cpu"))
        )
        yield name, difference(own, here)


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations and kernels read and write, and the operations that do."""

    def __init__(self, kernels: Any = None) -> None:  # noqa: ANN401 - a module
        super().__init__()
        self.bytes = self.operations = 0
        self.kernels = kernels
        self.own = kernels and (kernels.summed, kernels.applied)

    def __enter__(self) -> "Traffic":
        if self.own:
            self.kernels.summed, self.kernels.applied = self.summed, self.applied
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401 - Python's own
        super().__exit__(*error)
        if self.own:
            self.kernels.summed, self.kernels.applied = self.own

    def summed(self, terms: Any, *wanted: bool) -> Any:  # noqa: ANN401 - see `gpu_kernels`
        """Count what adding terms moves: each is read once, and what is wanted written once."""
        made = self.own[0](terms, *wanted)
        read = [buffer[0] for own in terms for buffer, *_ in own]
        self.bytes += sum(one.nbytes for one in (*read, *made) if one is not None)
        self.operations += 1
        return made

    def applied(self, operation: Any, x: Tensor, *given: Any) -> Any:  # noqa: ANN401
        """Count what an operation moves: its source is read once, its result written once."""
        found = self.own[1](operation, x, *given)
        if found is not None:
            made = found[0]
            self.bytes += made.nbytes + len(made) * x[0].nbytes
            self.operations += 2  # and the one that joins moments
        return found

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - PyTorch's own
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        if not func.is_view:
            name = func.overloadpacket.__name__
            # what gathers or scatters reads no more than it moves
            moved = {"index_select": 2 * (made,), "index_add_": 3 * tuple(args[3:4])}
            read = moved.get(name, (args, kwargs, made))
            if name.startswith(("empty", "_unsafe_view")):
                read = ()
            tensors = [one for one in tree_leaves(read) if isinstance(one, Tensor)]
            self.bytes += sum(one.numel() * one.element_size() for one in tensors)
            self.operations += 1
        return made


def speed() -> Found:
    """Time cells many at once, one at a time, and by the plain procedure."""
    start = time.perf_counter()
    scores(random_cells(SIZE, seed=2))
    compiled = time.perf_counter() - start
    yield (
        "the first batch of all, with compiling kernels where they are not stored",
        f"{compiled:.1f} s",
    )
    many = random_cells(WHOLE if CUDA else 10 * SIZE, seed=1)
    _, times = scores(many, seconds=45)
    own = 1e3 * seconds_each(times, times[-1] / 2)
    first = f"the first batch after {times[0]:.1f} s"
    yield "many at once, with drawing", f"{len(times)} cells in {times[-1]:.1f} s, {first}"
    yield "many at once, the later half of these seconds", of_whole(own)
    images = MinibatchSettings(batch_size=IMAGES).draw(0, DEVICE).images
    seconds = []
    few = many[: 24 if CUDA else 2]
    for cell in few[: 10 if CUDA else 2]:
        start = time.perf_counter()
        with torch_seeded(0, "weights", cell), exact_float32():
            plain_score(SPACE.network(SPACE[cell], 10).to(DEVICE).train(), images)
        seconds.append(time.perf_counter() - start)
    plain = 1e3 * float(np.mean(seconds[1:]))
    yield "plain published procedure", of_whole(plain)
    per_cell = 1e3 * times[-1] / len(times)
    yield "plain / many at once, all its seconds counted", f"{plain / per_cell:.1f}"
    with torch_seeded(0, "weights", 0):
        networks = [draw(SPACE.graph(SPACE[cell], 10)) for cell in random_cells(SIZE, seed=2)]
    shown = images.to(Execution(DEVICE).dtype(planned=True))
    batch = batched.prepared(networks, (3, 32, 32), [False] * SIZE, shown.dtype)
    with Traffic(batched.kernels_for(shown)) as traffic:
        batched.run(batch, shown)
    took = seconds_of(lambda: batched.run(batch, shown), 3)
    yield f"{SIZE} cells without drawing", of_whole(1e3 * took / SIZE)
    yield "operations per cell", f"{traffic.operations / SIZE:.0f}"
    moved = f"{traffic.bytes / SIZE / 1e6:.0f} MB per cell"
    yield "memory traffic", f"{moved}, {traffic.bytes / took / 1e12:.3g} TB/s (compare the copy)"
    if CUDA:
        yield "largest memory", f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
    scores(few[:2], engine="fast")
    alone = 1e3 * scores(few, engine="fast")[1][-1] / len(few)
    yield "one at a time", of_whole(alone)


def gradients() -> Found:
    """Compare and time proxies that differentiate networks, many at once and one at a time."""
    # so few that no other processes are started to draw them
    many, few = random_cells(3 * SIZE, seed=7), random_cells(5 if CUDA else 2, seed=8)
    for proxy, images in (
        ("grad_norm", 32), ("synflow", 32), ("jacobian_covariance", 32), ("zico", 64),
        ("ntk_condition_number-weights_train", 16), ("ntk_condition_number", 32),
        ("grad_norm", 128), ("grasp", 32), ("linear_regions", 32),
    ):  # fmt: skip
        shown = images if CUDA else 4
        settings = MinibatchSettings(batch_size=shown)
        name = f"{proxy}, {images} images"
        made, _ = scores(few, proxy, images=shown)
        scores(few[:1], proxy, images=shown, engine="plain")
        alone, seconds = scores(few, proxy, images=shown, engine="plain", seconds=2)
        yield f"{name}, difference", difference(made[: len(alone)], alone)
        yield f"{name}, one at a time", f"{1e3 * seconds[-1] / len(seconds):.3g} ms per cell"
        _, times = scores(many, proxy, images=shown, seconds=2.5)
        # the first batch tells cuDNN shapes that it has not seen
        each = (times[-1] - times[0]) / max(1, len(times) - SIZE // 2)
        found = f"{1e3 * each:.3g} ms per cell, {len(times)} cells"
        yield f"{name}, many at once, drawn by this process", found
        reading, part = parse_reading(proxy), many[: SIZE // 2]
        if not measures_many(reading.proxy):
            continue
        skeleton, drawn = reading.setting.skeleton, []
        for cell in part:
            with torch_seeded(0, "weights", cell):
                drawn.append(draw(SPACE.graph(SPACE[cell], 10, skeleton), whole=True))
        batch = batched.prepared(drawn, (3, 32, 32), [False] * len(part), logits=True)
        networks = Networks(batch, DEVICE)
        minibatch = settings.draw_for(reading.setting, 0, DEVICE)
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        with exact_float32():
            took = seconds_of(partial(reading.proxy.measure_many, networks, minibatch), 1)
        memory = f", {torch.cuda.max_memory_allocated() / 1e9:.1f} GB at most" if CUDA else ""
        found = f"{1e3 * took / len(part):.3g} ms per cell{memory}"
        yield f"{name}, {len(part)} at once, measurement alone", found


def one_of_several(place: int, number: int) -> None:
    """Score cells when told to, as one of several processes on a card, with its share of cores."""
    if CUDA:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[place::number])
    start_up, counted = (2, 5) if CUDA else (0, 0.5)
    made = scored(random_cells(WHOLE, seed=4))
    next(made)  # starts what draws ahead
    print("ready", flush=True)
    if not sys.stdin.readline():
        return  # the step has ended
    begun, times = time.perf_counter(), [0.0]
    for _ in made:
        times.append(time.perf_counter() - begun)
        if times[-1] > start_up + counted:
            break
    print(1 / seconds_each(times, start_up), flush=True)


def processes() -> Found:
    """Time 1, 4 and 8 processes on one card."""
    for number in (1, 4, 8) if CUDA else (1, 2):
        command = [sys.executable, "-m", "benchmarks.gpu", "--as-one"]
        own = [
            subprocess.Popen(
                [*command, str(place), str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for place in range(number)
        ]
        try:
            for one in own:
                line_of(one)
            for one in own:
                print(file=one.stdin, flush=True)
            rate = sum(float(line_of(one)) for one in own)
            cells_a_second = f"{rate:.1f} cells per second; {WHOLE / rate:.0f} s extrapolated"
            yield f"{number} processes", cells_a_second
        finally:
            for one in own:
                one.kill()
                one.wait()


def line_of(process: "subprocess.Popen[str]") -> str:
    """Return the next line of a process, or raise RuntimeError where it has ended."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError("a process ended without an answer")
    return line


def pruning() -> Found:
    """Time the pruning search on NAS-Bench-201, and measurements of the supernet of DARTS."""
    for name, count in (("nasbench201", 3), ("darts", 4)) if CUDA else (("nasbench201", 1),):
        space = pruned_space(name)
        settings = Pruning(repeats=1, batch_size=None if CUDA else 2, device=str(DEVICE))
        drawn, mask = Draw(space, settings, 0, (0, 0)), space.full_mask()
        masks = [candidate.without(mask) for candidate in candidates_of(mask)[:count]]
        drawn.numbers(mask)
        wait()
        start = time.perf_counter()
        for one in masks:
            drawn.numbers(one)
        each = (time.perf_counter() - start) / count
        yield f"{name}, a candidate", f"{each:.2f} s"
        masks = [candidate.without(mask) for candidate in candidates_of(mask)]
        masks = masks[: TOGETHER if CUDA else 2]
        numbers = drawn.numbers_of_many(masks)
        wait()
        start = time.perf_counter()
        drawn.numbers_of_many(masks)
        wait()
        each = (time.perf_counter() - start) / len(masks)
        yield f"{name}, a candidate of {len(masks)} at once", f"{1e3 * each:.3g} ms"
        pairs = [(one, drawn.numbers(mask)) for one, mask in zip(numbers, masks[:3], strict=False)]
        kappa = max(abs(own.kappa / alone.kappa - 1) for own, alone in pairs)
        regions = max(abs(own.regions - alone.regions) for own, alone in pairs)
        found = f"kappa by at most {kappa:.1e} of it, regions by at most {regions:.0f}"
        yield f"{name}, many at once and alone differ", found
    if CUDA:
        start = time.perf_counter()
        made = prune("nasbench201", Pruning(repeats=1, device=str(DEVICE)), 0, workers=1)
        spent = time.perf_counter() - start
        yield "NAS-Bench-201, one draw per round", f"{spent:.1f} s: {made.architecture.spelling}"


def spaces() -> Found:
    """Compare and time architectures of other spaces, many at once."""
    for name in ("natsbench_size", "nasbench101", "darts") if CUDA else ("natsbench_size",):
        space, images = get_space(name), 32 if CUDA else 4
        chosen = random_cells(SIZE, seed=6, space=space)
        torch.set_num_threads(8 if CUDA else 1)
        cpu, few = torch.device("cpu"), chosen[:3]
        expected, _ = scores(
            few, space=space, images=images, device=cpu, engine="fast", precision="float32"
        )
        torch.set_num_threads(1)
        made, _ = scores(few, space=space, images=images, precision="float32")
        yield f"{name}, float32, {images} images", difference(made, expected)
        scores(chosen, space=space, images=IMAGES)
        _, times = scores(chosen, space=space, images=IMAGES)
        each = 1e3 * times[-1] / len(chosen)
        yield f"{name}, {IMAGES} images, with drawing here", f"{each:.3g} ms"


def training() -> Found:
    """Time steps of short trainings, one at a time and many at once, for `lga@1` on 20,000 images.

    The images are those of the sample, over and over; preparing them counts.
    """
    sample = MinibatchSettings(batch_size=16).training_images(0)
    again = -(-20_000 // len(sample.labels)) if CUDA else 1
    lesson = replace(
        sample,
        images=np.concatenate([sample.images] * again),
        labels=np.concatenate([sample.labels] * again),
        recipe=ShortRecipe() if CUDA else ShortRecipe(batch_size=8),
    )
    size = lesson.recipe.batch_size_for(len(lesson.labels))
    steps = len(batches_of(len(lesson.labels), size, 0, 0))
    stops, counted = ((2 / steps, 6 / steps), 4) if CUDA else ((1 / steps, 2 / steps), 1)
    cells, how = random_cells(32 if CUDA else 2, seed=9), Execution(DEVICE)
    few = cells[:2] if CUDA else cells[:1]
    scores(few[:1], "lga", images=16 if CUDA else 4, engine="plain")
    _, seconds = scores(few, "lga", images=16 if CUDA else 4, engine="plain")
    reading = seconds[-1] / len(few)
    yield "reading `lga` off a network, 16 images", f"{reading:.2f} s"
    for number in (1, 4, 16, 32) if CUDA else (1, 2):
        networks = []
        for cell in cells[:number]:
            with torch_seeded(0, "weights", cell):
                networks.append(cast("GraphModule", SPACE.network(SPACE[cell], 10)))
        if CUDA:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        name = f"training, {number} at once, {size} images a step"
        try:
            if number == 1:
                alone = networks[0].to(DEVICE)
                took = [one.seconds for one in lesson.train(alone, stops, 0, how)]
            else:
                together = Together(networks, (3, 32, 32), DEVICE)
                found = list(lesson.train_together(together, stops, 0, how))
                took = [sum(one.seconds for one in own) for own in found]  # type: ignore[union-attr]
        except torch.OutOfMemoryError:
            yield name, "out of memory"
            return
        step = (took[1] - took[0]) / counted / number
        memory = f", {torch.cuda.max_memory_allocated() / 1e9:.1f} GB at most" if CUDA else ""
        each = 20_000 / size * step + reading
        whole = f"1,000 cells of `lga@1` on 20,000 images {1000 * each / 60:.0f} min extrapolated"
        yield name, f"{1e3 * step:.3g} ms per cell{memory}; {whole}, in one process"


def randomness_and_memory() -> Found:
    """Check that dropout depends on the seed alone, and score with too little memory."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8 * 900, 10),
        nn.ReLU(),
    )  # fmt: skip
    reading, settings = parse_reading("grad_norm"), MinibatchSettings(batch_size=8)
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        subject = Subject(
            lambda _classes: network, Execution(DEVICE), 0, lambda _: settings.draw(0, DEVICE)
        )
        made.append(subject.scores([reading])[0].score)
    yield "dropout, three times", "the same" if len(set(made)) == 1 else f"differs: {made}"
    if not CUDA:
        return
    cells = random_cells(32, seed=5)
    whole, _ = scores(cells, precision="float32")
    total = torch.cuda.get_device_properties(0).total_memory
    for megabytes in (4000, 1000, 250, 150):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(megabytes * 2**20 / total)
        made_here, _ = scores(cells, precision="float32")
        lost = sum(one.status == "out_of_memory" for one in made_here)
        others = difference(made_here, whole) if lost < len(cells) else "none"
        yield f"{megabytes} MB", f"{lost} of {len(cells)} out of memory; others: {others}"


#: The most seconds of all steps.
MOST = 420
#: The steps, and the most seconds of each; together they leave some to start.
STEPS: dict[str, tuple[Callable[[], Found], int]] = {
    "environment": (environment, 15),
    "ceilings": (ceilings, 25),
    "agreement": (agreement, 50),
    "speed": (speed, 70),
    "gradients": (gradients, 60),
    "pruning": (pruning, 40),
    "processes": (processes, 55),
    "spaces": (spaces, 30),
    "training": (training, 40),
    "randomness and memory": (randomness_and_memory, 30),
}


def run_step(name: str, seconds: float) -> dict[str, str]:
    """Run a step in a process of its own, and say what happened where it does not end well."""
    with tempfile.TemporaryDirectory() as folder:
        result, said = Path(folder, "found.json"), Path(folder, "said.txt")
        command = [sys.executable, "-m", "benchmarks.gpu", "--only", name, "--out", str(result)]
        ended = ""
        # a session of its own, so that all that it has started can be ended with it; a file, since
        # what outlives a crashed step would keep a pipe open
        with (
            said.open("wb") as errors,
            subprocess.Popen(
                command, stdout=sys.stderr, stderr=errors, start_new_session=True
            ) as step,
        ):
            try:
                step.wait(seconds)
            except subprocess.TimeoutExpired:
                ended = f"stopped after {seconds:.3g} s"
            finally:
                with suppress(ProcessLookupError):  # nothing is left of it
                    os.killpg(step.pid, signal.SIGKILL)
        if step.returncode and not ended:
            lines = said.read_text(errors="replace").strip().splitlines()
            last = (lines or ["nothing said"])[-1]
            ended = f"failed with code {step.returncode}: {last[:200]}"
        found: dict[str, str] = json.loads(result.read_text()) if result.is_file() else {}
    return found | ({"": ended} if ended else {})


def write_step(name: str, out: Path) -> None:
    """Run a step here, and write what it has found each time that it finds something."""
    found = {}
    for quantity, text in STEPS[name][0]():
        found[quantity] = text
        with atomic(out) as part:
            part.write_text(json.dumps(found))


def report(found: dict[str, dict[str, str]]) -> str:
    """Return the table as Markdown."""
    where = torch.cuda.get_device_name(0) if CUDA else "no card: reduced form on the processor"
    lines = [
        f"{where}; {machine()}. NASWOT on NAS-Bench-201, CIFAR-10 sample, {IMAGES} images, "
        "TF32 off; other proxies at 16 images, or as many as is said. Each step ran in a process "
        "of its own.",
        "",
        "| step | quantity | found |",
        "|---|---|---|",
    ]
    lines += [
        f"| {step} | {name} | {text} |" for step, own in found.items() for name, text in own.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write where there is a card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=MOST, help="most seconds of all steps")
    parser.add_argument("--limit", type=float, default=90, help="most seconds of any step")
    parser.add_argument("--step", action="append", choices=STEPS, help="steps; default: all")
    parser.add_argument("--only", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--as-one", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    batches.SIZE = SIZE
    if arguments.only or arguments.as_one:
        prepare_worker()
    if arguments.as_one:
        one_of_several(*arguments.as_one)
        return
    if arguments.only:
        write_step(arguments.only, arguments.out)
        return
    end, found = time.monotonic() + arguments.seconds, {}
    for name in arguments.step or STEPS:
        left = end - time.monotonic()
        found[name] = (
            run_step(name, min(STEPS[name][1], arguments.limit, left))
            if left > 5
            else {"": "no time left"}
        )
        print(name, json.dumps(found[name]), file=sys.stderr, flush=True)
    if CUDA:
        write_section("gpu", report(found))
    else:
        print(report(found))


if __name__ == "__main__":
    main()
