TRACE = "results/searches/{algorithm}/{space}/{dataset}/{shard}of{shards}.parquet"


def traces(space):
    """The traces of all shards of the runs on a space, where it has a benchmark."""
    return expand(
        TRACE,
        algorithm=config["searches"]["algorithms"],
        space={space} & set(PLAN.measured),
        dataset=PARAMETERS.datasets_of(space),
        **numbered("searches"),
    )


ABLATIONS = "results/ablations/{space}.parquet"


def ablations(space):
    """The scores of all experiments on a space, where any make sense."""
    return expand(ABLATIONS, space={space} & set(PLAN.ablated))


PRUNING = "results/prunings/{variant}/{criterion}/{space}/{dataset}/seed{seed}.parquet"


def pruning_traces(space):
    """The traces of all pruning searches on a space."""
    return expand(
        PRUNING,
        variant=config["prunings"]["variants"],
        criterion=config["prunings"]["criteria"],
        space={space} & set(PLAN.pruned),
        dataset=config["prunings"]["datasets"],
        seed=config["prunings"]["seeds"],
    )


FRONTS = "results/devices/{space}/{dataset}.parquet"


def fronts(space):
    """The fronts of a score and each cost on a device, where a space has both."""
    return expand(FRONTS, space={space} & set(PLAN.fitted), dataset=config["devices"]["dataset"])


def named_costs():
    """The options that name costs on devices; none for all of them."""
    costs = config["devices"]["costs"]
    return "" if costs == "all" else [f"--cost {shlex.quote(one)}" for one in costs]


CURVES = "results/training_curves/{space}/{dataset}/seed{seed}/{shard}of{shards}.parquet"


def training_curves(space):
    """What was read over the trainings of all cells of a space."""
    return expand(
        CURVES,
        space={space} & set(PLAN.followed),
        dataset=config["training_curves"]["dataset"],
        seed=config["training_curves"]["seeds"],
        **numbered(
            "training_curves",
            len(PLAN.followed) * len(config["training_curves"]["seeds"]),
            most=config["training_curves"]["cells"],
        ),
    )
