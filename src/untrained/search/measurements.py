"""The measurements of the pruning search: two numbers of supernets under masks.

The numbers are the condition number kappa of the tangent kernel and the number R of linear
regions; see docs/tenas.md.
"""

import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from untrained.errors import summary
from untrained.float32 import exact_float32
from untrained.search.supernets import PrunedSpace, pruned_space
from untrained.seeds import seed_sequence

if TYPE_CHECKING:
    from torch import Tensor

    from untrained.networks.plans import PlannedNetwork
    from untrained.networks.supernets import Mask, Supernet
    from untrained.search.pruning import Pruning

#: Random crops whose activation patterns are counted, as in the released code.
CROPS = 3000

#: Supernets that are measured at once on a GPU.
TOGETHER = 32

Values = NDArray[np.float64]


class Numbers(NamedTuple):
    """The two numbers of a supernet under a mask.

    Attributes:
        kappa: condition number of the tangent kernel; NaN if undefined or not measured.
        regions: number of linear regions; NaN if not measured.
    """

    kappa: float
    regions: float


class Draw:
    """The weights and images of one repeat of one round, the same for all its candidates.

    Args:
        space: the space that is searched.
        settings: settings of the search.
        seed: seed of the search.
        keys: round and repeat, counted from 0.
    """

    def __init__(
        self, space: PrunedSpace, settings: "Pruning", seed: int, keys: tuple[int, int]
    ) -> None:
        from untrained.images.minibatches import minibatch, random_crops
        from untrained.seeds import torch_seeded

        own = int(seed_sequence(seed, "pruning images", *keys).generate_state(1)[0])
        drawn = minibatch(
            settings.dataset,
            settings.split,
            own,
            settings.images(space),
            "crop-flip" if settings.released else "none",
            root=settings.root,
        )
        weights = () if settings.released else keys
        whole, thin = space.skeletons
        with torch_seeded(seed, "pruning weights", *weights):
            self.network = space.supernet(drawn.num_classes, whole).to(settings.device)
            self.thin = space.supernet(drawn.num_classes, thin).to(settings.device)
        crops = random_crops(drawn, (1, 3, 3), CROPS, own).images
        self.images: Tensor = drawn.images.to(settings.device)
        self.crops: Tensor = crops.to(settings.device)

    @exact_float32()
    def numbers(self, mask: "Mask", *, kappa: bool = True, regions: bool = True) -> Numbers:
        """Measure the supernets under a mask; a number that is not requested is NaN."""
        from untrained.proxies.linear_regions import activation_patterns, count_distinct

        self.network.mask = self.thin.mask = mask
        return Numbers(
            self._kappa() if kappa else np.nan,
            count_distinct(activation_patterns(self.thin, self.crops)) if regions else np.nan,
        )

    def _kappa(self) -> float:
        from untrained.proxies.tangent_kernels import tangent_kernel

        return _condition_number(tangent_kernel(self.network, self.images))

    @exact_float32()
    def numbers_of_many(
        self, masks: "Sequence[Mask]", *, kappa: bool = True, regions: bool = True
    ) -> list[Numbers]:
        """Measure the supernets under many masks at once, as `numbers` measures each."""
        from untrained.networks.batched import prepared
        from untrained.networks.batched_gradients import Networks
        from untrained.proxies.base import UndefinedScore
        from untrained.proxies.linear_regions import count_distinct, patterns_of_many
        from untrained.proxies.tangent_kernels import tangent_kernels_of_many

        found = np.full((2, len(masks)), np.nan)
        if kappa:
            networks = _under(self.network, masks)
            batch = prepared(networks, _shape(self.images), [False] * len(masks), logits=True)
            kernels = tangent_kernels_of_many(Networks(batch, self.images.device), self.images)
            found[0] = [_condition_number(kernel) for kernel in kernels]
        if regions:
            networks = _under(self.thin, masks)
            batch = prepared(networks, _shape(self.crops), [True] * len(masks))
            found[1] = [
                np.nan if isinstance(one, UndefinedScore) else count_distinct(one)
                for one in patterns_of_many(batch, self.crops)
            ]
        return [Numbers(*map(float, pair)) for pair in found.T]


