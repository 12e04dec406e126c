"""Small files in the layout of the official NDS files, written by hand.

No official file was available: the keys are those that public readers of the files take, the
numbers are made up.
"""

import json
from copy import deepcopy

from untrained.benchmarks.nds_entries import read_entries

SEP, SKIP, POOL = "sep_conv_3x3", "skip_connect", "max_pool_3x3"
#: As the five search spaces have them: number of nodes, operations and concatenations differ.
GENOTYPES = {
    "DARTS": {
        "normal": [[SEP, 0], [SEP, 1], [SEP, 0], [SEP, 1], [SEP, 1], [SKIP, 0], [SKIP, 0],
                   ["dil_conv_3x3", 2]],
        "normal_concat": [2, 3, 4, 5],
        "reduce": [[POOL, 0], [POOL, 1], [SKIP, 2], [POOL, 1], [POOL, 0], [SKIP, 2], [SKIP, 2],
                   ["none", 1]],
        "reduce_concat": [2, 3, 4, 5],
    },
    "ENAS": {
        "normal": [["sep_conv_5x5", 1], [SKIP, 0], [SEP, 1], [SKIP, 1], ["avg_pool_3x3", 0],
                   [SEP, 1], ["avg_pool_3x3", 0], [SKIP, 0], [SEP, 1], ["sep_conv_5x5", 0]],
        "normal_concat": [2, 3, 4, 5, 6],
        "reduce": [["sep_conv_5x5", 0], ["avg_pool_3x3", 1], [SEP, 1], ["avg_pool_3x3", 1],
                   [POOL, 1], [SEP, 1], ["sep_conv_5x5", 4], ["avg_pool_3x3", 1], [SEP, 5],
                   ["sep_conv_5x5", 0]],
        "reduce_concat": [2, 3, 6],
    },
    "NASNet": {
        "normal": [["conv_3x1_1x3", 0], ["conv_7x1_1x7", 1], ["max_pool_5x5", 0],
                   ["max_pool_7x7", 2], ["conv_1x1", 1], ["conv_3x3", 3]],
        "normal_concat": [4],
        "reduce": [["conv_3x1_1x3", 0], ["conv_7x1_1x7", 1], ["conv_1x1", 0],
                   ["max_pool_5x5", 1], ["max_pool_7x7", 1], ["sep_conv_7x7", 2]],
        "reduce_concat": [3, 4],
    },
    "Amoeba": {
        "normal": [["avg_pool_2x2", 0], ["avg_pool_5x5", 1], ["dil_sep_conv_3x3", 2],
                   ["max_pool_2x2", 0]],
        "normal_concat": [2, 3],
        "reduce": [["avg_pool_2x2", 0], ["dil_conv_5x5", 1], ["dil_sep_conv_3x3", 0],
                   ["max_pool_2x2", 2]],
        "reduce_concat": [3],
    },
}  # fmt: skip
GENOTYPES["PNAS"] = GENOTYPES["ENAS"]


def cell_entry(kind="DARTS", width=8, depth=4, aux=False, errors=(40.5, 12.25, 6.5), **more):
    net = {"genotype": GENOTYPES[kind], "width": width, "depth": depth, "aux": aux}
    return run_of(net | {"drop_prob": 0.0}, errors, **more)


def staged_entry(block="res_basic_block", errors=(30.0, 9.5), **net):
    given = {"block_type": block, "ds": [1, 2, 1], "ws": [8, 16, 24], "ss": [1, 2, 2]}
    return run_of(given | net, errors)


BOTTLENECK = {"bot_muls": [0.5, 1.0, 0.25], "num_gs": [2, 4, 3]}


def run_of(net, errors, **more):
    return {
        "net": net,
        "optim": {"base_lr": 0.1, "wd": 5e-4, "max_ep": len(errors)},
        "params": 123456,
        "flops": 7890123,
        "train_ep_top1": list(errors),
        "test_ep_top1": list(errors),
        "train_ep_loss": [float("nan")] * len(errors),  # as of a training that diverged
        "iter_time": 0.125,
        "rng_seed": 3,
    } | more


def some_cells():
    """Networks of cells, one of each kind."""
    return [*(cell_entry(kind) for kind in GENOTYPES), cell_entry("ENAS", 16, 7, aux=True)]


def some_stages():
    """Networks of stages, one of each kind."""
    return [
        staged_entry(),
        staged_entry("double_plain_block"),
        staged_entry("res_bottleneck_block", **BOTTLENECK),
        staged_entry("res_bottleneck_block", bot_muls=[1.0] * 3, num_gs=[1] * 3),
    ]


def some_entries():
    """One of each kind; no space has both cells and stages."""
    return [*some_cells(), *some_stages()]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(*entries):
    """What the package makes of some entries."""
    return read_entries(json.dumps(entries).encode(), "given.json")


def network_of(net):
    """The network that the `net` of an entry means."""
    (entry,) = read(run_of(net, (1.0,)))
    return entry.network


def changed(entry, path, value):
    """The entry with another value at a path of keys; without that key where it is `...`."""
    copied = deepcopy(entry)
    *parents, last = path
    place = copied
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copied
