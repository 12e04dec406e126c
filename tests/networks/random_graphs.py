"""Random graphs, in which everything occurs that a graph can have."""

from collections import defaultdict

import numpy as np

from untrained.networks.graph import (
    Builder,
    Convolution,
    EvenPooling,
    FactorisedReduction,
    Pooling,
    Slice,
    Zero,
)


def candidates(rng, inputs, outputs):
    """Yield operations that map some channels to others, at any stride."""
    for stride in (1, 2):
        kernel = tuple(int(size) for size in rng.choice([1, 3, 5], 2))
        dilation = int(rng.integers(1, 3))
        groups = int(rng.choice([one for one in (1, 2, 4) if inputs % one == outputs % one == 0]))
        yield (Convolution(inputs, outputs, kernel, (stride, stride), groups, dilation),)
        yield (Convolution(inputs, outputs, (1, 1), (stride, stride)),)
        across = Convolution(inputs, inputs, (1, 3), (1, stride), inputs)
        yield across, Convolution(inputs, outputs, (3, 1), (stride, 1))
        yield (Zero(stride, outputs),)
        kind = str(rng.choice(["max", "avg"]))
        for pool in (Pooling(kind, int(rng.choice([3, 5])), stride), EvenPooling(kind, stride)):
            if inputs == outputs:
                yield (pool,)
            elif inputs > outputs:
                yield pool, Slice(outputs)
            yield pool, Convolution(inputs, outputs, (3, 3))
    if outputs % 2 == 0:
        yield (FactorisedReduction(inputs, outputs),)
    yield Pooling("avg", 2, 2, padded=False), Convolution(inputs, outputs, (1, 1))
    if inputs == outputs:
        yield from [()] * 4
        yield (Zero(),)
    if inputs > outputs:
        yield (Slice(outputs),)


def reached(operations, shape):
    for operation in operations:
        shape = operation.shape(shape)
    return shape


def strided_pointwise(operation):
    match operation:
        case FactorisedReduction() | Convolution(_, _, (1, 1), (2, 2), 1):
            return True
    return False


def random_graph(seed, widths=(2, 3, 4), sides=(7, 9), nodes=9, most_terms=5, plain=False):
    """Draw a graph with some dead branches and constants.

    Args:
        seed: seed of the numbers.
        widths: channels of nodes.
        sides: height and width of the images.
        nodes: inner nodes.
        most_terms: the most terms of a node.
        plain: whether to leave out what fused training leaves to the module: nodes that concatenate
            or rectify, fewer than 8 x 8 pixels, and strided 1x1 convolutions.
    """
    rng = np.random.default_rng(seed)
    builder = Builder()
    shapes = {0: (3, *sides)}
    for _ in range(nodes):
        rectified = not plain and rng.random() < 0.3
        like = defaultdict(list)
        for node, shape in shapes.items():
            like[shape[1:]].append(node)
        if not plain and rng.random() < 0.25:
            alike = like[shapes[int(rng.choice(list(shapes)))][1:]]
            parts = [int(one) for one in rng.choice(alike, rng.integers(1, 4))]
            target = builder.node(concatenated=True, rectified=rectified)
            for part in parts:
                builder.edge(part, target)
            shapes[target] = sum(shapes[one][0] for one in parts), *shapes[parts[0]][1:]
            continue
        target = builder.node(rectified=rectified)
        outputs, smallest = int(rng.choice(widths)), 8 if plain else int(rng.integers(2, 5))
        known = [*shapes, max(shapes), max(shapes)]
        for _ in range(int(rng.integers(1, most_terms + 1))):
            source = int(rng.choice(known))
            possible = [
                operations
                for operations in candidates(rng, shapes[source][0], outputs)
                if (
                    reached(operations, shapes[source]) == shapes[target]
                    if target in shapes
                    else min(reached(operations, shapes[source])[1:]) >= smallest
                )
                and not (plain and any(map(strided_pointwise, operations)))
            ]
            if not possible:
                continue
            operations = possible[rng.integers(len(possible))]
            shapes[target] = reached(operations, shapes[source])
            rectifies = bool(rng.random() < 0.5)
            builder.edge(
                source, target, *operations, rectified=rectifies,
                normalised=bool(rng.random() < 0.7), wrapped=rectifies and bool(rng.random() < 0.5),
            )  # fmt: skip
        if target not in shapes:
            builder.nodes.pop()
    last = max(shapes)
    logits = builder.classified(last, shapes[last][0], 2, rectified=bool(rng.random() < 0.5))
    return builder.graph(logits, "normal" if rng.random() < 0.3 else "uniform")
