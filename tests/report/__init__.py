"""What several tests of reports feed them."""

import numpy as np

#: What reports read of NAS-Bench-201: (data set, split) to the benchmark's.
SPLITS = {
    ("cifar10", "val"): ("cifar10-valid", "x-valid"),
    ("cifar10", "test"): ("cifar10", "ori-test"),
    ("cifar100", "val"): ("cifar100", "x-valid"),
    ("cifar100", "test"): ("cifar100", "x-test"),
    ("ImageNet16-120", "val"): ("ImageNet16-120", "x-valid"),
    ("ImageNet16-120", "test"): ("ImageNet16-120", "x-test"),
}


#: The options of sections that resample.
RESAMPLED = {"resamples": 20, "seed": 0}


def fed(
    accuracy=None,
    *,
    space="nasbench201",
    splits=SPLITS,
    untimed=(),
    costs=None,
    tables=None,
    **read,
):
    """Return the inputs of a report that hold these values as if they had been read from files.

    Args:
        accuracy: maps data set and split of the benchmark to the accuracies after full trainings.
        space: name of the space.
        splits: what reports read of the benchmark.
        untimed: data sets of the benchmark whose training times are unknown.
        costs: parameters and FLOPs of the architectures, by default unknown.
        tables: name to table that was made before.
        read: other attributes of `Inputs`: `scores`, `traces`.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.report.inputs import Inputs
    from untrained.spaces import get_space

    known = {pair: np.asarray(accuracy(*pair), float) for pair in splits.values()}
    unknown = np.full(max(map(len, known.values())), np.nan)
    measures = {
        (*pair, get_space(space).benchmark.full_epochs or 1, "mean"): {
            "accuracy": values,
            "train_seconds": np.full(len(values), np.nan if pair[0] in untimed else 1.0),
        }
        for pair, values in known.items()
    }
    costs = dict.fromkeys(("parameters", "flops", "latency_seconds"), unknown) | (costs or {})
    inputs = Inputs(space)
    vars(inputs).update(
        benchmark=Benchmark(space, measures, {"cifar10": costs}),
        splits=splits,
        table=({} if tables is None else tables).__getitem__,
        **read,
    )
    return inputs


def table_of_searches(results, *, splits=SPLITS, beside=None, **settings):
    """Hold results against the published searches of NAS-Bench-201, or against others."""
    from untrained.report.published import published_searches
    from untrained.report.search_tables import search_table

    known = published_searches("nasbench201") if beside is None else beside
    return search_table(results, splits, known, **settings)
