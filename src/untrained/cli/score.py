"""`untrained score`: one architecture, several, or a network of one's own."""

import importlib
import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli.shards import warn_of_test_labels
from untrained.errors import MissingDataError, ParameterError, UnknownNameError, UntrainedError
from untrained.files import SCORES

if TYPE_CHECKING:
    from torch import nn

    from untrained.proxies import Proxy
    from untrained.scoring.engine import MinibatchSettings, Score
    from untrained.scoring.execution import Execution
    from untrained.spaces import Architecture, SearchSpace


@dataclass(frozen=True)
class Result:
    """What is printed of one architecture.

    Attributes:
        architecture: index in the space; None for a network of one's own.
        spelling: in the space's notation, or the address of the network.
        score: of the first seed; None where undefined.
        mean: over the seeds; None where any is undefined.
        std: over the seeds (ddof 1); None below two.
        proxy: how it is spelled.
        setting: of network and minibatch, as far as the proxy decides it.
        status: of the first seed.
        reason: of an undefined score.
        seconds: per score, mean.
        percentile: percent of the cached scores below the mean; None where there is no cache.
        accuracy: data set and split to percent after the full training, where it is known.
        undefined: seeds other than the first without a score, and why.
    """

    architecture: int | None
    spelling: str
    score: float | None
    mean: float | None
    std: float | None
    proxy: str
    setting: str
    status: str
    reason: str
    seconds: float
    percentile: float | None
    accuracy: dict[str, float]
    undefined: dict[int, str]


def score(
    target: Annotated[
        str, typer.Argument(help="A search space, or package.module:factory of your own network.")
    ],
    architectures: Annotated[
        list[str] | None, typer.Argument(metavar="ARCH...", help="Indices or spellings.")
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="`name`, `name-variant` or `name@epochs` of training; may be repeated. Default: "
            "naswot."
        ),
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Of the proxies.")] = None,
    dataset: Annotated[str, typer.Option(help="Whose images are shown.")] = "cifar10",
    split: Annotated[str, typer.Option(help="Of the data set.")] = "sample",
    seed: Annotated[int, typer.Option(help="Of minibatch and weights.")] = 0,
    seeds: Annotated[int, typer.Option(help="How many, from --seed on, give the spread.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Images per minibatch.")] = 128,
    augmentation: Annotated[str, typer.Option(help="none or crop-flip.")] = "none",
    sampling: Annotated[str, typer.Option(help="Of images: uniform, or balanced by class.")] = (
        "uniform"
    ),
    shape: Annotated[
        str | None, typer.Option("--input", help="CxHxW that your own network takes.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, plain or fast.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> None:
    """Score architectures of a space, or a network of your own."""
    from untrained.proxies import get_proxy, spelling_of
    from untrained.spaces import SPACES, get_space

    own = ":" in target and target not in SPACES.names()
    if seeds < 1:
        raise ParameterError(f"--seeds {seeds}: 1 or more")
    chosen = [get_proxy(one, variant) for one in proxy or ["naswot"]]
    parsed = []
    if own:
        if architectures:
            raise ParameterError(f"{target} is one network: drop {architectures[0]!r}")
        size = parse_shape(shape or "3x32x32")
        factory = load_factory(target)
    else:
        searched = get_space(target)
        if not architectures:
            raise ParameterError(f"which architecture of {target}? give an index or a spelling")
        parsed = [searched.parse(text) for text in architectures]

    from untrained.images.sets import image_set
    from untrained.scoring.devices import leased_device
    from untrained.scoring.engine import MinibatchSettings
    from untrained.scoring.execution import Execution, prepare_worker

    split = image_set(dataset).split(split)
    settings = MinibatchSettings(dataset, split, batch_size, augmentation, sampling)
    numbers = range(seed, seed + seeds)
    warn_of_test_labels(list(map(spelling_of, chosen)))
    if not own:
        prepare_worker()
    with leased_device(device) as where:
        execution = Execution(where, engine, precision)
        if own:
            try:
                found = [
                    _score_own(factory, size, by, settings, numbers, execution) for by in chosen
                ]
            except UntrainedError:
                raise
            except Exception as error:
                said = (str(error).splitlines() or [""])[0]
                shape = "x".join(map(str, size))
                raise ParameterError(
                    f"{target} failed on images of {shape}: {type(error).__name__}: {said} "
                    "(--debug shows where)"
                ) from error
            results = [
                _result(None, target, by, numbers, scores, None, {})
                for by, scores in zip(chosen, found, strict=True)
            ]
        else:
            results = [
                result
                for by in chosen
                for result in _score_cells(searched, parsed, by, settings, numbers, execution)
            ]
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results], indent=1))
    else:
        _print(target, results, seed, seeds)


