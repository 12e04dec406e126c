"""Columns of the tables of scores with their types, known without importing what makes them."""

SCORE_TYPES = {
    "arch": "int32",
    "proxy": "str",
    "dataset": "str",
    "seed": "int64",
    "score": "float64",
    "status": "str",
}
SCORE_COLUMNS = list(SCORE_TYPES)

#: The optional column with the seconds that each score took.
SECONDS = "seconds"

#: The column of scores that come with the project with the size of their minibatch.
BATCH_SIZE = "batch_size"

#: Columns of a table of training curves.
CURVE_TYPES = {
    "dataset": "str",
    "arch": "int64",
    "seed": "int64",
    "epochs": "float64",
    "quantity": "str",
    "value": "float64",
    "status": "str",
    "reason": "str",
}
CURVE_COLUMNS = list(CURVE_TYPES)

#: Columns of a table of ablations.
ABLATION_TYPES = {
    "experiment": "str",
    "dataset": "str",
    "batch_size": "int32",
    "arch": "int32",
    "bin_low": "float64",
    "bin_high": "float64",
    "minibatch_seed": "int64",
    "weight_seed": "int64",
    "score": "float64",
    "status": "str",
}
ABLATION_COLUMNS = list(ABLATION_TYPES)

#: Columns of a table of fronts.
FRONT_TYPES = {
    **dict.fromkeys(("score", "by", "algorithm"), "str"),
    "run": "int64",
    "evaluations": "int64",
    "seconds": "float64",
    "place": "int64",
    "arch": "int64",
}
