"""Runs many networks at once: equal operations of different networks are one launch.

A GPU takes longer to launch an operation on a thin network than to compute it. So the nodes of many
plans (`untrained.networks.plans`) are executed together: in each step all nodes that are complete
and have one shape. Their sums, rectifiers and codes are one pass each. Of the edges that read them,
all with the same operations are one grouped convolution, or one pass of another kind, whatever
networks they are of, and whichever edge of these. Nothing here knows a space.

The steps follow from the graphs alone, so `prepared` finds them before anything is computed, in any
process, and stores all weights and indices in two tensors. `run` sends both to the device and never
waits for it. Activations are (slots, N, H, W, C), where a slot is a node or a term of some network.
On a GPU with Triton, sums, convolutions and pooling are `untrained.networks.gpu_kernels`;
everything else, and everything where these cannot be used, is PyTorch's.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained.compiled import EPSILON
from untrained.networks import sums
from untrained.networks.graph import (
    Convolution,
    Edge,
    Linear,
    Operation,
    Weighted,
)
from untrained.networks.plans import (
    PlannedNetwork,
    applied,
    convolutions_of,
    function_of,
    nodes_of,
    without_first_pixels,
)

if TYPE_CHECKING:
    from types import ModuleType

#: Channels, height and width.
Shape = tuple[int, int, int]

#: Products of codes are summed in float32, which counts exactly up to this number.
_COUNTED = 2**24


class Span(NamedTuple):
    """A part of the indices of a batch."""

    start: int
    stop: int


class Codes(NamedTuple):
    """Nodes of a step whose codes are compared.

    Attributes:
        slots: the nodes; None for all of them in order.
        rows: for each network and node the number of the node among `slots`.
        owners: for each of these the network.
        counts: for each of these the numbers of rectifiers and of modules, one after the other.
    """

    slots: Span | None
    rows: Span
    owners: Span
    counts: Span


class Gathered(NamedTuple):
    """Slots of a buffer that are terms of nodes of a step, at most one of each node.

    Attributes:
        buffer: the buffer.
        slots: the slots; None for all of them in order.
        rows: the nodes; None for all of them in order.
    """

    buffer: int
    slots: Span | None
    rows: Span | None


class Made(NamedTuple):
    """Terms that are made by the same operations, a slot for each.

    Attributes:
        buffer: the buffer that they become.
        channels: their channels.
        rectified: whether they read the rectified nodes of the step.
        slots: the nodes that are read; None for all of them in order.
        operations: the operations.
        kernels: for each kernel the places of its numbers in the weights and its shape.
        normalised: whether each is normalised.
        learned: places of the normalisations' scales and shifts, if there are any.
        owners: the network of each.
        classify: whether they are the logits.
    """

    buffer: int
    channels: int
    rectified: bool
    slots: Span | None
    operations: tuple[Operation, ...]
    kernels: tuple[tuple[int, tuple[int, ...]], ...]
    normalised: bool
    learned: tuple[int | None, int | None]
    owners: Span
    classify: bool


class Step(NamedTuple):
    """The execution of nodes of one shape.

    Attributes:
        terms: of each node its terms in order, each a buffer and a slot of it.
        gathered: the same by buffers, if the networks end at their logits: all of them where they
            are added, and those of each place where they are concatenated.
        concatenated: whether terms are concatenated as channels instead of added.
        value: the buffer that their values become.
        rectified: the buffer that their rectified values become.
        reads: whether anything reads the values, and the rectified values.
        codes: the nodes whose codes are compared, or whose values are the logits, if there are any.
        made: the terms that their edges make.
        last: the buffers that nothing reads afterwards.
    """

    terms: tuple[tuple[tuple[int, int], ...], ...]
    gathered: tuple[tuple[Gathered, ...], ...]
    concatenated: bool
    value: int
    rectified: int
    reads: tuple[bool, bool]
    codes: Codes | None
    made: tuple[Made, ...]
    last: tuple[int, ...]


class Batch(NamedTuple):
    """Networks that are ready to run together.

    Attributes:
        networks: their number.
        steps: what is executed.
        weights: (w,), the weights of all networks in the order in which they are read, of the type
            of products.
        learned: (l,), the scales and shifts of normalisations.
        indices: (i,) int64, what the spans are parts of.
        units: of each network the units that its rectifiers read, then those that its modules do.
        counted: for each network whether any rectifier counts, and any module named after ReLU.
    """

    networks: int
    steps: tuple[Step, ...]
    weights: Tensor
    learned: Tensor
    indices: Tensor
    units: Span
    counted: tuple[tuple[bool, bool], ...]


class Kernels(NamedTuple):
    """The kernels of the codes of several networks.

    Attributes:
        kernels: (B, N, N) float64, exact integers: on how many units each two images agree.
        finite: (B,) bool, whether the activations are finite.
        counted: whether any rectifier of the network counts.
    """

    kernels: Tensor
    finite: Tensor
    counted: tuple[bool, ...]


class Agreements(NamedTuple):
    """What `run` finds.

    Attributes:
        rectifiers: the kernels of all rectifiers between input and output, each counted once.
        modules: the kernels of all modules named after ReLU.
    """

    rectifiers: Kernels
    modules: Kernels


@dataclass(frozen=True, eq=False)
class _Apply:
    """The function of an edge, which says what it consists of."""

    edge: Edge
    kernels: Sequence[Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Map (n, C, H, W) to a term."""
        return applied(self.edge, self.kernels)(x)


