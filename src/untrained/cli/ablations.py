"""`untrained ablate`: what moves a score besides the architecture."""

from pathlib import Path
from typing import Annotated

import typer

ABLATION_COLUMNS = [
    *("experiment", "dataset", "batch_size", "arch", "bin_low", "bin_high"),
    *("minibatch_seed", "weight_seed", "score", "status"),
]


def ablate(
    space: Annotated[str, typer.Argument(help="Search space: nasbench201.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            help="minibatch, noise, initialisation, batch-size or variance; may be repeated. "
            "Default: all."
        ),
    ] = None,
    proxy: Annotated[str, typer.Option(help="`name` or `name-variant`.")] = "naswot",
    dataset: Annotated[str, typer.Option(help="Whose images the networks are shown.")] = "cifar100",
    split: Annotated[str, typer.Option(help="Of the data set.")] = "sample",
    batch_size: Annotated[int, typer.Option(help="Images, unless they are varied.")] = 128,
    batch_sizes: Annotated[str, typer.Option(help="Those that are varied.")] = "32,64,128,256",
    repeats: Annotated[int, typer.Option(help="Scores of each of the ten cells.")] = 20,
    cells: Annotated[int, typer.Option(help="Random cells of the variance split.")] = 200,
    minibatches: Annotated[int, typer.Option(help="Of the variance split.")] = 4,
    initialisations: Annotated[int, typer.Option(help="Of the variance split.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the draws of cells.")] = 0,
    benchmark: Annotated[Path | None, typer.Option(help="Benchmark table.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, plain or fast.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
) -> None:
    """Score cells again and again with one thing varied (the NASWOT paper's Fig. 5).

    The ten cells differ in CIFAR-100 test accuracy; the variance split has random ones.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.errors import ParameterError
    from untrained.files import write_parquet
    from untrained.images.sets import image_set
    from untrained.proxies import get_proxy
    from untrained.report.published import NASBENCH201_SPLITS
    from untrained.scoring.ablations import (
        ABLATED_SPACES,
        EXPERIMENTS,
        AblationSettings,
        score_trials,
        trials_of,
    )
    from untrained.scoring.engine import MinibatchSettings
    from untrained.spaces import get_space

    searched, chosen = get_space(space), get_proxy(proxy)
    if space not in ABLATED_SPACES:
        raise ParameterError(
            f"no ablations of {space}: its cells have no accuracies on CIFAR-100 to choose by; "
            f"take {', '.join(ABLATED_SPACES)}"
        )
    sizes = _sizes(batch_sizes)
    settings = AblationSettings(repeats, sizes, cells, minibatches, initialisations, seed)
    truth = Benchmark.load(space, path=benchmark)
    accuracy = truth.accuracies(*NASBENCH201_SPLITS["cifar100", "test"])
    images = MinibatchSettings(dataset, image_set(dataset).split(split), batch_size)
    trials = [
        (name, trial)
        for name in dict.fromkeys(experiment or EXPERIMENTS)
        for trial in trials_of(name, searched, accuracy, images, settings)
    ]

    import pandas as pd

    from untrained.cli.progress import track
    from untrained.scoring.devices import leased_device
    from untrained.scoring.execution import Execution, prepare_worker

    prepare_worker()
    with leased_device(device) as where:
        execution = Execution(where, engine, precision)
        scores = score_trials(searched, (trial for _, trial in trials), chosen, execution)
        title = f"{space}/{'+'.join(experiment or EXPERIMENTS)}/{proxy} on {where}"
        rows = [
            (
                *(name, trial.images.dataset, trial.images.batch_size),
                *(trial.cell.arch, trial.cell.low, trial.cell.high),
                *(trial.minibatch_seed, trial.weight_seed, score.score, score.status),
            )
            for (name, trial), score in zip(
                trials, track(scores, len(trials), title, "scores"), strict=True
            )
        ]
    found = pd.DataFrame(rows, columns=ABLATION_COLUMNS).astype(
        {"experiment": "str", "dataset": "str", "batch_size": "int32", "arch": "int32"}
        | dict.fromkeys(("bin_low", "bin_high", "score"), "float64")
        | dict.fromkeys(("minibatch_seed", "weight_seed"), "int64")
        | {"status": "str"}
    )
    keys = ["experiment", "batch_size", "arch", "minibatch_seed", "weight_seed"]
    write_parquet(found.sort_values(keys, ignore_index=True), out)


def _sizes(text: str) -> tuple[int, ...]:
    from untrained.errors import ParameterError

    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ParameterError(f"--batch-sizes {text!r}: whole numbers between commas, as in 32,64")
    return tuple(int(part) for part in parts)