def _score_cells(
    space: "SearchSpace",
    architectures: "list[Architecture]",
    proxy: "Proxy",
    settings: "MinibatchSettings",
    seeds: range,
    execution: "Execution",
) -> list[Result]:
    from untrained.scoring.engine import score_architectures

    indices = [architecture.index for architecture in architectures]
    by_seed = [
        list(score_architectures(space, indices, proxy, settings, seed, execution, _watch))
        for seed in seeds
    ]
    cached = _cached_scores(space.name, proxy, settings)
    return [
        _result(
            architecture.index,
            architecture.spelling,
            proxy,
            seeds,
            [scores[position] for scores in by_seed],
            cached,
            _accuracies(space.name, architecture.index),
        )
        for position, architecture in enumerate(architectures)
    ]


def _watch(steps: "Iterable[int]", count: int) -> "Iterable[int]":
    from untrained.cli.progress import track

    return track(steps, count, "training", "steps")


def parse_shape(text: str) -> tuple[int, int, int]:
    """(C, H, W) of "3x32x32".

    Raises:
        ParameterError: not three positive integers.
    """
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ParameterError(f"--input {text!r}: channels x height x width, as in 3x32x32")
    channels, height, width = (int(part) for part in parts)
    return channels, height, width


def load_factory(address: str) -> "Callable[[], nn.Module]":
    """The callable at `package.module:name`, looked for in the working directory too.

    Raises:
        UnknownNameError: no such module or attribute, or it can't be called.
        ParameterError: the module can't be imported.
    """
    module_name, _, name = address.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UnknownNameError(f"{address}: no module named {error.name!r}") from error
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise ParameterError(
            f"{address}: {module_name} can't be imported: {type(error).__name__}: {said} "
            "(--debug shows where)"
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise UnknownNameError(f"{address}: {module_name} has no function or class {name!r}")
    found: Callable[[], nn.Module] = factory
    return found


def _score_own(
    factory: "Callable[[], nn.Module]",
    shape: tuple[int, int, int],
    proxy: "Proxy",
    settings: "MinibatchSettings",
    seeds: range,
    execution: "Execution",
) -> "list[Score]":
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.proxies import setting_of
    from untrained.scoring.engine import score_network
    from untrained.scoring.inputs import fitted

    def build(_classes: int) -> nn.Module:
        network = factory()
        if not isinstance(network, nn.Module):
            raise ParameterError(
                f"the factory returned a {type(network).__name__}: it must return a torch.nn.Module"
            )
        return network

    scores, device = [], execution.device
    setting, training = setting_of(proxy), None
    for seed in seeds:
        if setting.epochs:
            training = settings.training_images(seed, _watch, whole=setting.test_after_training)
            if training.known.shape != shape:
                raise ParameterError(
                    f"--input {'x'.join(map(str, shape))}: training shows images as they are, "
                    f"{'x'.join(map(str, training.known.shape))}"
                )
        drawn = fitted(settings.sized_for(proxy), shape, seed)
        batch = Minibatch(drawn.images.to(device), drawn.labels.to(device), drawn.num_classes)
        scores.append(score_network(build, proxy, batch, execution, seed, training=training))
    return scores


def _result(
    index: int | None,
    spelling: str,
    proxy: "Proxy",
    seeds: range,
    scores: "list[Score]",
    cached: Any,  # noqa: ANN401 - a NumPy array or None
    accuracy: dict[str, float],
) -> Result:
    import numpy as np

    from untrained.proxies import described, spelling_of

    values = np.array([np.nan if s.score is None else s.score for s in scores])
    mean = None if np.isnan(values).any() else float(values.mean())
    percentile = None
    if mean is not None and cached is not None and len(cached):
        percentile = float((cached < mean).mean() * 100)
    return Result(
        architecture=index,
        spelling=spelling,
        score=scores[0].score,
        mean=mean,
        std=float(values.std(ddof=1)) if mean is not None and len(values) > 1 else None,
        proxy=spelling_of(proxy),
        setting=described(proxy),
        status=scores[0].status,
        reason=scores[0].reason,
        seconds=float(np.mean([s.seconds for s in scores])),
        percentile=percentile,
        accuracy=accuracy,
        undefined={
            number: f"{one.status} ({one.reason})"
            for number, one in zip(seeds, scores, strict=True)
            if one.score is None and number != seeds[0]
        },
    )


def _cached_scores(space: str, proxy: "Proxy", settings: "MinibatchSettings") -> Any:  # noqa: ANN401
    """Finite mean scores of the last run, if it was made with the same settings."""
    import numpy as np

    from untrained.files import read_parquet
    from untrained.parameters import read_parameters
    from untrained.proxies import spelling_of
    from untrained.search.pool import scores_of

    path = SCORES / f"{space}.parquet"
    made_with = read_parameters().get("scores") or {}
    same = all(
        made_with.get(name) == getattr(settings, name)
        for name in ("split", "batch_size", "augmentation", "sampling")
    )
    if not (path.is_file() and same):
        return None
    try:
        _, values = scores_of(read_parquet(path), spelling_of(proxy), settings.dataset)
    except MissingDataError:
        return None  # other proxies or data sets were scored, these were not
    mean = values.mean(axis=0)
    return mean[np.isfinite(mean)]


def _accuracies(space: str, index: int) -> dict[str, float]:
    from untrained.benchmarks.benchmark import Benchmark

    path = Benchmark.find(space)
    if path is None:
        return {}
    table = Benchmark.read(path, space)
    if index >= len(table):
        return {}
    found = {f"{one}/{split}": table.accuracies(one, split)[index] for one, split in table.finals}
    # a bundled table may be of some architectures
    return {column: round(float(one), 4) for column, one in found.items() if not math.isnan(one)}


def _print(target: str, results: list[Result], seed: int, seeds: int) -> None:
    for result in results:
        name = f"{result.architecture}  " if result.architecture is not None else ""
        typer.echo(f"{name}{result.spelling}")
        if len({one.proxy for one in results}) > 1:
            typer.echo(f"  proxy       {result.proxy}")
        if result.score is None:
            typer.echo(f"  score       undefined: {result.status} ({result.reason})")
        else:
            spread = ""
            if result.mean is not None and result.std is not None:
                spread = f"; {_number(result.mean)} ± {_number(result.std)} over {seeds} seeds"
            typer.echo(f"  score       {_number(result.score)} (seed {seed}{spread})")
        for number, said in result.undefined.items():
            typer.echo(f"              undefined with seed {number}: {said}")
        if result.percentile is not None:
            typer.echo(f"  percentile  {result.percentile:.1f} of the cached scores")
        for column, value in result.accuracy.items():
            typer.echo(f"  accuracy    {value:.2f} %  {column}, {_training_of(target)}")
        typer.echo(f"  time        {result.seconds:.3f} s per score")


def _training_of(space: str) -> str:
    from untrained.spaces import get_space

    facts = get_space(space).benchmark
    return f"{facts.full_epochs} epochs" if facts and facts.full_epochs else "full training"


def _number(value: float) -> str:
    """Three decimals; three digits where decimals would show none of them."""
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.1 else f"{value:.3g}"
