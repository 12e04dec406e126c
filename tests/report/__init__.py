"""What several tests of reports feed them."""

#: What reports read of NAS-Bench-201: (data set, split) to the benchmark's.
SPLITS = {
    ("cifar10", "val"): ("cifar10-valid", "x-valid"),
    ("cifar10", "test"): ("cifar10", "ori-test"),
    ("cifar100", "val"): ("cifar100", "x-valid"),
    ("cifar100", "test"): ("cifar100", "x-test"),
    ("ImageNet16-120", "val"): ("ImageNet16-120", "x-valid"),
    ("ImageNet16-120", "test"): ("ImageNet16-120", "x-test"),
}


def table_of_searches(results, *, splits=SPLITS, beside=None, **settings):
    """Hold results against the published searches of NAS-Bench-201, or against others."""
    from untrained.report.published import published_searches
    from untrained.report.search_tables import search_table

    known = published_searches("nasbench201") if beside is None else beside
    return search_table(results, splits, known, **settings)
