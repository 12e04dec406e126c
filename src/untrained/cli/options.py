"""Options and messages that several commands share."""

import inspect
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from untrained.cli.progress import tell
from untrained.errors import ParameterError, quoted
from untrained.files import check_folder, check_target
from untrained.limits import SEEDS

if TYPE_CHECKING:
    from untrained.scoring.request import Settings
    from untrained.search.live import Live

Number = TypeVar("Number", int, float)


def written(target: Path | None) -> Path | None:
    """Check before any work that the file of an option can be written."""
    if target is not None:
        check_target(target)
    return target


def allowed(seed: int) -> int:
    """Check the seed of an option."""
    from untrained.seeds import check_seed

    check_seed(seed)
    return seed


def filled(folder: Path | None) -> Path | None:
    """Check before any work that files can be written in the folder of an option."""
    if folder is not None:
        check_folder(folder)
    return folder


def completed(*registries: str) -> Callable[[], list[tuple[str, str]]]:
    """Return what lists the spellings of registries, with descriptions, for the shell to complete.

    Args:
        registries: addresses, which are imported only when the shell asks for a completion.
    """

    def spellings() -> list[tuple[str, str]]:
        from untrained.plugins import imported

        found = [one for name in registries for one in imported("registry", name).described()]
        return [(text, one.summary) for one in found for text in one.spellings]

    return spellings


SPACES, PROXIES = "untrained.spaces:SPACES", "untrained.proxies:PROXIES"
DATASETS, ALGORITHMS = "untrained.images.sets:IMAGE_SETS", "untrained.search:ALGORITHMS"

Space = Annotated[
    str,
    typer.Argument(
        help="Name of a search space, or the address of your own: package.module:Class.",
        autocompletion=completed(SPACES),
    ),
]
Architectures = Annotated[
    list[str],
    typer.Argument(metavar="ARCH...", help="Indices or spellings of architectures of the space."),
]
Proxy = Annotated[
    str,
    typer.Option(
        help="Proxy, spelled `name`, `name-variant` or `name@epochs` of training.",
        autocompletion=completed(PROXIES),
    ),
]


def _proxies(more: str) -> Any:  # noqa: ANN401 - an option
    return typer.Option(
        "--proxy",
        help="Proxy, spelled `name`, `name-variant`, `name:images` or `name@epochs` of training; "
        f"repeatable{more}.",
        autocompletion=completed(PROXIES),
    )