def _condition_number(kernel: "Tensor") -> float:
    from untrained.proxies.base import UndefinedScore
    from untrained.proxies.ntk import condition_number

    try:
        return condition_number(kernel.numpy())
    except UndefinedScore:
        return np.nan  # the trace counts it


def _under(supernet: "Supernet", masks: "Sequence[Mask]") -> "list[PlannedNetwork]":
    """Return a supernet under each of some masks, with its weights on the CPU."""
    import torch

    from untrained.networks.plans import weights_of
    from untrained.networks.supernets import masked

    own = weights_of(supernet, whole=True)
    weights = [one.to(torch.device("cpu"), torch.float32) for one in own]
    return [masked(supernet, weights, mask) for mask in masks]


def _shape(images: "Tensor") -> tuple[int, int, int]:
    channels, height, width = images.shape[1:]
    return channels, height, width


#: The work of `measure`: its arguments.
Job = tuple[str, "Pruning", int, tuple[int, int], "Mask", tuple[bool, bool]]


def measured_together(_measure: object, *columns: Sequence[Any]) -> Iterator[Numbers]:
    """Map `measure` over columns of its arguments, `TOGETHER` supernets of a repeat at once.

    Where that fails, such as for want of memory, they are measured one at a time.
    """
    jobs: list[Job] = list(zip(*columns, strict=True))
    for common, alike in groupby(jobs, lambda job: (*job[:4], job[5])):
        *of_draw, (kappa, regions) = common
        masks = [job[4] for job in alike]
        for start in range(0, len(masks), TOGETHER):
            some = masks[start : start + TOGETHER]
            draw = _draw(*of_draw)
            try:
                made = draw.numbers_of_many(some, kappa=kappa, regions=regions)
            except (RuntimeError, MemoryError) as error:
                warnings.warn(f"measuring one supernet at a time: {summary(error)}", stacklevel=2)
                made = None
            yield from made or (draw.numbers(one, kappa=kappa, regions=regions) for one in some)


def measure(
    space: str,
    settings: "Pruning",
    seed: int,
    keys: tuple[int, int],
    mask: "Mask",
    reads: tuple[bool, bool] = (True, True),
) -> Numbers:
    """Measure the supernets of a repeat under a mask, in any process.

    Args:
        space: name of the space.
        settings: settings of the search.
        seed: seed of the search.
        keys: round and repeat, counted from 0.
        mask: the live operations.
        reads: whether kappa is measured, and whether the regions are counted.
    """
    kappa, regions = reads
    return _draw(space, settings, seed, keys).numbers(mask, kappa=kappa, regions=regions)


@lru_cache(maxsize=1)
def _draw(space: str, settings: "Pruning", seed: int, keys: tuple[int, int]) -> Draw:
    return Draw(pruned_space(space), settings, seed, keys)


def relative_changes(numbers: Values, *, released: bool) -> tuple[Values, NDArray[np.int64]]:
    """Return the relative changes of both numbers by pruning each of n candidates.

    A change is (before - after) / before.

    Args:
        numbers: (repeats, 1 + n, 2), those of the unpruned supernet first.
        released: whether each change is rounded to three decimals, as in the authors' code.

    Returns:
        The means (n, 2) over the repeats with a number before and after pruning, NaN without any,
        and the number of repeats (n,) of the mean of kappa.
    """
    before, after = numbers[:, :1], numbers[:, 1:]
    changes = (before - after) / before
    if released:
        changes = changes.round(3)
    return mean_of_finite(changes), np.isfinite(changes[..., 0]).sum(axis=0)


def mean_of_finite(values: Values) -> Values:
    """Return the means of the finite values over the first axis, NaN without any."""
    known = np.isfinite(values)
    counts = known.sum(axis=0)
    sums = np.where(known, values, 0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
