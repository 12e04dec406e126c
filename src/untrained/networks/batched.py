"""Runs many networks at once: equal operations of different networks are one launch.

A GPU takes longer to launch an operation on a thin network than to compute it. So the nodes of many
plans (`untrained.networks.plans`) are executed together: in each step all nodes that are complete
and have one shape. Their sums, rectifiers and codes are one pass each. Of the edges that read them,
all with the same operations are one grouped convolution, or one pass of another kind, whatever
networks they are of, and whichever edge of these. Nothing here knows a space.

The steps follow from the graphs alone, so `prepared` finds them before anything is computed, in any
process, and stores all weights and indices in two tensors. `run` sends both to the device and never
waits for it. Activations are (N, H, W, slots, C), where a slot is a node or a term of some network.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained.compiled import EPSILON
from untrained.networks import sums
from untrained.networks.graph import (
    Convolution,
    Edge,
    Flatten,
    Linear,
    Operation,
    Slice,
    Weighted,
    Zero,
)
from untrained.networks.plans import (
    PlannedNetwork,
    convolutions_of,
    function_of,
    nodes_of,
    without_first_pixels,
)

#: Channels, height and width.
Shape = tuple[int, int, int]

#: Products of codes are summed in float32, which counts exactly up to this number.
_COUNTED = 2**24


class Span(NamedTuple):
    """A part of the indices of a batch."""

    start: int
    stop: int


class Part(NamedTuple):
    """Terms of one buffer.

    Attributes:
        buffer: the buffer's number.
        slots: slots of the buffer that are read; None for all of them in order.
        places: the nodes that they are terms of; None for all nodes of the step in order, and for
            first terms, by whose buffers the nodes are sorted.
    """

    buffer: int
    slots: Span | None
    places: Span | None


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


class Made(NamedTuple):
    """Terms that are made by the same operations, a slot for each.

    Attributes:
        buffer: the buffer that they become.
        rectified: whether they read the rectified nodes of the step.
        slots: the nodes that are read; None for all of them in order.
        operations: the operations.
        kernels: for each kernel the places of its numbers in the weights and its shape.
        normalised: whether each is normalised.
        learned: places of the normalisations' scales and shifts in the weights, if there are any.
        owners: the network of each.
    """

    buffer: int
    rectified: bool
    slots: Span | None
    operations: tuple[Operation, ...]
    kernels: tuple[tuple[int, tuple[int, ...]], ...]
    normalised: bool
    learned: tuple[int | None, int | None]
    owners: Span


class Step(NamedTuple):
    """The execution of nodes of one shape.

    Attributes:
        nodes: their number.
        terms: the first terms of all nodes, then the second ones of those that have one, and so on.
        concatenated: whether terms are concatenated as channels instead of added.
        value: the buffer that their values become.
        rectified: the buffer that their rectified values become.
        reads: whether anything reads the values, and the rectified values.
        codes: the nodes whose codes are compared, if there are any.
        made: the terms that their edges make.
        last: the buffers that nothing reads afterwards.
    """

    nodes: int
    terms: tuple[tuple[Part, ...], ...]
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
        weights: (w,), the weights of all networks in the order in which they are read.
        indices: (i,) int64, what the spans are parts of.
        units: of each network the units that its rectifiers read, then those that its modules do.
        counted: for each network whether any rectifier counts, and any module named after ReLU.
    """

    networks: int
    steps: tuple[Step, ...]
    weights: Tensor
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
    """The operations of an edge with their weights."""

    operations: tuple[Operation, ...]
    kernels: Sequence[Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Refuse: operations run for many edges at once."""
        raise NotImplementedError

    @classmethod
    def of(cls, edge: Edge, kernels: Sequence[Tensor]) -> "_Apply":
        return cls(edge.operations, kernels)


def _apply_of(edge: sums.Edge) -> _Apply:
    """Return the operations of an edge; there are none where the plan splits a long sum."""
    return edge.apply if isinstance(edge.apply, _Apply) else _Apply((), ())


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
    def apply(self) -> _Apply:
        return _apply_of(self.edge)


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


def _network(network: PlannedNetwork, images: Shape, *, dead_branches: bool) -> _Network:
    nodes = nodes_of(network, dead_branches=dead_branches, applied=_Apply.of)
    shapes: list[Shape] = [images] * len(nodes)
    missing = [0] * len(nodes)
    for node, shape in zip(nodes, shapes, strict=True):
        for edge in node.edges:
            made: tuple[int, ...] = shape
            for operation in _apply_of(edge).operations:
                made = operation.shape(made)
            channels, height, width = (*made, 1, 1)[:3]
            if nodes[edge.target].concatenated and missing[edge.target]:
                channels += shapes[edge.target][0]
            shapes[edge.target] = channels, height, width
            missing[edge.target] += 1
    return _Network(nodes, dead_branches, shapes, missing, [[] for _ in nodes])


def prepared(
    networks: Sequence[PlannedNetwork], images: Shape, dead_branches: Sequence[bool]
) -> Batch:
    """Find the steps of some networks, and put their weights in order.

    Args:
        networks: the networks.
        images: the shape (C, H, W) of the images.
        dead_branches: for each network whether rectifiers count that are on no path from the images
            to the logits; see `plans.Planned`.
    """
    return _Scheduler(networks, images, dead_branches).batch()


class _Scheduler:
    """Finds the steps of a batch; see `prepared`."""

    def __init__(
        self, networks: Sequence[PlannedNetwork], images: Shape, dead_branches: Sequence[bool]
    ) -> None:
        self.images = images
        self.networks = [
            _network(network, images, dead_branches=dead)
            for network, dead in zip(networks, dead_branches, strict=True)
        ]
        self.steps: list[Step] = []
        self.indices: list[int] = []
        self.weights: list[Tensor] = []
        self.numbers = 0  # of the weights
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
            # all read the same images, in one slot
            images = self._buffer(1, self.images[0])
            self._step(begun, [[_Term((0, 0), images, 0)]], (), self.images[0])
        while self.ready:
            # larger images first: what is made of them then waits for all others of its shape
            key = max(self.ready, key=lambda one: (one[0][1] * one[0][2], len(self.ready[one])))
            found = [
                (sorted(self.networks[owner].terms[node]), owner, node)
                for owner, node in self.ready.pop(key)
            ]
            found.sort(key=lambda one: one[0][0][1:])  # by buffer and slot of the first term
            nodes = [(owner, node) for _, owner, node in found]
            self._step(nodes, [terms for terms, *_ in found], key[1], key[0][0])
        last = defaultdict(list)
        for buffer, place in self.used.items():
            last[place].append(buffer)
        units = self._span(self.units.flatten().tolist())
        return Batch(
            len(self.networks),
            tuple(one._replace(last=tuple(last[place])) for place, one in enumerate(self.steps)),
            torch.cat(self.weights) if self.weights else torch.empty(0),
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

    def _stored(self, tensors: Sequence[Tensor]) -> int:
        """Store tensors one after the other, and return where the first one begins."""
        start = self.numbers
        self.weights += [one.detach().flatten() for one in tensors]
        self.numbers += sum(one.numel() for one in tensors)
        return start

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
        parts = tuple(
            self._parts(
                [(row, one[number]) for row, one in enumerate(terms) if number < len(one)],
                None if number == 0 else count,
            )
            for number in range(max(map(len, terms)))
        )
        self.used |= {part.buffer: place for same in parts for part in same}
        kept = self._buffer(count, channels), self._buffer(count, channels)
        self.used |= dict.fromkeys(kept, place)
        buckets: dict[Hashable, list[_Reader]] = defaultdict(list)
        reads = [False, False]
        for row, (owner, node) in enumerate(nodes):
            slot = row if count == len(nodes) else 0
            for number, edge in enumerate(self.networks[owner].nodes[node].edges):
                reader = _Reader(slot, owner, node, number, edge)
                reads[edge.rectified] = True
                operations = reader.apply.operations
                if not (operations or edge.normalised):
                    self._arrived(reader, kept[edge.rectified], slot)
                    continue
                learned = edge.scale is not None, edge.shift is not None
                buckets[operations, edge.rectified, edge.normalised, learned].append(reader)
        made = tuple(self._made(readers, count) for readers in buckets.values())
        codes = self._codes(nodes, count)
        joined = bool(concatenated)
        self.steps.append(
            Step(count, parts, joined, *kept, (reads[0], reads[1]), codes, made, last=())
        )

    def _parts(self, terms: list[tuple[int, _Term]], count: int | None) -> tuple[Part, ...]:
        """Group terms, with the places of their nodes among `count`, by buffer."""
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for row, term in terms:
            found[term.buffer].append((term.slot, row))
        return tuple(
            Part(
                buffer,
                self._chosen([slot for slot, _ in same], self.slots[buffer]),
                None if count is None else self._chosen([row for _, row in same], count),
            )
            for buffer, same in found.items()
        )

    def _made(self, readers: list[_Reader], count: int) -> Made:
        """Add the terms that equal operations make, of `count` nodes."""
        first, edge = readers[0].apply, readers[0].edge
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
            (self._stored(same), tuple(same[0].shape))
            for same in zip(*(reader.apply.kernels for reader in kept), strict=True)
        )
        scale, shift = (
            None if own is None else self._stored([cast("Tensor", one) for one in each])
            for own, each in (
                (edge.scale, [reader.edge.scale for reader in kept]),
                (edge.shift, [reader.edge.shift for reader in kept]),
            )
        )
        return Made(
            buffer,
            edge.rectified,
            self._chosen([reader.slot for reader in kept], count),
            first.operations,
            kernels,
            edge.normalised,
            (scale, shift),
            self._span([reader.owner for reader in kept]),
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


class _Run:
    """The buffers of a batch while it runs; see `run`."""

    def __init__(self, batch: Batch, images: Tensor) -> None:
        self.batch, self.device, self.dtype = batch, images.device, images.dtype
        self.wide = torch.promote_types(images.dtype, torch.float32)
        self.indices = _sent(batch.indices, self.device)
        self.learned = _sent(batch.weights, self.device)
        self.weights = self.learned.to(images.dtype)
        self.buffers = {0: images.permute(0, 2, 3, 1).unsqueeze(3).contiguous()}
        #: factors and summands (slots, C) of the normalised buffers
        self.affine: dict[int, tuple[Tensor, Tensor]] = {}
        shape = (2, batch.networks, len(images), len(images))
        # of the codes of all rectifiers, and of all modules
        self.products = torch.zeros(shape, dtype=torch.float64, device=self.device)
        self.zero = torch.zeros((), dtype=self.wide, device=self.device)
        self.infinite = torch.zeros(batch.networks, dtype=torch.int64, device=self.device)

    def found(self) -> Agreements:
        """Execute all steps."""
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
        total = self._joined(step) if step.concatenated else self._added(step)
        reads_value, reads_rectified = step.reads
        if reads_value:
            self.buffers[step.value] = total.to(self.dtype)
        if reads_rectified:
            # from the sum, which saves a pass where its rounded value is not read
            rectified = torch.empty_like(total, dtype=self.dtype)
            self.buffers[step.rectified] = torch.maximum(total, self.zero, out=rectified)
        if step.codes is not None:
            self._compare(self.buffers.get(step.rectified, total), step.codes)
        del total
        for made in step.made:
            self._make(made, self.buffers[step.rectified if made.rectified else step.value])
        for buffer in step.last:
            self.buffers.pop(buffer, None)
            self.affine.pop(buffer, None)

    def _normal(self, part: Part, into: Tensor | None = None) -> Tensor:
        """Return terms, normalised, in the type of sums; it may be a buffer itself."""
        x = self.buffers[part.buffer]
        if part.slots is not None:
            x = x.index_select(3, self._at(part.slots))
        if part.buffer not in self.affine:
            return x.to(self.wide) if into is None else into.copy_(x)
        factor, summand = self.affine[part.buffer]
        if part.slots is not None:
            rows = self._at(part.slots)
            factor, summand = factor.index_select(0, rows), summand.index_select(0, rows)
        if into is None:
            return torch.addcmul(summand, x, factor)
        return torch.addcmul(summand, x, factor, out=into)

    def _added(self, step: Step) -> Tensor:
        first, *others = step.terms
        own = len(first) > 1 or first[0].buffer in self.affine  # and no other buffer's memory
        total = self._first(first, step.nodes) if len(first) > 1 else self._normal(first[0])
        for part in (part for parts in others for part in parts):
            term = self._normal(part)
            if part.places is None:
                total = total + term
            else:
                total = total if own else total.clone()
                total.index_add_(3, self._at(part.places), term)
            own = True
        return total

    def _first(self, parts: tuple[Part, ...], nodes: int) -> Tensor:
        """Return the first terms of all nodes, one buffer's after the other's."""
        example, begun = self.buffers[parts[0].buffer], 0
        shape = (*example.shape[:3], nodes, example.shape[4])
        total = torch.empty(shape, dtype=self.wide, device=self.device)
        for part in parts:
            there = self.buffers[part.buffer].shape[3]
            rows = there if part.slots is None else part.slots.stop - part.slots.start
            self._normal(part, total.narrow(3, begun, rows))
            begun += rows
        return total

    def _joined(self, step: Step) -> Tensor:
        columns = []
        for parts in step.terms:
            pieces = [self._normal(part) for part in parts]
            if len(pieces) == 1 and parts[0].places is None:
                columns += pieces
                continue
            column = torch.cat(pieces, 3)
            if parts[0].places is not None:
                rows = [self._at(part.places) for part in parts if part.places is not None]
                column = torch.empty_like(column).index_copy_(3, torch.cat(rows), column)
            columns.append(column)
        return torch.cat(columns, 4)

    def _make(self, made: Made, source: Tensor) -> None:
        """Make terms of (N, H, W, nodes, C)."""
        slots = made.owners.stop - made.owners.start
        x = source
        if made.slots is not None and not (_spreads(made.operations) and source.shape[3] == 1):
            x = source.index_select(3, self._at(made.slots))
        x = x.flatten(3).permute(0, 3, 1, 2)  # channels last
        left = iter(made.kernels)
        for operation in made.operations:
            kernels = [
                self._stacked(self.weights, at, slots, shape)
                for at, shape in islice(left, _kernels_of(operation))
            ]
            x = _applied(operation, x, kernels, slots)
        x = x.permute(0, 2, 3, 1).contiguous()
        x = x.view(*x.shape[:3], slots, -1)
        self.buffers[made.buffer] = x
        if not made.normalised:
            return
        variance, mean = self._moments(x)
        factor = (variance + EPSILON).rsqrt()
        scale, shift = (
            None if at is None else self._stacked(self.learned, at, slots, (x.shape[4],))
            for at in made.learned
        )
        factor = factor if scale is None else factor * scale
        summand = -mean * factor if shift is None else torch.addcmul(shift, -mean, factor)
        self.affine[made.buffer] = factor, summand
        infinite = summand.isfinite().logical_not().any(1)
        self.infinite.index_add_(0, self._at(made.owners), infinite.to(torch.int64))

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return variance and mean of (N, H, W, slots, C) over the first three dimensions."""
        over = (0, 1, 2)
        if x.dtype == self.wide:
            variance, mean = torch.var_mean(x, over, correction=0)
            return variance, mean
        # of rounded numbers, without a copy in the type of sums
        mean = x.mean(over, dtype=self.wide)
        length = torch.linalg.vector_norm(x, 2, over, dtype=self.wide)
        squares = length.square() / (x.numel() / mean.numel())
        return (squares - mean.square()).clamp_min(0), mean

    def _stacked(self, numbers: Tensor, start: int, slots: int, shape: tuple[int, ...]) -> Tensor:
        """Return stored tensors of one shape as one, (slots, *shape)."""
        return numbers[start : start + slots * prod(shape)].view(slots, *shape)

    def _compare(self, total: Tensor, codes: Codes) -> None:
        """Add the products of codes to those of their networks."""
        bits = total > 0
        if codes.slots is not None:
            bits = bits.index_select(3, self._at(codes.slots))
        units = bits.permute(3, 0, 1, 2, 4).flatten(2)  # (nodes, N, units)
        both = common_bits(units).index_select(0, self._at(codes.rows))
        owners = self._at(codes.owners)
        for products, counts in zip(self.products, self._at(codes.counts).chunk(2), strict=True):
            products.index_add_(0, owners, both * counts.view(-1, 1, 1))


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


def _spreads(operations: tuple[Operation, ...]) -> bool:
    """Return whether one slot can be read for many networks, by one ungrouped convolution."""
    first = operations[0] if operations else None
    return isinstance(first, Convolution) and first.groups == 1


def _kernels_of(operation: Operation) -> int:
    """Return the number of tensors that an operation's weights are."""
    if isinstance(operation, Weighted):
        return 1 if isinstance(operation, Convolution) else 2
    return 0


def _applied(operation: Operation, x: Tensor, kernels: Sequence[Tensor], slots: int) -> Tensor:
    """Apply an operation to (N, slots * C, H, W), or to (N, C, H, W) for all slots."""
    if isinstance(operation, Linear):
        weight, bias = kernels
        rows = _by_slot(x, slots).flatten(2).transpose(0, 1)
        found = torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))
        return found.transpose(0, 1).flatten(1)[:, :, None, None]
    if forms := convolutions_of(operation):
        sources = [x, *(without_first_pixels(x) for _ in forms[1:])]
        each = zip(forms, sources, kernels, strict=True)
        parts = [_convolved(*one, slots) for one in each]
        return (parts[0] if len(parts) == 1 else torch.cat(parts, 2)).flatten(1, 2)
    function = function_of(operation)
    if not isinstance(operation, Slice | Flatten | Zero):
        return function(x)  # each channel by itself
    made = function(_by_slot(x, slots).flatten(0, 1))
    return made.reshape(len(x), -1, *made.shape[2:])


def _convolved(form: Convolution, x: Tensor, kernels: Tensor, slots: int) -> Tensor:
    """Return (N, slots, outputs, H, W)."""
    spread = x.shape[1] < slots * form.inputs
    weight = kernels.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    groups = 1 if spread else slots * form.groups
    how = form.stride, form.padding, form.dilation, groups
    return _by_slot(functional.conv2d(x, weight, None, *how), slots)


def _by_slot(x: Tensor, slots: int) -> Tensor:
    """Return (N, slots * C, H, W) as (N, slots, C, H, W)."""
    return x.view(len(x), slots, -1, *x.shape[2:])


def _sent(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, without waiting for it."""
    return x if device.type == "cpu" else x.pin_memory().to(device, non_blocking=True)
