"""Small files in the layout of the official one, made with the package of its authors."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from nas_201_api import ArchResults, ResultsCount

from untrained.benchmarks.nasbench201 import convert_nasbench201
from untrained.errors import DamagedFileError
from untrained.spaces.nasbench201 import NasBench201

SPLITS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
SPELLINGS = [
    f"|{a}~0|+|none~0|{b}~1|+|none~0|none~1|skip_connect~2|"
    for a in ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    for b in ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
]


@pytest.fixture
def few_cells(monkeypatch):
    """The space has the cells of the small files, and no others."""
    monkeypatch.setattr(NasBench201, "__len__", lambda self: len(SPELLINGS))
    monkeypatch.setattr(NasBench201, "spelling", lambda self, index: SPELLINGS[index])


def run_of(dataset, seed, index, epochs, rng, kind, config=None):
    """One training run: per-epoch losses, accuracies and times on every split."""

    def numbers(low, high):
        return [kind(value) for value in rng.uniform(low, high, epochs)]

    if config is None:
        config = {"channel": 16, "num_cells": 5, "arch_str": SPELLINGS[index], "class_num": 10}
    params, flops = kind(0.073306 + index / 1e3), kind(7.78305 + index)
    run = ResultsCount(dataset, None, {}, {}, params, flops, config, str(seed), epochs, None)
    keys = range(epochs)
    run.update_train_info(*(dict(zip(keys, numbers(1, 99), strict=True)) for _ in range(4)))
    evaluated = [
        {
            f"{split}@{epoch}": value
            for split in SPLITS[dataset]
            for epoch, value in enumerate(numbers(5, 95))
        }
        for _ in range(3)
    ]
    run.update_eval(*evaluated)
    run.update_latency([kind(0.01 + index / 1e3), kind(0.02)])
    return run


def results_of(index, epochs, rng, kind=float, datasets=SPLITS, seeds=(777, 888, 999)):
    """The runs of one architecture, some of which have a run less."""
    results = ArchResults(index, SPELLINGS[index])
    for number, dataset in enumerate(datasets):
        for seed in seeds[: 1 + (index + number) % len(seeds)]:
            results.update(dataset, seed, run_of(dataset, seed, index, epochs, rng, kind))
    return results


def official_content(indices=(0, 1, 2, 7), kind=float, **settings):
    rng = np.random.default_rng(sum(indices))
    return {
        "meta_archs": SPELLINGS,
        "arch2infos": {
            index: {
                "full": results_of(index, 200, rng, kind, **settings).state_dict(),
                "less": results_of(index, 12, rng, kind, **settings).state_dict(),
            }
            for index in indices
        },
        "evaluated_indexes": list(indices),
    }


def save(content, folder: Path, *, legacy=False, algorithm="md5", last=True) -> Path:
    """Write with `torch.save`, under a name with the digits of the content's checksum."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return name_it(buffer.getvalue(), folder, algorithm=algorithm, last=last)


def name_it(content: bytes, folder: Path, *, algorithm="md5", last=True) -> Path:
    checksum = hashlib.new(algorithm, content).hexdigest()
    path = folder / f"NAS-Bench-201-v9_9-{checksum[-6:] if last else checksum[:6]}.pth"
    path.write_bytes(content)
    return path


def convert(path, **settings):
    target = path.parent / "converted.parquet"
    convert_nasbench201(path, target, **settings)
    return target


def refused(path, match, error=DamagedFileError):
    target = path.parent / "refused" / "table.parquet"
    with pytest.raises(error, match=match) as caught:
        convert_nasbench201(path, target)
    assert "\n" not in str(caught.value)
    assert not target.parent.exists()