def _parts_of(edge: sums.Edge) -> tuple[tuple[Operation, ...], Sequence[Tensor]]:
    """Return the operations and the kernels of an edge; none where the plan splits a long sum."""
    own = edge.apply
    return (own.edge.operations, own.kernels) if isinstance(own, _Apply) else ((), ())


class _Term(NamedTuple):
    """A term of a node: its place among the node's terms, and where it is."""

    order: tuple[int, int]
    buffer: int
    slot: int


class _Reader(NamedTuple):
    """An edge that reads a node: slot, network and number of the node, and the edge's number."""

    slot: int
    owner: int
    node: int
    number: int
    edge: sums.Edge

    @property
    def operations(self) -> tuple[Operation, ...]:
        return _parts_of(self.edge)[0]

    @property
    def kernels(self) -> Sequence[Tensor]:
        return _parts_of(self.edge)[1]


@dataclass
class _Network:
    """The nodes of a network, their shapes, how many terms they wait for, and those that exist."""

    nodes: list[sums.Node]
    dead_branches: bool
    shapes: list[Shape]
    missing: list[int]
    terms: list[list[_Term]]

    def counts(self, node: int) -> bool:
        """Return whether the codes of a node count."""
        own = self.nodes[node]
        return (own.modules if self.dead_branches else own.rectifiers) > 0


def _network(
    network: PlannedNetwork, images: Shape, *, dead_branches: bool, logits: bool
) -> _Network:
    how = {"dead_branches": dead_branches, "logits": logits}
    nodes = nodes_of(network, **how, applied=_Apply)
    shapes: list[Shape] = [images] * len(nodes)
    missing = [0] * len(nodes)
    for node, shape in zip(nodes, shapes, strict=True):
        for edge in node.edges:
            made: tuple[int, ...] = shape
            for operation in _parts_of(edge)[0]:
                made = operation.shape(made)
            channels, height, width = (*made, 1, 1)[:3]
            if nodes[edge.target].concatenated and missing[edge.target]:
                channels += shapes[edge.target][0]
            shapes[edge.target] = channels, height, width
            missing[edge.target] += 1
    return _Network(nodes, dead_branches, shapes, missing, [[] for _ in nodes])


def prepared(
    networks: Sequence[PlannedNetwork],
    images: Shape,
    dead_branches: Sequence[bool],
    dtype: torch.dtype | None = None,
    *,
    logits: bool = False,
) -> Batch:
    """Find the steps of some networks, and put their weights in order.

    Args:
        networks: the networks.
        images: the shape (C, H, W) of the images.
        dead_branches: for each network whether rectifiers count that are on no path from the images
            to the logits; see `plans.Planned`.
        dtype: the type of products; that of the weights if None.
        logits: whether the networks are executed as far as their logits, each from images of its
            own, with all that has a part in gradients; see `batched_gradients`.
    """
    return _Scheduler(networks, images, dead_branches, dtype, logits=logits).batch()


