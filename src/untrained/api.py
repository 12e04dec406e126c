"""Score and rank networks of one's own and architectures of spaces, by name."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from untrained.errors import ParameterError, quoted
from untrained.images.minibatches import TooFewImagesError
from untrained.images.sets import image_set
from untrained.plugins import is_foreign
from untrained.proxies import Proxy
from untrained.proxies.base import Setting
from untrained.proxies.ensembles import Ensemble, combined
from untrained.scoring import own
from untrained.scoring.arguments import (
    architectures_of,
    function_of,
    proxies_of,
    reading_of,
    seed_of,
    seeds_of,
    settings_of,
    shape_of,
    whole,
)
from untrained.scoring.candidates import LIBRARIES, Candidate, Given, candidates_of
from untrained.scoring.constraints import Constraint, check_devices_read, parse_constraint
from untrained.scoring.devices import leased_device
from untrained.scoring.engine import Score, score_work
from untrained.scoring.ensembles import ensembles_of, readings_of
from untrained.scoring.execution import Execution
from untrained.scoring.given import Shown, shown_images
from untrained.scoring.images import MinibatchSettings, Shape
from untrained.scoring.progress import Track, untracked
from untrained.scoring.request import (
    OwnNetwork,
    RankSettings,
    Reading,
    ScoreRequest,
    Settings,
    parse_reading,
    requested,
)
from untrained.scoring.within import Within
from untrained.spaces import SPACES, Architecture, SearchSpace, get_space

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Score", "Scores", "Settings", "rank", "score", "score_seeds"]


def rank(
    candidates: Mapping[str, Given] | Sequence[Given],
    proxies: str | Proxy | Sequence[str | Proxy] = ("naswot",),
    input: Shape | str | None = None,  # noqa: A002 - the word that the reader has in mind
    images: object = None,
    seeds: int | Sequence[int] = 3,
    loss: Callable[[Any, Tensor], Tensor] | None = None,
    forward: Callable[[nn.Module, Tensor], Any] | None = None,
    output: Callable[[Any], Any] | None = None,
    device: str | torch.device = "auto",
    *,
    classes: int | None = None,
    where: str | None = None,
    devices: Path | None = None,
    debug: bool = False,
    track: Track = untracked,
    **settings: Unpack[RankSettings],
) -> "pd.DataFrame":
    """Rank candidates, networks of your own among them, by proxies before any is trained.

    >>> from torch import nn
    >>> from untrained import rank
    >>> made = lambda width: nn.Sequential(
    ...     nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 10)
    ... )
    >>> found = rank({"thin": lambda: made(2), "wide": lambda: made(8)}, "parameters", (1, 8, 8))
    >>> found[["candidate", "score", "rank"]].values.tolist()
    [['wide', 2970.0, 1], ['thin', 750.0, 2]]

    Every pair of a candidate and a proxy has a row. A proxy that does not apply has no score there,
    but a status and a reason. So has a candidate that can't be made or run: its status is `failed`,
    and the reason has the type of the error. What is wrong in the request (names that do not exist,
    images of the wrong kind, files that are missing) is an error before any network is made. An
    error that a line of this package raises, other than PyTorch's RuntimeError, is a bug, and
    propagates with its traceback: see `untrained.scoring.engine.tolerated`.

    Args:
        candidates: a list, or a mapping of their names. A candidate is a module, which is scored
            with the weights it has and left as it was; a function or class that makes one, which
            has fresh weights for each seed; `module:factory`, the same by its address;
            `timm:NAME` or `torchvision:NAME`, where these packages are installed; or
            (space, architecture), spelled `space/architecture` too.
        proxies: spellings such as `naswot`, `lga:64` or `naswot@1`, or `Proxy` objects; or
            ensembles, `log(naswot,parameters)`, which rank the candidates, beside their members.
        input: shape (C, H, W) of the images, or as text "3x224x224"; by default that of `images`.
            Images of another height and width are resized bilinearly.
        images: the name of a data set, `noise` for Gaussian noise of any shape among them; a tensor
            or array (N, C, H, W), normalised as the networks expect; (images, labels); a
            DataLoader, of which a seed has the first images of a new pass; or a folder that has a
            folder of pictures for each class. By default the bundled sample of CIFAR-10, or noise
            where `input` has not 3 channels.
        seeds: seeds of minibatch and weights, or their number from 0.
        loss: returns the loss of outputs and labels, in the place of the cross-entropy, for
            the proxies that need a loss, as `list_proxies` shows.
        forward: returns the outputs of a network of your own on images (n, C, H, W), in the place
            of `network(images)`; n is the size of the minibatch or less.
        output: returns of the outputs what is scored, for most proxies logits (n, classes). By
            default that is the only tensor in them, or else what is named `logits` there.
        device: `auto`, which is a free GPU or else the CPU, or a name such as `cpu`.
        classes: the number of classes of the networks of timm and torchvision, by default their
            own, and of labels that are given, by default one more than the largest.
        where: the constraint that candidates satisfy, as in `parameters <= 1e6, memory <= 2 MB`;
            the others are left out. See `untrained.scoring.constraints`.
        devices: a table of `measure`, for latencies of networks of your own.
        debug: whether the first failure of a candidate propagates instead of being a row.
        track: reports the progress.
        settings: see `RankSettings`; `batch_size` is the number of images, 128 by default.

    Returns:
        One row for each candidate and proxy, the proxies in their order and the best candidate
        first: candidate, proxy, score (mean over the seeds), std (over the seeds, ddof 1), rank
        (1 is the best by the proxy's direction; equal scores share the better rank), direction
        (whether `higher` or `lower` is better), status, reason, seconds (of the fastest seed,
        which pays for no first call). `attrs["images"]` says what the images were, and
        `attrs["left_out"]` maps candidates outside the constraint to the reason.

    Raises:
        UntrainedError: see above; the message has one line.
    """
    drawing = settings_of(settings, RankSettings, rank)
    precision = drawing.pop("precision", "auto")
    (readings, ensembles), numbers = _readings(proxies), seeds_of(seeds)
    loss, forward, output = map(function_of, ("loss", "forward", "output"), (loss, forward, output))
    track = function_of("track", track) or untracked
    classes = None if classes is None else whole("classes", classes, 1)
    constraint = None if where is None else parse_constraint(where)
    check_devices_read(devices, constraint.quantities if constraint else ())
    asked = MinibatchSettings(**drawing, shape=shape_of(input))
    found, left_out = candidates_of(candidates, classes), dict[str, str]()
    if (forward or output) and not any(one.own for one in found):
        raise ParameterError(
            f"{'forward' if forward else 'output'} is of networks of your own, and all candidates "
            "are architectures of spaces: leave it out"
        )
    if loss is not None and not any("loss" in one.needs for one in readings):
        raise ParameterError(
            f"loss: {', '.join(map(str, readings))} needs none, leave it out; "
            "`untrained list proxies` says which do"
        )
    shown = shown_images(images, asked, numbers, classes)
    refused = {one.spelling: _refusal(one, shown, loss is not None) for one in readings}
    wanted = [one for one in readings if not refused[one.spelling]]
    fewer = _drawn(wanted, shown.settings, numbers, {one.own for one in found})
    refused |= {
        one.spelling: f"it is read off {one.setting.images} images and there are {there}: take "
        f"{replace(one, images=there)}"
        for one in wanted
        if (there := fewer.get(one.setting))
    }
    applied = [one for one in readings if not refused[one.spelling]]
    if constraint is not None:
        kinds = {one.own for one in found}
        _check_constraint(constraint, shown, numbers, kinds, own_loss=loss is not None)
    calling, trained = own.Calling(forward, output), any(one.epochs for one in applied)

    rows, scored = [], list[dict[str, Sequence[Score]]]()
    with leased_device(str(device)) as leased:
        how = Execution(leased, precision=precision)
        if constraint is not None:

            def read(one: Candidate, needed: Sequence[Reading]) -> list[Score]:
                with one.opened(calling, trained=any(r.epochs for r in needed)) as target:
                    request = ScoreRequest(
                        *(target, tuple(needed), shown.settings, numbers, how),
                        loss=loss,
                        tolerant=not debug,
                    )
                    made = score_work(request, [(one.index, seed, needed) for seed in numbers])
                    return [_over_seeds(numbers, scores) for scores in zip(*made, strict=True)]

            named = shown.settings.dataset if shown.settings.given is None else "cifar10"
            within = Within(constraint, devices, image_set(named).measured_as, read)
            found, left_out = within.kept(found)
        for one in track(found, len(found), "ranking", "networks"):
            with one.opened(calling, trained=trained) as target:
                request = ScoreRequest(
                    *(target, tuple(applied), shown.settings, numbers, how),
                    loss=loss,
                    tolerant=not debug,
                )
                work = [(one.index, number, applied) for number in numbers]
                made = list(score_work(request, work)) if applied else [[] for _ in numbers]
            by_name: dict[str, Sequence[Score]] = {
                name: [Score(None, "not_applicable", why, 0.0)] * len(numbers)
                for name, why in refused.items()
                if why
            }
            for reading, scores in zip(applied, zip(*made, strict=True), strict=True):
                by_name[reading.spelling] = scores
            rows += [_row(one, reading, numbers, by_name[reading.spelling]) for reading in readings]
            scored.append(by_name)
    for ensemble in ensembles:
        ranked = _ensemble_scores(ensemble, scored, len(numbers))
        rows += [
            _row(one, ensemble, numbers, scores) for one, scores in zip(found, ranked, strict=True)
        ]
    table = _ranked(rows, [*readings, *ensembles], shown)
    table.attrs["left_out"] = left_out
    return table


def _ensemble_scores(
    ensemble: Ensemble, scored: Sequence[Mapping[str, Sequence[Score]]], seeds: int
) -> list[list[Score]]:
    """Return the scores of each candidate by an ensemble, which ranks them under each seed.

    Args:
        ensemble: the ensemble.
        scored: of each candidate, the spelling of each proxy to its scores with each seed.
        seeds: the number of seeds.
    """
    signs = [1 if parse_reading(one).direction == "higher" else -1 for one in ensemble.members]
    found: list[list[Score]] = [[] for _ in scored]
    for seed in range(seeds):
        by_member = [[made[name][seed] for made in scored] for name in ensemble.members]
        values = combined(
            ensemble.rule,
            [
                [np.nan if one.score is None else sign * one.score for one in row]
                for sign, row in zip(signs, by_member, strict=True)
            ],
        )
        pairs = zip(found, values.tolist(), zip(*by_member, strict=True), strict=True)
        for mine, value, members in pairs:
            seconds = sum(one.seconds for one in members)
            named = zip(ensemble.members, members, strict=True)
            why = [(name, one) for name, one in named if one.score is None]
            if why:
                (name, one), *_ = why
                mine.append(Score(None, one.status, f"{name}: {one.reason}", seconds))
            else:
                mine.append(Score(value, "ok", "", seconds))
    return found


def _readings(
    proxies: str | Proxy | Sequence[str | Proxy],
) -> tuple[list[Reading], list[Ensemble]]:
    """Return the proxies of a request and the members of its ensembles, and these, each once."""
    found, ensembles, once = list[Reading](), list[Ensemble](), dict[str, Reading]()
    for given in proxies_of(proxies):
        if isinstance(given, str):
            found += readings_of([given])
            ensembles += ensembles_of([given])
        else:
            found.append(Reading(given))
    for reading in found:
        reading.check_readable()
        _warn_of_test_labels(reading)
        both = reading.proxy, once.setdefault(reading.spelling, reading).proxy
        # a spelling makes a new object each time
        one, other = ((type(proxy), getattr(proxy, "__dict__", proxy)) for proxy in both)
        if one != other:
            raise ParameterError(
                f"two proxies are called {reading.spelling}: give their classes variants, or rank "
                "by one at a time"
            )
    return list(once.values()), list(dict.fromkeys(ensembles))


def _refusal(reading: Reading, shown: Shown, own_loss: bool) -> str:
    """Return why a proxy can't be read off the images of a ranking, or nothing.

    Raises:
        ParameterError: it is read after training, and the images are of no data set.
    """
    if reading.epochs and shown.settings.given is not None:
        raise ParameterError(
            f"{reading} is read after training on a data set: name one, as in images='cifar10'"
        )
    if "labels" not in reading.needs or shown.labels == "classes":
        return ""
    if shown.labels == "none":
        return "it needs labels, and the images have none: give (images, labels)"
    if own_loss and "loss" in reading.needs:
        return ""
    return "it needs labels that are numbers of classes, 0 and more, one for each image"


def _check_constraint(
    constraint: Constraint, shown: Shown, seeds: Sequence[int], kinds: set[bool], *, own_loss: bool
) -> None:
    """Check that the proxies of a constraint can be read off the images of a ranking.

    Raises:
        ParameterError: one can't be.
    """
    readings = [one.reading for one in constraint.quantities if one.reading is not None]
    for one in readings:
        if reason := _refusal(one, shown, own_loss):
            raise ParameterError(f"{quoted(str(constraint))}: {one} can't be read: {reason}")
    for setting, there in _drawn(readings, shown.settings, seeds, kinds).items():
        raise ParameterError(
            f"{quoted(str(constraint))} needs {setting.images} images, and there are {there}"
        )


def _drawn(
    readings: Iterable[Reading], images: MinibatchSettings, seeds: Sequence[int], kinds: set[bool]
) -> dict[Setting, int]:
    """Draw all images of all seeds, so that none are missed after some networks are scored.

    Of images that this package generates one seed is enough, since the others fail no more.

    Returns:
        How many images there are for settings with a number of their own that is larger.

    Raises:
        UntrainedError: the images of a seed can't be drawn.
    """
    fewer: dict[Setting, int] = {}
    made = "" if images.given else image_set(images.dataset).draw
    tried = seeds[:1] if made and not is_foreign(made) else seeds
    own = False not in kinds  # networks of spaces are shown what others are, or crops of it
    for setting in {reading.setting for reading in readings}:
        try:
            for seed in tried:
                images.draw_for(setting, seed, torch.device("cpu"), own=own)
        except TooFewImagesError as few:
            if setting.images is None:
                raise
            fewer[setting] = few.there
        if setting.epochs:
            images.training_images(seeds[0], whole=setting.test_after_training)
    return fewer


def _row(
    candidate: Candidate,
    reading: Reading | Ensemble,
    seeds: Sequence[int],
    scores: Sequence[Score],
) -> dict[str, object]:
    mean = _over_seeds(seeds, scores)
    return {
        "candidate": candidate.name,
        "proxy": reading.spelling,
        "score": mean.score,
        "std": Scores(None, reading, tuple(seeds), tuple(scores)).std,
        "direction": reading.direction,
        "status": mean.status,
        "reason": mean.reason,
        "seconds": mean.seconds,
    }


def _over_seeds(seeds: Sequence[int], scores: Sequence[Score]) -> Score:
    """Return the mean of the scores of several seeds, or why there is none; the least seconds."""
    seconds = min(one.seconds for one in scores)
    for seed, one in zip(seeds, scores, strict=False):
        if one.score is None:
            alike = {(other.status, other.reason) for other in scores} == {(one.status, one.reason)}
            reason = one.reason if alike else f"seed {seed}: {one.reason}"
            return Score(None, one.status, reason, seconds)
    mean = float(np.mean([one.score for one in scores]))
    return Score(mean, "ok", scores[0].reason, seconds)


def _ranked(
    rows: list[dict[str, object]], readings: Sequence[Reading | Ensemble], shown: Shown
) -> "pd.DataFrame":
    import pandas as pd

    columns = ("candidate", "proxy", "score", "std", "rank", "direction", "status", "reason")
    table = pd.DataFrame(rows).astype({"score": float, "std": float})
    lower = table["direction"] == "lower"
    better = table["score"].where(lower, -table["score"])
    table["rank"] = better.groupby(table["proxy"]).rank(method="min").astype("Int64")
    places = {reading.spelling: place for place, reading in enumerate(readings)}
    order = pd.DataFrame({"proxy": table["proxy"].map(places), "rank": table["rank"]})
    order = order.sort_values(["proxy", "rank"], kind="stable", na_position="last")
    table = table.loc[order.index, [*columns, "seconds"]].reset_index(drop=True)
    table.attrs["images"] = shown.words
    return table


def score(
    target: str | SearchSpace | nn.Module,
    architecture: object = None,
    *,
    proxy: str | Proxy = "naswot",
    variant: str | None = None,
    seed: int = 0,
    input: Shape | str | None = None,  # noqa: A002 - as in `rank`
    **settings: Unpack[Settings],
) -> Score:
    """Score an architecture of a space, or a network of your own.

    >>> from untrained import score
    >>> score("nasbench201", 1462, proxy="naswot", batch_size=8).status
    'ok'

    Args:
        target: a space or its name, or a module that takes (N, C, H, W) images of the data set. A
            module is scored with the weights it has, and left as it was.
        architecture: index or spelling in the space, or what another tool writes (docs/spaces.md).
        proxy: its name, `name-variant` or `name@epochs`, or a `Proxy`.
        variant: variant of the proxy; by default that of the spelling, or the first.
        seed: seed of minibatch and weights.
        input: shape (C, H, W) of the images, or as text "3x32x32"; by default that of the data set.
        settings: see `untrained.scoring.request.Settings`.

    Raises:
        UntrainedError: a name, an architecture or a setting that does not exist, or a value that a
            setting can't have.
    """
    settings_of(settings, Settings, score)
    reading, seed = reading_of("proxy", proxy, variant), seed_of(seed)
    _warn_of_test_labels(reading)
    index, shape = 0, shape_of(input)
    opened: AbstractContextManager[SearchSpace | OwnNetwork]
    if isinstance(target, nn.Module):
        if architecture is not None:
            raise ParameterError(
                f"{type(target).__name__} is one network: drop {quoted(architecture)}"
            )
        opened = own.kept(target, trained=reading.epochs > 0)
    else:
        space = get_space(target)
        if architecture is None:
            raise ParameterError(f"which architecture of {space.name}? give an index or a spelling")
        opened, index = nullcontext(space), space.parse(architecture).index
    with opened as subject, requested(subject, [reading], [seed], settings, shape) as request:
        return next(score_work(request, [(index, seed, [reading])]))[0]


def _warn_of_test_labels(reading: Reading) -> None:
    if reading.setting.shows_test:
        warnings.warn(f"{reading.name} reads the labels of test images", stacklevel=4)


@dataclass(frozen=True)
class Scores:
    """The scores of one network by one proxy with several seeds.

    Attributes:
        architecture: the architecture; None for a network of one's own.
        reading: the proxy, or an ensemble of proxies.
        seeds: seeds of minibatch and weights.
        scores: the score with each seed.
    """

    architecture: Architecture | None
    reading: Reading | Ensemble
    seeds: tuple[int, ...]
    scores: tuple[Score, ...]

    @property
    def mean(self) -> float | None:
        """The mean over the seeds; None if any score is undefined."""
        values = self._values
        return None if np.isnan(values).any() else float(values.mean())

    @property
    def std(self) -> float | None:
        """The standard deviation over the seeds (ddof 1); None if it is undefined."""
        values = self._values
        return None if np.isnan(values).any() or len(values) < 2 else float(values.std(ddof=1))

    @property
    def _values(self) -> "NDArray[np.float64]":
        return np.array([np.nan if one.score is None else one.score for one in self.scores])


def score_seeds(
    target: str | SearchSpace,
    architectures: Sequence[object] = (),
    *,
    proxies: Sequence[str] = ("naswot",),
    variant: str | None = None,
    seeds: int | Sequence[int] = (0, 1, 2),
    shape: str = "3x32x32",
    track: Track = untracked,
    **settings: Unpack[Settings],
) -> list[Scores]:
    """Score architectures of a space, or a network of your own, by several proxies and seeds.

    Args:
        target: a space or its name, or a network of your own as `rank` takes it by name, such as
            `package.module:factory`.
        architectures: indices or spellings in the space.
        proxies: the spellings of the proxies.
        variant: variant of the proxies; by default that of their spelling.
        seeds: seeds of minibatch and weights, or their number from 0.
        shape: the shape CxHxW of the images that a network of your own takes.
        track: reports the progress of trainings.
        settings: see `untrained.scoring.request.Settings`.

    Returns:
        The scores of each architecture by the first proxy, then by the second, and so on.

    Raises:
        UntrainedError: a name, an architecture or a setting that does not exist, or a network of
            your own failed.
    """
    settings_of(settings, Settings, score_seeds)
    readings = [reading_of("proxies", one, variant) for one in proxies_of(proxies)]
    architectures, seeds = architectures_of(architectures), seeds_of(seeds)
    space = _space_of(target)
    size: Shape | None = None
    opened: AbstractContextManager[SearchSpace | OwnNetwork]
    blamed: Callable[[], AbstractContextManager[None]] = nullcontext
    if space is None:
        if architectures:
            raise ParameterError(f"{target} is one network: drop {quoted(architectures[0])}")
        (one,) = candidates_of([str(target)])
        size = own.parse_shape(shape)
        opened, blamed = (
            one.opened(own.Calling(), trained=False),
            partial(own.blamed, one.name, size),
        )
        chosen: list[Architecture | None] = [None]
    else:
        if not architectures:
            raise ParameterError(f"which architecture of {target}? give an index or a spelling")
        opened = nullcontext(space)
        chosen = [space.parse(text) for text in architectures]

    def watch(steps: Iterable[int], count: int) -> Iterable[int]:
        return track(steps, count, "training", "steps")

    found = []
    with opened as asked, requested(asked, readings, seeds, settings, size) as request:
        for reading in readings:
            indices = [one.index if one else 0 for one in chosen]
            work = [(index, seed, [reading]) for seed in seeds for index in indices]
            with blamed():
                made = [score for (score,) in score_work(request, work, watch)]
            for place, architecture in enumerate(chosen):
                scores = tuple(made[place :: len(chosen)])
                found.append(Scores(architecture, reading, tuple(seeds), scores))
    return found


def _space_of(target: str | SearchSpace) -> SearchSpace | None:
    """Return the space of a name or an address; None for the address of something else."""
    if not isinstance(target, str):
        return get_space(target)
    if target.partition(":")[0] in LIBRARIES:
        return None
    address = ":" in target and target not in SPACES.names()
    if address and not hasattr(own.load_factory(target), "parse"):
        return None
    return get_space(target)
