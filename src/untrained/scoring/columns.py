"""Columns of the tables of scores, which are known without importing what makes them."""

SCORE_TYPES = {
    "arch": "int32",
    "proxy": "str",
    "dataset": "str",
    "seed": "int64",
    "score": "float64",
    "status": "str",
}
SCORE_COLUMNS = list(SCORE_TYPES)

#: How long a score took, where that was asked for.
SECONDS = "seconds"

#: Of a table of training curves.
CURVE_COLUMNS = [
    *("dataset", "arch", "seed", "epochs", "quantity", "value", "status", "reason"),
]

#: Of a table of ablations.
ABLATION_COLUMNS = [
    *("experiment", "dataset", "batch_size", "arch", "bin_low", "bin_high"),
    *("minibatch_seed", "weight_seed", "score", "status"),
]