class _Numbers:
    """Tensors one after the other, of a type or as they are."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype, self.pieces, self.length = dtype, list[Tensor](), 0

    def stored(self, tensors: Sequence[Tensor]) -> int:
        """Store tensors, and return where the first one begins."""
        start = self.length
        self.pieces += [one.detach().flatten().to(self.dtype or one.dtype) for one in tensors]
        self.length += sum(one.numel() for one in tensors)
        return start

    def joined(self) -> Tensor:
        """Return all of them, (numbers,)."""
        return torch.cat(self.pieces) if self.pieces else torch.empty(0, dtype=self.dtype)


class _Scheduler:
    """Finds the steps of a batch; see `prepared`."""

    def __init__(
        self,
        networks: Sequence[PlannedNetwork],
        images: Shape,
        dead_branches: Sequence[bool],
        dtype: torch.dtype | None,
        *,
        logits: bool,
    ) -> None:
        self.images, self.logits = images, logits
        self.networks = [
            _network(network, images, dead_branches=dead and not logits, logits=logits)
            for network, dead in zip(networks, dead_branches, strict=True)
        ]
        self.steps: list[Step] = []
        self.indices: list[int] = []
        self.weights = _Numbers(dtype)
        self.learned = _Numbers(None)
        self.units = np.zeros((2, len(networks)), np.int64)
        self.slots: list[int] = []  # of each buffer
        self.channels: list[int] = []  # of each buffer
        self.used: dict[int, int] = {}  # buffer to the last step that reads it
        # complete nodes (network, node) by shape and the channels that they concatenate
        self.ready: dict[tuple[Shape, tuple[int, ...]], list[tuple[int, int]]] = defaultdict(list)

    def batch(self) -> Batch:
        """Execute the networks without numbers."""
        begun = [(number, 0) for number, network in enumerate(self.networks) if network.nodes]
        if begun:
            # all read the same images, in one slot unless gradients by them are taken
            slots = len(begun) if self.logits else 1
            images = self._buffer(slots, self.images[0])
            shown = [[_Term((0, 0), images, slot)] for slot in range(slots)]
            self._step(begun, shown, (), self.images[0])
        while self.ready:
            # larger images first: what is made of them then waits for all others of its shape
            key = max(self.ready, key=lambda one: (one[0][1] * one[0][2], len(self.ready[one])))
            nodes = self.ready.pop(key)
            terms = [sorted(self.networks[owner].terms[node]) for owner, node in nodes]
            self._step(nodes, terms, key[1], key[0][0])
        last = defaultdict(list)
        for buffer, place in self.used.items():
            last[place].append(buffer)
        units = self._span(self.units.flatten().tolist())
        return Batch(
            len(self.networks),
            tuple(one._replace(last=tuple(last[place])) for place, one in enumerate(self.steps)),
            self.weights.joined(),
            self.learned.joined(),
            torch.tensor(self.indices, dtype=torch.int64),
            units,
            tuple(
                (any(n.rectifiers for n in one.nodes), any(n.modules for n in one.nodes))
                for one in self.networks
            ),
        )

    def _buffer(self, slots: int, channels: int) -> int:
        self.slots.append(slots)
        self.channels.append(channels)
        return len(self.slots) - 1

    def _span(self, values: Iterable[int]) -> Span:
        start = len(self.indices)
        self.indices += values
        return Span(start, len(self.indices))

    def _chosen(self, slots: list[int], of: int) -> Span | None:
        return None if slots == list(range(of)) else self._span(slots)

    def _step(
        self,
        nodes: list[tuple[int, int]],
        terms: list[list[_Term]],
        concatenated: tuple[int, ...],
        channels: int,
    ) -> None:
        """Add a step of nodes (network, number), which have the images in common or nothing.

        Args:
            nodes: the nodes.
            terms: the terms of each node; one list where all nodes are the images.
            concatenated: the channels of the terms if they are concatenated.
            channels: the channels of the nodes.
        """
        place, count = len(self.steps), len(terms)
        self.used |= {term.buffer: place for own in terms for term in own}
        kept = self._buffer(count, channels), self._buffer(count, channels)
        self.used |= dict.fromkeys(kept, place)
        buckets: dict[Hashable, list[_Reader]] = defaultdict(list)
        reads = [False, False]
        for row, (owner, node) in enumerate(nodes):
            slot = row if count == len(nodes) else 0
            for number, edge in enumerate(self.networks[owner].nodes[node].edges):
                reader = _Reader(slot, owner, node, number, edge)
                reads[edge.rectified] = True
                operations = reader.operations
                if not (operations or edge.normalised):
                    self._arrived(reader, kept[edge.rectified], slot)
                    continue
                learned = edge.scale is not None, edge.shift is not None
                classify = self.logits and self.networks[owner].counts(edge.target)
                key = operations, edge.rectified, edge.normalised, learned, classify
                buckets[key].append(reader)
        made = tuple(self._made(readers, count) for readers in buckets.values())
        codes = self._codes(nodes, count)
        read = tuple(tuple((term.buffer, term.slot) for term in own) for own in terms)
        joined = bool(concatenated)
        gathered = self._gathered(terms, joined=joined) if self.logits else ()
        read_kinds = reads[0], reads[1]
        self.steps.append(Step(read, gathered, joined, *kept, read_kinds, codes, made, last=()))

    def _gathered(
        self, terms: list[list[_Term]], *, joined: bool
    ) -> tuple[tuple[Gathered, ...], ...]:
        """Group the terms of nodes by their buffers; see `Step`."""
        found = []
        for place in zip(*terms, strict=True) if joined else [None]:
            pieces: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
            for row, own in enumerate(terms):
                seen: Counter[int] = Counter()
                for term in own if place is None else [place[row]]:
                    pieces[term.buffer, seen[term.buffer]].append((row, term.slot))
                    seen[term.buffer] += 1
            group = []
            for (buffer, _), pairs in pieces.items():
                rows, slots = map(list, zip(*pairs, strict=True))
                chosen = self._chosen(slots, self.slots[buffer]), self._chosen(rows, len(terms))
                group.append(Gathered(buffer, *chosen))
            found.append(tuple(group))
        return tuple(found)

    def _made(self, readers: list[_Reader], count: int) -> Made:
        """Add the terms that equal operations make, of `count` nodes."""
        first, edge = readers[0], readers[0].edge
        shared = not first.kernels and edge.scale is None and edge.shift is None
        # what has no weights is made once for all that read one node
        own: dict[int, _Reader] = {}
        for place, reader in enumerate(readers):
            own.setdefault(reader.slot if shared else place, reader)
        kept, slot_of = list(own.values()), {key: slot for slot, key in enumerate(own)}
        channels = self.networks[readers[0].owner].shapes[edge.target][0]
        if self.networks[readers[0].owner].nodes[edge.target].concatenated:
            raise ValueError(edge)  # which no graph has: such edges are identities
        buffer = self._buffer(len(kept), channels)
        for place, reader in enumerate(readers):
            self._arrived(reader, buffer, slot_of[reader.slot if shared else place])
        kernels = tuple(
            (self.weights.stored(same), tuple(same[0].shape))
            for same in zip(*(reader.kernels for reader in kept), strict=True)
        )
        scale, shift = (
            None if own is None else self.learned.stored([cast("Tensor", one) for one in each])
            for own, each in (
                (edge.scale, [reader.edge.scale for reader in kept]),
                (edge.shift, [reader.edge.shift for reader in kept]),
            )
        )
        return Made(
            buffer,
            channels,
            edge.rectified,
            self._chosen([reader.slot for reader in kept], count),
            first.operations,
            kernels,
            edge.normalised,
            (scale, shift),
            self._span([reader.owner for reader in kept]),
            self.logits and self.networks[readers[0].owner].counts(edge.target),
        )

    def _arrived(self, reader: _Reader, buffer: int, slot: int) -> None:
        """Note a term of the node that an edge leads to, which may complete the node."""
        network, target = self.networks[reader.owner], reader.edge.target
        joined = network.nodes[target].concatenated
        order = (reader.edge.position, 0) if joined else (reader.node, reader.number)
        network.terms[target].append(_Term(order, buffer, slot))
        network.missing[target] -= 1
        if network.missing[target]:
            return
        terms = sorted(network.terms[target])
        channels = tuple(self.channels[term.buffer] for term in terms) if joined else ()
        self.ready[network.shapes[target], channels].append((reader.owner, target))

    def _codes(self, nodes: list[tuple[int, int]], count: int) -> Codes | None:
        rows = [row for row, (owner, node) in enumerate(nodes) if self.networks[owner].counts(node)]
        if not rows:
            return None
        own = [self.networks[nodes[row][0]].nodes[nodes[row][1]] for row in rows]
        for row, one in zip(rows, own, strict=True):
            owner, node = nodes[row]
            units = prod(self.networks[owner].shapes[node])
            self.units[:, owner] += units * one.rectifiers, units * one.modules
        shared = count < len(nodes)
        return Codes(
            None if shared else self._chosen(rows, count),
            self._span([0] * len(rows) if shared else range(len(rows))),
            self._span([nodes[row][0] for row in rows]),
            self._span([*(one.rectifiers for one in own), *(one.modules for one in own)]),
        )


def run(batch: Batch, images: Tensor) -> Agreements:
    """Run the networks of a batch, and compare the codes of their rectifiers.

    Args:
        batch: the networks.
        images: (N, C, H, W), of the type of the products and on the device to run on.

    Returns:
        The kernels, on that device, which may still be computing them.
    """
    with torch.no_grad():
        return _Run(batch, images).found()


def codes_of(batch: Batch, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Run the networks of a batch, and return which units that count are positive.

    Returns:
        (N, units) bool of each network. Its units are in one order for all images of a batch. Then
        (networks,) bool, whether the activations are finite.
    """
    with torch.no_grad():
        run = _Codes(batch, images)
        finite = run.found().modules.finite
    none = images.new_empty(len(images), 0, dtype=torch.bool)
    return [torch.cat([none, *own], 1) for own in run.codes], finite