Proxies = Annotated[list[str] | None, _proxies("")]
#: Of the commands that read one proxy where none is named.
ReadProxies = Annotated[
    list[str] | None, _proxies("; default: naswot. `untrained list proxies` has all of them")
]
#: Of the command that ranks candidates, by ensembles too.
RankingProxies = Annotated[
    list[str] | None,
    _proxies(
        "; or an ensemble, spelled `log(naswot,parameters)` or by its name; default: naswot. "
        "`untrained list proxies` has all of them"
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        help="Data set of the images that networks are shown.", autocompletion=completed(DATASETS)
    ),
]
Split = Annotated[str, typer.Option(help="Split of the data set; `sample` is bundled.")]
Seed = Annotated[int, typer.Option(help="Seed of minibatch and weights.", callback=allowed)]
Seeds = Annotated[int, typer.Option(help="Number of consecutive seeds, from --seed.")]
BatchSize = Annotated[int, typer.Option(help="Number of images in a minibatch.")]
Augmentation = Annotated[str, typer.Option(help="Augmentation of the images: none or crop-flip.")]
Sampling = Annotated[str, typer.Option(help="How images are drawn: uniform, or balanced by class.")]
Device = Annotated[
    str,
    typer.Option(
        help="Device that computes: cpu, cuda:0, ..., or auto, which is a GPU if one is free."
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="Engine that runs networks: plain, fast, batched (many at once), or auto, the "
        "fastest one that can."
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Type of the numbers: float32, bfloat16, or auto, which is the faster of the two."
    ),
]
Out = Annotated[Path, typer.Option(help="Parquet file to write.", dir_okay=False, callback=written)]
Benchmark = Annotated[
    Path | None,
    typer.Option(
        help="Benchmark table to read; default: the fetched or the bundled one.", dir_okay=False
    ),
]
Scores = Annotated[
    Path | None,
    typer.Option(help="Table of merged scores; default: that of the workflow.", dir_okay=False),
]
Where = Annotated[
    str | None,
    typer.Option(
        help="Constraint on the architectures: conditions between commas, as in 'latency[raspi4] "
        "<= 10 ms, parameters <= 1e6'; `untrained list devices` has the devices."
    ),
]
Devices = Annotated[
    Path | None,
    typer.Option(
        "--devices-table",
        help="Table of latencies and energies to read beside those that come along, such as one of "
        "`untrained measure`.",
        dir_okay=False,
    ),
]
Shard = Annotated[int, typer.Option(help="Number of the shard to do, from 0.")]
Shards = Annotated[int, typer.Option(help="Number of shards that the work is cut into.")]
Ledger = Annotated[
    Path | None,
    typer.Option(
        help="File of finished work, from which an interrupted command resumes.", dir_okay=False
    ),
]
ScoreSeeds = Annotated[
    int,
    typer.Option(
        help="Number of seeds of the scores with --live; run r scores with seed r modulo it."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Report no progress; warnings and errors are shown.")
]

#: The type and default of the option for each item of `untrained.scoring.request.Settings`.
_SETTINGS: dict[str, tuple[Any, Any]] = {
    "dataset": (Dataset, "cifar10"),
    "split": (Split, "sample"),
    "batch_size": (BatchSize, 128),
    "augmentation": (Augmentation, "none"),
    "sampling": (Sampling, "uniform"),
    "device": (Device, "auto"),
    "engine": (Engine, "auto"),
    "precision": (Precision, "auto"),
}


def with_settings(
    *,
    without: Collection[str] = (),
    **defaults: Any,  # noqa: ANN401 - of options
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace the parameter `settings` of a command by an option for each of its items.

    Args:
        without: items that the command does not have.
        defaults: defaults that differ from the usual ones; `...` makes an option required.
    """
    items = [name for name in _SETTINGS if name not in without]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:  # noqa: ANN401 - the options of the command
            settings = {name: given.pop(name) for name in items}
            command(**given, settings=settings)

        signature = inspect.signature(command)
        own = [one.replace(kind=one.KEYWORD_ONLY) for one in signature.parameters.values()]
        place = next(number for number, one in enumerate(own) if one.name == "settings")
        own[place : place + 1] = [_parameter(name, defaults) for name in items]
        run.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in own} | {"return": None}
        return run

    return decorated


def _parameter(name: str, defaults: dict[str, Any]) -> inspect.Parameter:
    kind, usual = _SETTINGS[name]
    default = defaults.get(name, usual)
    required = inspect.Parameter.empty if default is ... else default
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=required, annotation=kind
    )


def given(context: typer.Context, *names: str) -> list[str]:
    """Return those options of a command that were given, as they are spelled."""
    sources = {
        str(one.opts[0]): context.get_parameter_source(str(one.name))
        for one in context.command.params
        if one.name in names
    }
    return [
        option
        for option, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    ]


def without_effect(context: typer.Context, why: str, *names: str) -> None:
    """Refuse those options of a command that were given, as they would change nothing.

    Args:
        context: the command.
        why: the reason.
        names: the parameters of the options.

    Raises:
        ParameterError: one was given.
    """
    if idle := given(context, *names):
        raise ParameterError(f"{', '.join(idle)}: {why}, leave it out")


def live_scores(
    context: typer.Context,
    settings: "Settings",
    *,
    live: bool,
    ledger: Path | None,
    score_seeds: int,
    out: Path | None,
) -> "Live | None":
    """Return how a search with --live scores; None for a search that reads scores.

    The ledger is beside the file of the search unless it is named.

    Raises:
        ParameterError: an option of --live is given without it.
    """
    of_scores = "ledger", "score_seeds", *(name for name in settings if name != "dataset")
    if not live:
        without_effect(context, "only --live makes scores", *of_scores)
        return None
    from untrained.search.live import Live

    beside = None if out is None else out.with_name(f"{out.name}.ledger")
    shown: dict[str, Any] = {**settings}
    del shown["dataset"]
    return Live(seeds=score_seeds, ledger=ledger or beside, **shown)


def words_of(context: typer.Context, *names: str) -> list[str]:
    """Return those options of a command that are not their defaults, as words of a command."""
    chosen = [one for one in context.command.params if one.name in names]
    values = [(one, context.params[str(one.name)]) for one in chosen]
    changed = [(one.opts[0], str(value)) for one, value in values if value != one.default]
    return [word for pair in changed for word in pair]


def numbers(
    option: str, text: str, kind: Callable[[str], Number], words: str, example: str
) -> tuple[Number, ...]:
    """Return the numbers of an option, which are separated by commas.

    Raises:
        ParameterError: one of them is no number of this kind.
    """
    try:
        return tuple(map(kind, text.split(",")))
    except ValueError as error:
        raise ParameterError(
            f"{option} {quoted(text)}: {words} between commas, as in {example}"
        ) from error


def seeds_from(seed: int, seeds: int) -> range:
    """Return the seeds of the options --seed and --seeds.

    Raises:
        ParameterError: there are none, or the last is too large.
    """
    from untrained.seeds import check_seed

    if not 1 <= seeds <= SEEDS:
        raise ParameterError(f"--seeds {seeds}: 1 to {SEEDS}")
    check_seed(seed + seeds - 1)
    return range(seed, seed + seeds)


def number(value: float) -> str:
    """Format a whole number as it is, others with three decimals, or three digits if small."""
    if value == round(value):
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.3g}"


def training_of(space: str) -> str:
    """Return how the architectures of a benchmark were trained, such as "200 epochs"."""
    from untrained.spaces import get_space

    facts = get_space(space).benchmark
    return f"{facts.full_epochs} epochs" if facts and facts.full_epochs else "full training"


def warn_of_test_labels(proxies: Iterable[str]) -> None:
    """Warn on standard error of proxies that are read on the labels of test images."""
    from untrained.scoring.ensembles import readings_of

    readings = readings_of(proxies)
    if leaking := [str(reading) for reading in readings if reading.setting.shows_test]:
        tell(f"warning: {', '.join(leaking)} reads the labels of test images")
