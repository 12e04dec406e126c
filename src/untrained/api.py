"""What commands do, for notebooks: `from untrained import score, score_space, training_curves`.

Most functions take the settings of images and execution that `Settings` lists as further keyword
arguments. Work that can be interrupted takes a `ledger`, a file from which it resumes when it is
asked for again; see `untrained.scoring.ledger`.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
from torch import nn

from untrained.benchmarks.benchmark import Benchmark
from untrained.errors import ParameterError
from untrained.files import IMAGES
from untrained.images.sets import image_set
from untrained.images.splits import check_training_split
from untrained.proxies import Proxy
from untrained.scoring import own
from untrained.scoring.devices import leased_device
from untrained.scoring.engine import Score, score_architectures, score_work
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.ledger import Ledger, opened
from untrained.scoring.request import Reading, ScoreRequest, parse_reading
from untrained.scoring.shards import Shard, ShardSettings, shard_indices
from untrained.search.task import Track, quiet, untracked
from untrained.spaces import SPACES, Architecture, SearchSpace, get_space

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from untrained.scoring.ablations import AblationSettings
    from untrained.scoring.training_curves import Curve

__all__ = ["Score", "Scores", "ablate", "score", "score_seeds", "score_space", "training_curves"]


class Settings(TypedDict, total=False):
    """Which images networks are shown, and how they are run.

    Attributes:
        dataset: whose images are shown; default cifar10.
        split: `sample` (bundled, default), or a split of the official files.
        batch_size: images in the minibatch; default 128.
        augmentation: `none` (default) or `crop-flip`.
        sampling: `uniform` (default), or `balanced`: as many images of each class as can be.
        root: folder of the official files.
        device: `cpu` (default), another in PyTorch's notation, or `auto`: a GPU that is free.
        engine: `auto` (default), `plain` or `fast`; see `untrained.scoring.execution`.
        precision: `auto` (default), `float32` or `bfloat16`.
    """

    dataset: str
    split: str
    batch_size: int
    augmentation: str
    sampling: str
    root: Path
    device: str
    engine: str
    precision: str


def score(
    target: str | nn.Module,
    architecture: int | str | None = None,
    *,
    proxy: str | Proxy = "naswot",
    variant: str | None = None,
    seed: int = 0,
    **settings: Unpack[Settings],
) -> Score:
    """Score an architecture of a space, or a network of your own.

    >>> from untrained import score
    >>> score("nasbench201", 1462, proxy="naswot", batch_size=8).status
    'ok'

    Args:
        target: name of a space, or a module that takes (N, C, H, W) images of the data set. A
            module is scored with the weights it has, and left as it was.
        architecture: index or spelling in the space.
        proxy: name, `name-variant` or `name@epochs`, or a `Proxy`.
        variant: of the proxy; its default otherwise.
        seed: of minibatch and weights.
        settings: see `Settings`.

    Raises:
        UntrainedError: a name, an architecture or a setting that does not exist.
    """
    reading = parse_reading(proxy, variant) if isinstance(proxy, str) else Reading(proxy)
    if reading.setting.shows_test:
        warnings.warn(f"{reading.name} reads the labels of test images", stacklevel=2)
    if isinstance(target, nn.Module):
        with requested(type(target).__name__, [reading], [seed], settings) as request:
            return own.score_module(request, target)[0]
    space = get_space(target)
    if architecture is None:
        raise TypeError(f"which architecture of {target}? Give its index or spelling")
    index = space.parse(architecture).index
    with requested(space, [reading], [seed], settings) as request:
        return next(score_architectures(request, [index]))[0]


@dataclass(frozen=True)
class Scores:
    """The scores of one network by one proxy with several seeds.

    Attributes:
        architecture: of a space; None for a network of one's own.
        reading: the proxy.
        seeds: of minibatch and weights.
        scores: one for each seed.
    """

    architecture: Architecture | None
    reading: Reading
    seeds: tuple[int, ...]
    scores: tuple[Score, ...]

    @property
    def mean(self) -> float | None:
        """Over the seeds; None where any score is undefined."""
        values = self._values
        return None if np.isnan(values).any() else float(values.mean())

    @property
    def std(self) -> float | None:
        """Over the seeds (ddof 1); None below two, and where any score is undefined."""
        values = self._values
        return None if np.isnan(values).any() or len(values) < 2 else float(values.std(ddof=1))

    @property
    def _values(self) -> "NDArray[np.float64]":
        return np.array([np.nan if one.score is None else one.score for one in self.scores])


def score_seeds(
    target: str,
    architectures: Sequence[str | int] = (),
    *,
    proxies: Sequence[str] = ("naswot",),
    variant: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    shape: str = "3x32x32",
    track: Track = untracked,
    **settings: Unpack[Settings],
) -> list[Scores]:
    """Score architectures of a space, or a network of your own, by several proxies and seeds.

    Args:
        target: name of a space, or `package.module:factory` of a network of your own.
        architectures: indices or spellings in the space.
        proxies: how they are spelled.
        variant: of the proxies; that of their spelling otherwise.
        seeds: of minibatch and weights.
        shape: CxHxW that a network of your own takes.
        track: reports the progress of trainings.
        settings: see `Settings`.

    Returns:
        One for each proxy and, within that, architecture.

    Raises:
        UntrainedError: a name, an architecture or a setting that does not exist, or a network of
            your own failed.
    """
    readings = [parse_reading(one, variant) for one in proxies]
    space = _space_of(target)
    if space is None:
        if architectures:
            raise ParameterError(f"{target} is one network: drop {architectures[0]!r}")
        size, build = own.parse_shape(shape), own.builder(own.load_factory(target))
    elif not architectures:
        raise ParameterError(f"which architecture of {target}? give an index or a spelling")
    chosen = [] if space is None else [space.parse(text) for text in architectures]

    def watch(steps: Iterable[int], count: int) -> Iterable[int]:
        return track(steps, count, "training", "steps")

    found = []
    with requested(space or target, readings, seeds, settings) as request:
        for reading in readings:
            one = replace(request, proxies=(reading,))
            if space is None:
                with own.blamed(target, size):
                    by_seed = [own.score_own(one, build, seed, size, watch) for seed in seeds]
            else:
                work = [(architecture.index, [reading]) for architecture in chosen]
                made = [score_work(one, work, seed, watch) for seed in seeds]
                by_seed = [[score for (score,) in scores] for scores in made]
            for place, architecture in enumerate(chosen or [None]):
                scores = tuple(of_seed[place] for of_seed in by_seed)
                found.append(Scores(architecture, reading, tuple(seeds), scores))
    return found


def score_space(
    space: str,
    proxies: Sequence[str],
    *,
    seed: int = 0,
    architectures: str | int = "all",
    sample_seed: int = 0,
    shard: int = 0,
    shards: int = 1,
    among: "NDArray[np.int64] | None" = None,
    share: bool = False,
    ledger: Path | None = None,
    save: "Callable[[pd.DataFrame], None] | None" = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
    **settings: Unpack[Settings],
) -> "pd.DataFrame":
    """Score a sample of a space by several proxies with one seed, or a piece of it.

    Args:
        space: its name.
        proxies: how they are spelled.
        seed: of minibatch and weights.
        architectures: how many are drawn at random, or "all".
        sample_seed: of the draw.
        shard: which piece, from 0.
        shards: into how many pieces the sample is cut.
        among: (m,) sorted indices to draw from; None for the whole space.
        share: whether one architecture of each class that computes the same function is scored,
            for all of its members.
        ledger: file from which an interrupted call resumes; None for none.
        save: takes the table to where it stays, after which the ledger forgets the scores.
        track: reports progress.
        tell: takes messages for people.
        settings: see `Settings`.

    Returns:
        A row per proxy and architecture: `arch, proxy, dataset, seed, score, status, seconds`.

    Raises:
        UntrainedError: a name, a number or a setting that does not exist, or a ledger that can't
            be used.
    """
    searched = get_space(space)
    # naswot and naswot@0 are one
    readings = list({str(one): one for one in map(parse_reading, proxies)}.values())
    piece = ShardSettings(str(architectures), sample_seed, shard, shards, share)
    indices = shard_indices(searched, piece, among)
    with requested(searched, readings, [seed], settings) as request:
        wanted = Shard(request, indices, share)
        title = (
            f"{space}/{request.images.dataset}/{'+'.join(proxies)}/seed{seed} on "
            f"{request.execution.device}"
        )
        with opened(ledger, wanted.key if ledger else {}) as kept:
            work = wanted.work
            before = sum(str(index) in kept.done for index in work)
            _tell_of(kept, ledger, tell)
            if before:
                tell(f"{title}: {before} of {len(work)} architectures were scored before")
            table = wanted.scores(kept, lambda items, total: track(items, total, title))
            if save is not None:
                save(table)
                kept.finish()
    return table


def training_curves(
    space: str,
    architectures: Sequence[str | int],
    *,
    epochs: Sequence[float] = (0, 0.5, 1, 2),
    proxies: Sequence[str] | None = None,
    kernel: str = "weights_without_classifier_train",
    seeds: Sequence[int] = (0,),
    ledger: Path | None = None,
    save: "Callable[[pd.DataFrame], None] | None" = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
    **settings: Unpack[Settings],
) -> "list[Curve]":
    """Train architectures a little and follow their tangent kernel and scores.

    All is read on the minibatch; what is learned is the rest of the split (as `lga@1` does).

    Args:
        space: its name.
        architectures: indices or spellings, each once.
        epochs: when to read; starts with 0 and ascends.
        proxies: how those are spelled whose scores are read; those of the papers by default.
        kernel: parameters and mode of the kernel that is followed.
        seeds: of minibatch, weights and training.
        ledger: see `score_space`.
        save: see `score_space`; takes the table of `untrained.scoring.training_curves.curve_table`.
        track: reports the progress of each training.
        tell: takes messages for people.
        settings: see `Settings`; the default batch size is 32, as the time of a kernel grows with
            its square.

    Raises:
        UntrainedError: a name, an architecture or a setting that does not exist, or a ledger that
            can't be used.
    """
    from untrained.scoring import training_curves as following
    from untrained.scoring.curve_settings import PROXIES, CurveSettings

    searched = get_space(space)
    indices = [searched.parse(text).index for text in architectures]
    if len(set(indices)) < len(indices):
        named = " ".join(map(str, architectures))
        raise ParameterError(f"{named}: an architecture is named twice")
    followed = CurveSettings(tuple(epochs), tuple(map(parse_reading, proxies or PROXIES)), kernel)
    settings.setdefault("batch_size", 32)
    with requested(searched, followed.proxies, seeds, settings) as request:
        images = request.images
        image_set(images.dataset).check_split(images.split)
        check_training_split(images.dataset, images.split)
        key = following.key_of(request, indices, followed) if ledger else {}
        with opened(ledger, key) as kept:
            _tell_of(kept, ledger, tell)
            if kept.done:
                total = len(indices) * len(seeds)
                tell(f"{len(kept.done)} of {total} trainings were followed before")
            curves = following.resume(
                request,
                indices,
                followed,
                kept,
                lambda name, steps, count: track(steps, count, name, "steps"),
            )
            if save is not None:
                save(following.curve_table(images.dataset, curves))
                kept.finish()
    return curves


def ablate(
    space: str,
    *,
    experiments: Sequence[str] | None = None,
    proxy: str = "naswot",
    sizes: "AblationSettings | None" = None,
    benchmark: Path | None = None,
    track: Track = untracked,
    **settings: Unpack[Settings],
) -> "pd.DataFrame":
    """Score architectures again and again with one thing varied (the NASWOT paper's Fig. 5).

    Args:
        space: its name.
        experiments: what is varied; see `untrained.scoring.ablations.trials_of`. None for all.
        proxy: how it is spelled.
        sizes: how large the experiments are.
        benchmark: table with the accuracies after which architectures are chosen; by default the
            fetched or bundled one.
        track: reports progress.
        settings: see `Settings`.

    Returns:
        A row per score; see `untrained.scoring.columns.ABLATION_COLUMNS`.

    Raises:
        UntrainedError: a name, a number or a setting that does not exist.
    """
    from untrained.scoring import ablations

    searched, reading = get_space(space), parse_reading(proxy)
    facts = searched.benchmark
    column = None if facts is None else facts.ablated_by
    if column is None:
        able = [name for name in SPACES.names() if get_space(name).ablations]
        raise ParameterError(
            f"no ablations of {space}: its benchmark has no accuracies to choose architectures by; "
            f"take {', '.join(able)}"
        )
    accuracy = Benchmark.load(space, path=benchmark).accuracies(*column)
    images, names = _images(settings), list(dict.fromkeys(experiments or searched.ablations))
    how = sizes or ablations.AblationSettings()
    trials = [
        (name, trial)
        for name in names
        for trial in ablations.trials_of(name, searched, accuracy, images, how)
    ]
    with requested(searched, [reading], [0], settings) as request:
        scores = ablations.score_trials(request, (trial for _, trial in trials))
        title = f"{space}/{'+'.join(names)}/{proxy} on {request.execution.device}"
        followed = track(scores, len(trials), title, "scores")
        return ablations.ablation_table(
            (name, trial, score) for (name, trial), score in zip(trials, followed, strict=True)
        )


@contextmanager
def requested(
    target: SearchSpace | str,
    readings: Iterable[Reading],
    seeds: Sequence[int],
    settings: Settings,
) -> Iterator[ScoreRequest]:
    """The request that settings make, with its device held as long as it is used."""
    images = _images(settings)
    with leased_device(settings.get("device", "cpu")) as device:
        execution = Execution(
            device, settings.get("engine", "auto"), settings.get("precision", "auto")
        )
        yield ScoreRequest(target, tuple(readings), images, tuple(seeds), execution)


def _space_of(target: str) -> SearchSpace | None:
    """The space of this name or at this address; None for the address of something else."""
    address = ":" in target and target not in SPACES.names()
    if address and not hasattr(own.load_factory(target), "parse"):
        return None
    return get_space(target)


def _tell_of(kept: Ledger, asked: Path | None, tell: Callable[[str], None]) -> None:
    if kept.path != asked:
        tell(f"{asked} is on a network file system: the ledger is {kept.path}")


def _images(settings: Settings) -> MinibatchSettings:
    dataset = settings.get("dataset", "cifar10")
    return MinibatchSettings(
        dataset,
        image_set(dataset).split(settings.get("split", "sample")),
        settings.get("batch_size", 128),
        settings.get("augmentation", "none"),
        settings.get("sampling", "uniform"),
        settings.get("root", IMAGES),
    )