class _Run:
    """The buffers of a batch while it runs; see `run`."""

    def __init__(self, batch: Batch, images: Tensor) -> None:
        self.batch, self.device, self.dtype = batch, images.device, images.dtype
        self.wide = torch.promote_types(images.dtype, torch.float32)
        self.indices = sent(batch.indices, self.device)
        self.weights = sent(batch.weights, self.device).to(images.dtype)
        self.learned = sent(batch.learned, self.device).to(self.wide)
        self.buffers = {0: images.permute(0, 2, 3, 1).unsqueeze(0).contiguous()}
        #: factors and summands (2, slots, C) of the normalised buffers
        self.affine: dict[int, Tensor] = {}
        shape = (2, batch.networks, len(images), len(images))
        # of the codes of all rectifiers, and of all modules
        self.products = torch.zeros(shape, dtype=torch.float64, device=self.device)
        #: for each network whether an activation is not finite
        self.infinite = torch.zeros(batch.networks, dtype=torch.int32, device=self.device)
        self.kernels = kernels_for(images)

    def found(self) -> Agreements:
        """Execute all steps."""
        there = self.kernels is not None and self.products.is_cuda
        with torch.cuda.device(self.device) if there else nullcontext():
            for step in self.batch.steps:
                self._run(step)
        # two images agree where both are 1 and where neither is
        ones = self.products.diagonal(dim1=2, dim2=3)
        units = self._at(self.batch.units).view(2, -1, 1, 1)
        kernels = 2 * self.products - ones.unsqueeze(2) - ones.unsqueeze(3) + units
        finite = self.infinite == 0
        rectifiers, modules = zip(*self.batch.counted, strict=True)
        return Agreements(
            Kernels(kernels[0], finite, rectifiers), Kernels(kernels[1], finite, modules)
        )

    def _at(self, span: Span) -> Tensor:
        return self.indices[span.start : span.stop]

    def _run(self, step: Step) -> None:
        reads_value, reads_rectified = step.reads
        wanted = reads_value, reads_rectified, step.codes is not None
        if self.kernels is None or step.concatenated:
            made = self._summed(step, *wanted)
        else:
            terms = [[self._where(*term) for term in own] for own in step.terms]
            made = self.kernels.summed(terms, *wanted)
        value, rectified, bits = made
        if value is not None:
            self.buffers[step.value] = value
        if rectified is not None:
            self.buffers[step.rectified] = rectified
        if step.codes is not None and bits is not None:
            self._compare(bits, step.codes)
        del made, value, rectified, bits
        for made_terms in step.made:
            source = step.rectified if made_terms.rectified else step.value
            self._make(made_terms, self.buffers[source])
        for buffer in step.last:
            self.buffers.pop(buffer, None)
            self.affine.pop(buffer, None)

    def _where(self, buffer: int, slot: int) -> tuple[Tensor, Tensor | None, int]:
        """Return a term's buffer, what normalises that, and its slot."""
        return self.buffers[buffer], self.affine.get(buffer), slot

    def _summed(
        self, step: Step, value: bool, rectified: bool, codes: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return of the nodes of a step the values, the rectified values and the codes."""
        join = torch.cat if step.concatenated else _sum
        total = torch.stack(
            [join([self._term(*self._where(*one)) for one in own], -1) for own in step.terms]
        )
        return (
            total.to(self.dtype) if value else None,
            total.clamp_min(0).to(self.dtype) if rectified else None,
            (total > 0).to(self.dtype) if codes else None,
        )

    def _term(self, buffer: Tensor, affine: Tensor | None, slot: int) -> Tensor:
        """Return a term (N, H, W, C), normalised, in the type of sums."""
        if affine is None:
            return buffer[slot].to(self.wide)
        return torch.addcmul(affine[1, slot], buffer[slot], affine[0, slot])

    def _make(self, made: Made, source: Tensor) -> None:
        """Make terms of (nodes, N, H, W, C)."""
        slots = made.owners.stop - made.owners.start
        rows = None if made.slots is None else self._at(made.slots)
        left = iter(made.kernels)
        x, parts = source, None
        for operation in made.operations:
            kernels = [
                self._stacked(self.weights, at, slots, shape)
                for at, shape in islice(left, kernels_of(operation))
            ]
            found = self.kernels and self.kernels.applied(operation, x, rows, kernels)
            x, parts = found or (_applied(operation, _chosen(x, rows), kernels), None)
            rows = None
        self.buffers[made.buffer] = x = _chosen(x, rows)
        if not made.normalised:
            return
        scale, shift = (
            None if at is None else self._stacked(self.learned, at, slots, (x.shape[4],))
            for at in made.learned
        )
        owners = self._at(made.owners)
        if self.kernels is not None and parts is not None:
            affine = self.kernels.affine(parts, scale, shift, owners, self.infinite)
        else:
            affine = self._affine(x, scale, shift)
            infinite = affine[1].isfinite().logical_not().any(1)
            self.infinite.index_add_(0, owners, infinite.to(torch.int32))
        self.affine[made.buffer] = affine

    def _affine(self, x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        """Return the factors and summands (2, slots, C) that normalise (slots, N, H, W, C)."""
        variance, mean = torch.var_mean(x.to(self.wide), (1, 2, 3), correction=0)
        factor = (variance + EPSILON).rsqrt()
        factor = factor if scale is None else factor * scale
        summand = -mean * factor if shift is None else torch.addcmul(shift, -mean, factor)
        return torch.stack([factor, summand])

    def _stacked(self, numbers: Tensor, start: int, slots: int, shape: tuple[int, ...]) -> Tensor:
        """Return stored tensors of one shape as one, (slots, *shape)."""
        return numbers[start : start + slots * prod(shape)].view(slots, *shape)

    def _compare(self, bits: Tensor, codes: Codes) -> None:
        """Add the products of codes (nodes, N, H, W, C) to those of their networks."""
        units = _chosen(bits, None if codes.slots is None else self._at(codes.slots)).flatten(2)
        both = common_bits(units).index_select(0, self._at(codes.rows))
        owners = self._at(codes.owners)
        for products, counts in zip(self.products, self._at(codes.counts).chunk(2), strict=True):
            products.index_add_(0, owners, both * counts.view(-1, 1, 1))


class _Codes(_Run):
    """A run that keeps codes instead of comparing them."""

    def __init__(self, batch: Batch, images: Tensor) -> None:
        super().__init__(batch, images)
        self.codes: list[list[Tensor]] = [[] for _ in range(batch.networks)]

    def _compare(self, bits: Tensor, codes: Codes) -> None:
        units = _chosen(bits, None if codes.slots is None else self._at(codes.slots)).flatten(2) > 0
        rows, owners = (
            self.batch.indices[span.start : span.stop].tolist()
            for span in (codes.rows, codes.owners)
        )
        for row, owner in zip(rows, owners, strict=True):
            self.codes[owner].append(units[row])


def kernels_for(images: Tensor) -> "ModuleType | None":
    """Return the kernels for a GPU where they can be used; None where everything is PyTorch's."""
    if images.device.type != "cuda" or images.dtype not in (torch.bfloat16, torch.float32):
        return None
    try:
        from untrained.networks import gpu_kernels
    except ImportError:  # there is no Triton
        return None
    return gpu_kernels if gpu_kernels.can_be_used(images.device) else None


def common_bits(units: Tensor) -> Tensor:
    """Return (m, N, N) float64: on how many of the bits (m, N, f) each two images are both 1."""
    pieces = torch.tensor_split(units, tuple(range(_COUNTED, units.shape[2], _COUNTED)), 2)
    fast = units.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    kind = torch.bfloat16 if fast else torch.float32
    first, *others = (_products(piece.to(kind)).to(torch.float64) for piece in pieces)
    return sum(others, first)


def _products(bits: Tensor) -> Tensor:
    """Return the products (m, N, N) float32 of each two rows of (m, N, f), which are exact."""
    if bits.dtype == torch.float32:
        return torch.bmm(bits, bits.mT)
    try:  # the tensor cores sum products of bfloat16 in float32
        return torch.bmm(bits, bits.mT, out_dtype=torch.float32)
    except TypeError:  # PyTorch before 2.8
        return _products(bits.float())


def _sum(terms: Sequence[Tensor], _dimension: int) -> Tensor:
    first, *others = terms
    return sum(others, first)


def _chosen(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x.index_select(0, rows)


def kernels_of(operation: Operation) -> int:
    """Return the number of tensors that an operation's weights are."""
    if isinstance(operation, Weighted):
        return 1 if isinstance(operation, Convolution) else 2
    return 0


def _applied(operation: Operation, x: Tensor, kernels: Sequence[Tensor]) -> Tensor:
    """Apply an operation to (slots, N, H, W, C), each slot with its own kernels."""
    if isinstance(operation, Linear):
        weight, bias = kernels
        found = torch.baddbmm(bias.unsqueeze(1), x.flatten(2), weight.transpose(1, 2))
        return found[:, :, None, None]
    slots, images = x.shape[:2]
    if forms := convolutions_of(operation):
        joined = x.permute(1, 0, 4, 2, 3).flatten(1, 2)  # (N, slots * C, H, W)
        sources = [joined, *(without_first_pixels(joined) for _ in forms[1:])]
        made = [
            functional.conv2d(
                source.contiguous(memory_format=torch.channels_last),
                own.flatten(0, 1).contiguous(memory_format=torch.channels_last),
                None,
                form.stride,
                form.padding,
                form.dilation,
                slots * form.groups,
            )
            for form, source, own in zip(forms, sources, kernels, strict=True)
        ]
        each = [one.view(images, slots, -1, *one.shape[2:]).permute(1, 0, 3, 4, 2) for one in made]
        return torch.cat(each, 4).contiguous()
    # each channel by itself, of all slots as if they were images
    found = function_of(operation)(x.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return found.reshape(slots, images, *found.shape[1:]).contiguous()


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, without waiting for it."""
    return x if device.type == "cpu" else x.pin_memory().to(device, non_blocking=True)
