"""The parameters of a run: the meaning and the allowed values of each key of params.yaml.

The JSON schema for editors, the explanations of `untrained params` and the checks all follow from
the model below. A wrong key is refused in one line with the key, its value and the remedy.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from annotated_types import Ge, Le
from pydantic import ValidationError

from untrained.download import check_mirror
from untrained.errors import ParameterError, UntrainedError, quoted, short, unknown_name
from untrained.files import read_bounded
from untrained.images.sets import IMAGE_SETS, SAMPLE, image_set
from untrained.images.splits import check_training_split, sample_labels
from untrained.limits import KERNELS, RESAMPLES, RUNS
from untrained.parameter_types import (
    Batches,
    CostsOrNone,
    Count,
    Epochs,
    Fraction,
    Key,
    Names,
    Number,
    Section,
    Seed,
    Seeds,
    SeedsOrNone,
    Several,
    accepted,
    complaint_of,
    each,
    each_once,
    keys_of,
)
from untrained.scoring.ablations import check_untrained
from untrained.scoring.constraints import Constraint, parse_constraint
from untrained.scoring.ensembles import parse_proxy, readings_of
from untrained.scoring.request import parse_reading, shows_test
from untrained.scoring.shards import sample_of
from untrained.scoring.shipped import shipped_proxies
from untrained.scoring.training_curves import CurveSettings
from untrained.search import parse_algorithm
from untrained.search.base import BudgetedSearch
from untrained.search.clock import Budget, parse_budget, trainings_of
from untrained.search.device_fronts import costs_of
from untrained.search.pruning import Pruning
from untrained.search.runs import check_draws, check_evaluations, shard_of_runs
from untrained.search.spelling import Search
from untrained.spaces import SPACES, SearchSpace, get_space

PARAMS = Path("params.yaml")

#: The seconds below which a budget may be too short for a training. Tables are read for such ones
#: only, since that takes a third of a second whenever a run is planned.
_SHORT_BUDGET = 3600.0


def _check_mirror(mirror: str | None) -> None:
    check_mirror(mirror)
    if mirror is None or "://" in mirror:
        return
    try:
        there = bool(mirror) and Path(mirror).is_dir()
    except OSError:  # its name is too long
        there = False
    if not there:
        raise ParameterError(
            f"{quoted(mirror)} is no folder: give one that is there, a URL, or null"
        )


def _check_scored(proxies: tuple[str, ...]) -> None:
    for reading in readings_of(proxies):
        reading.check_readable()


def _check_constraint(where: str | None) -> None:
    if where is not None:
        parse_constraint(where)


class Fetch(Section):
    """The sources of tables and images."""

    mirror: Annotated[str | None, accepted(_check_mirror)]
    """Base URL or folder with the official files under their official names; null: official
    addresses. Bundled files are not read from it, except the whole table of nasbench101"""
    allow_missing: bool
    """Whether a mirror may lack some of the official image files, which leaves fewer images"""


class Scores(Section):
    """The scores of architectures, and the images that they are read on."""

    proxies: Annotated[Names, accepted(_check_scored), each_once(parse_proxy)]
    """`name` or `name-variant`, or the address of a proxy of one's own (`my.module:MyProxy`);
    `untrained list proxies`. `lga@1`, `naswot@0.5` are read after so many epochs of training on the
    images that are not in the minibatch; docs/lga.md. An ensemble such as "log(naswot,parameters)"
    combines the ranks by its members, which are scored, too; docs/ensembles.md"""
    architectures: Literal["all"] | Annotated[int, Ge(1)]  # a space says how many it has
    """Number of architectures of each space, drawn at random without replacement, or all"""
    sample_seed: Seed
    """Seed of that draw"""
    share: bool
    """Score one architecture of each class that computes the same function, for all of its members:
    a third of the work on the whole of NAS-Bench-201"""
    shards: Count
    """Jobs per space, data set, family of proxies and seed. A job takes 4 s of processor time to
    start, on a cluster more, so give it minutes of work; `untrained plan` says how long it takes"""
    split: str
    """Split of the data sets: sample (bundled), or train, test, ... of the official files"""
    batch_size: Several
    """Images per minibatch, 2 or more; the papers use 128"""
    augmentation: Literal["none", "crop-flip"]
    """none, or crop-flip"""
    sampling: Literal["uniform", "balanced"]
    """How the images of a minibatch are drawn: uniform, or balanced (as many of each class as can
    be)"""
    precision: Literal["auto", "float32", "bfloat16"]
    """float32, bfloat16, or auto: bfloat16 where the device has instructions for it. It changes
    a score by rounding only, a hundredth of the difference between two seeds"""
    seconds: bool
    """Whether to keep the seconds of each score, which differ between any two runs"""


class Searches(Section):
    """Search algorithms that are run repeatedly on cached scores and known accuracies."""

    algorithms: Annotated[Names, each_once(parse_algorithm)]
    """`name`, `name-samples`, or `name+setting=value` (rea+init=naswot, bohb+eta=2); the fitness
    of rea+fitness=lga@1 is a score; rea+pool=lga@1 searches accuracies among the architectures
    with that score; `untrained list algorithms`, docs/searches.md"""
    proxy: str
    """Proxy or ensemble whose cached scores they read"""
    where: Annotated[str | None, accepted(_check_constraint)]
    """Constraint on the architectures that they see, as in "latency[raspi4] <= 10 ms, parameters <=
    1e6"; null for none; docs/devices.md"""
    scores: Literal["live", "shipped"]
    """live: they read the scores of this run, and choose among what it scored. shipped: those of
    the whole space that come with the project, where any do (NAS-Bench-201); the report then holds
    the scores of this run to them"""
    budget: Annotated[str, accepted(parse_budget)]
    """Budget of a run of a search that trains: simulated seconds (12000s) or trainings
    (100evaluations)"""
    runs: Annotated[Count, Le(RUNS)]
    """Independent repetitions of each algorithm"""
    shards: Count
    """Jobs per algorithm, space and data set, each with some of the runs; 500 runs take seconds"""
    seed: Seed
    """Seed of the runs"""
    seconds_per_score: Literal["measured"] | Number
    """Simulated seconds that a search spends on one score (0.306 in the paper, on a 1080 Ti),
    besides the benchmark's seconds of any training before it; docs/performance.md has ours.
    `measured` takes the times that scores.seconds has kept, so that results differ from run to
    run"""

    def reading_shipped(self, spaces: Iterable[SearchSpace]) -> list[SearchSpace]:
        """Return the spaces whose searches read the scores that come with the project."""
        return [space for space in spaces if self.scores == "shipped" and space.scores]

    def reads_live(self, spaces: Iterable[SearchSpace]) -> bool:
        """Return whether searches of any space read the scores of the run."""
        searched = list(spaces)
        return not searched or len(self.reading_shipped(searched)) < len(searched)


class Ablations(Section):
    """Repeated scores of a few architectures while one thing varies."""

    proxy: Annotated[str, accepted(lambda proxy: check_untrained(parse_reading(proxy)))]
    """Proxy whose scores are analysed; `name` or `name-variant`"""
    dataset: str
    """Images that the cells are scored on, one of datasets; split, batch size and precision are
    those of scores"""
    repeats: Several
    """Scores of each of ten cells, per experiment and batch size, 2 or more; 20 in the paper"""
    batch_sizes: Batches
    """Batch sizes that are compared with each other"""
    cells: Several
    """Random cells of the variance split"""
    minibatches: Several
    """Minibatches of the variance split, 2 or more"""
    initialisations: Several
    """Initialisations of each cell of the variance split, each shown every minibatch, 2 or more"""
    seed: Seed
    """Seed of the draw of cells"""


class Prunings(Section):
    """The pruning search of TE-NAS, for spaces with a supernet; a job is one of each."""

    variants: Annotated[Names, each(lambda name: Pruning(variant=name))]
    """tenas (corrected), or released: as the code of the paper does"""
    criteria: Annotated[Names, each(lambda name: Pruning(criterion=name))]
    """both (ranks by both numbers added), or one of them: kappa (condition number), regions"""
    datasets: Names
    """Images that the supernets are shown, from datasets; their split is that of scores"""
    seeds: SeedsOrNone
    """Seeds of weights, images and ties; [] for no pruning at all"""
    repeats: Count
    """Draws per round, over which changes are averaged; 3 in the released code"""
    batch_size: Several | None
    """Images per kernel, 2 or more; null: 32 as the paper says, 72 where released"""


class Devices(Section):
    """Networks for devices: fronts of a score and the cost on each, of spaces with both."""

    costs: Literal["all"] | CostsOrNone
    """Costs on devices, as in latency[raspi4] and energy[fpga]; all that come with a space, or []
    for no fronts at all; `untrained list devices`"""
    score: Annotated[str, accepted(parse_proxy)]
    """Proxy or ensemble that stands for the accuracy, which no search sees; scores of the whole
    space have to come along"""
    controls: Annotated[Names, each_once(parse_proxy)]
    """Proxies or ensembles that it is compared with"""
    predictor: Annotated[str, accepted(parse_proxy)]
    """Proxy that stands for every cost in one more control"""
    dataset: str
    """Data set of the networks, and of the images that their scores were read on"""
    evaluations: Count
    """Architectures that a run evaluates"""
    runs: Annotated[Count, Le(RUNS)]
    """Independent repetitions of each search"""
    seed: Seed
    """Seed of the runs"""


class TrainingCurves(Section):
    """How the tangent kernel and scores of random cells move over a short training."""

    cells: Count
    """Random cells of each space; 20 or more for a correlation with accuracy"""
    seed: Seed
    """Seed of that draw"""
    shards: Count
    """Jobs per space and seed, each with some of the cells"""
    dataset: str
    """Images that the cells are shown, one of datasets; its split has to be one for training"""
    seeds: SeedsOrNone
    """Seeds of minibatch, weights and training; [] for no training curves at all"""
    epochs: Annotated[Epochs, accepted(lambda epochs: CurveSettings(epochs, ()))]
    """Epochs at which to read, ascending from 0; fractions are rounded to steps"""
    kernel: Annotated[str, accepted(lambda kernel: CurveSettings((0,), (), kernel))]
    """Parameters and mode of the kernel that is compared with the one before training"""
    proxies: Annotated[
        Names, accepted(lambda names: CurveSettings((0,), tuple(map(parse_reading, names))))
    ]
    """Proxies whose scores are read; those of the same variant share one kernel"""
    batch_size: Several
    """Images of the minibatch, 2 or more; the time of a kernel grows with its square"""


class Report(Section):
    """The settings of tables and figures."""

    resamples: Annotated[int, Ge(100), Le(RESAMPLES)]
    """Bootstrap resamples of every interval"""
    seed: Seed
    """Seed of the resampling"""
    kernels: Annotated[Count, Le(KERNELS)]
    """Number of good cells, and of bad cells, in the figure of kernel matrices"""
    best: Fraction
    """Fraction of the architectures that count as the best in the table of preferred operations"""


class Parameters(Section):
    """All parameters of a run, which Snakemake, DVC and the command line read."""

    spaces: Annotated[Names, each_once(lambda name: get_space(name).name)]
    """Search spaces; `untrained list spaces`"""
    datasets: Annotated[Names, each_once(lambda name: image_set(name).name)]
    """Images that the networks are scored on; `untrained list datasets`"""
    seeds: Seeds
    """Seeds of minibatch and weights, 0 or larger"""
    fetch: Fetch
    scores: Scores
    searches: Searches
    ablations: Ablations
    prunings: Prunings
    devices: Devices
    training_curves: TrainingCurves
    report: Report

    def datasets_of(self, space: str) -> list[str]:
        """Return the data sets whose images a space is scored on."""
        trained_on = get_space(space).datasets
        return [name for name in self.datasets if image_set(name).measured_as in trained_on]


#: Numbers that YAML 1.1, which PyYAML reads, and YAML 1.2 disagree about: 1:30, 0777, 1_000, 0x10.
_DISPUTED = re.compile("[_:]|^[-+]?0[0-9a-z]")


class PlainLoader(yaml.SafeLoader):
    """Reads YAML without what no parameter needs.

    That is aliases, tags, dates, merged sections, deep nesting, keys that are no text or are given
    twice, and numbers of which versions of YAML disagree.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node of a plain kind that is not below ten others."""
        if self.check_event(yaml.AliasEvent):  # a few of them can stand for millions of values
            raise self._refusal("write a value in the place of an alias")
        if self._depth == 10:
            raise self._refusal("lists and sections are nested too deeply")
        if tag := self.peek_event().tag:  # type: ignore[no-untyped-call]
            raise self._refusal(f"leave out the tag {short(tag)}")
        self._depth += 1
        try:
            node = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        if isinstance(node, yaml.ScalarNode):
            kind = node.tag.rpartition(":")[2]
            number = kind in ("int", "float")
            if (number and _DISPUTED.search(node.value)) or not (
                number or kind in ("null", "bool", "str")
            ):
                raise yaml.MarkedYAMLError(
                    problem=f"{quoted(node.value)} is neither a text nor a decimal number: "
                    "write one, texts in quotes",
                    problem_mark=node.start_mark,
                )
        return node

    def _refusal(self, problem: str) -> yaml.YAMLError:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a dictionary whose keys are texts that differ; one of two would win unseen."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not key.tag.endswith(":str"):
                raise yaml.MarkedYAMLError(
                    problem="a key that is no text: write its name", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {quoted(key.value)} is there twice",
                    problem_mark=key.start_mark,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_parameters(path: Path = PARAMS) -> dict[str, Any]:
    """Return the parameters in a file, unchecked; empty if there is nothing of this name.

    Raises:
        ParameterError: the file is not a YAML mapping.
        MissingDataError: it is no plain file, or a link to one that is gone.
    """
    if not os.path.lexists(path):
        return {}
    try:
        parameters = yaml.load(read_bounded(path, 1 << 20), PlainLoader)  # noqa: S506 - it is safe
    except (yaml.YAMLError, ValueError) as error:  # numbers of thousands of digits
        said = short(" ".join(str(error).split()), 300)
        raise ParameterError(f"{path} is not YAML: {said}") from error
    if not isinstance(parameters, dict):
        raise ParameterError(f"{path} holds no sections: copy the project's params.yaml")
    return parameters


def parse_parameters(parameters: Mapping[str, Any]) -> Parameters:
    """Check the types, ranges and names of the parameters.

    Raises:
        ParameterError: a key is wrong; the message has the key, its value and the remedy.
    """
    try:
        parsed = Parameters.model_validate(dict(parameters))
    except ValidationError as error:
        raise ParameterError(f"params: {complaint_of(error, json_schema())}") from None
    _check_together(parsed)
    return parsed


def keys() -> dict[str, Key]:
    """Return all keys of params.yaml by their paths, in its order."""
    return keys_of(json_schema())


def explain(path: str) -> Key:
    """Return a key with its allowed values and its meaning.

    Raises:
        UnknownNameError: no such key; the message suggests the nearest one.
    """
    known = keys()
    if path not in known:
        raise unknown_name("key of params.yaml", path, known)
    return known[path]


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of params.yaml, as editors and `untrained params` read it."""
    schema = Parameters.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@contextmanager
def _blamed(key: str) -> Iterator[None]:
    """Add the key to the message of an error."""
    try:
        yield
    except UntrainedError as error:
        raise ParameterError(f"params: {key}: {error}") from error


def _check_together(parameters: Parameters) -> None:
    """Check keys against each other; errors name the key to change."""
    spaces = [get_space(name) for name in parameters.spaces]
    measured = [space for space in spaces if space.benchmark]
    _check_scores(parameters, spaces)
    _check_searches(parameters, measured)
    _check_ablations(parameters, [space for space in measured if space.ablations])
    _check_prunings(parameters, [space for space in measured if space.supernet])
    _check_devices(parameters, measured)
    _check_curves(parameters, spaces)


def _check_ablations(parameters: Parameters, spaces: list[SearchSpace]) -> None:
    ablations = parameters.ablations
    if spaces:
        _check_sampled("ablations.cells", ablations.cells, spaces)
        _check_fetched("ablations.dataset", [ablations.dataset], parameters)
        largest = max(ablations.batch_sizes)
        _check_drawn("ablations.batch_sizes", largest, [ablations.dataset], parameters)


def _check_prunings(parameters: Parameters, spaces: list[SearchSpace]) -> None:
    prunings = parameters.prunings
    if spaces and prunings.seeds:
        _check_fetched("prunings.datasets", prunings.datasets, parameters)
        size = prunings.batch_size or 0
        _check_drawn("prunings.batch_size", size, prunings.datasets, parameters)


def _check_devices(parameters: Parameters, spaces: list[SearchSpace]) -> None:
    devices = parameters.devices
    with _blamed("devices.dataset"):
        image_set(devices.dataset)
    for space in spaces:
        if not (devices.costs and space.devices and space.scores):
            continue
        there = shipped_proxies(space).get(devices.dataset, [])
        named = {"score": [devices.score], "controls": devices.controls}
        for key, proxies in (named | {"predictor": [devices.predictor]}).items():
            if lacking := _unscored(proxies, there):
                raise ParameterError(
                    f"params: devices.{key}: no scores of {lacking[0]} on {devices.dataset} come "
                    f"with {space.name}: it has {', '.join(there) or 'none on it'}"
                )
        with _blamed("devices.costs"):
            costs = () if devices.costs == "all" else devices.costs
            costs_of(space, devices.dataset, costs)


def _check_curves(parameters: Parameters, spaces: list[SearchSpace]) -> None:
    curves = parameters.training_curves
    if not curves.seeds:
        return
    _check_sampled("training_curves.cells", curves.cells, spaces)
    _check_shards("training_curves.shards", curves.shards, curves.cells)
    _check_fetched("training_curves.dataset", [curves.dataset], parameters)
    size, trains = curves.batch_size, curves.epochs != (0,)
    _check_drawn("training_curves.batch_size", size, [curves.dataset], parameters, trains=trains)
    with _blamed("scores.split"):
        split = image_set(curves.dataset).split(parameters.scores.split)
        check_training_split(curves.dataset, split)


def _check_stand_ins(parameters: Parameters, spaces: list[SearchSpace]) -> None:
    """Check that what data sets stand for is a data set of some space, as the others are."""
    named = {one for space in spaces for one in space.datasets}
    for name in parameters.datasets:
        stands_for = image_set(name).stands_for
        if stands_for and stands_for not in named:
            known = {one for own in SPACES.names() for one in get_space(own).datasets}
            if stands_for not in known:
                raise ParameterError(
                    f"params: datasets: {name} stands for {quoted(stands_for)}, on which no search "
                    f"space is trained: known: {', '.join(sorted(known))}"
                )


def _check_scores(parameters: Parameters, spaces: list[SearchSpace]) -> None:
    _check_stand_ins(parameters, spaces)
    scores = parameters.scores
    _check_sampled("spaces", "all", spaces)  # a space may be too large, whatever their number
    if scores.architectures != "all":
        _check_sampled("scores.architectures", scores.architectures, spaces)
        _check_shards("scores.shards", scores.shards, scores.architectures)
    readings = readings_of(scores.proxies)
    settings = [one.setting for one in readings]
    size, held_out = scores.batch_size, any(one.epochs and not one.shows_test for one in settings)
    _check_drawn("scores.batch_size", size, parameters.datasets, parameters, trains=held_out)
    for setting in settings:
        if setting.images and setting.crop is None:  # one image makes many crops
            _check_drawn("scores.proxies", setting.images, parameters.datasets, parameters)
    trains = any("training" in one.needs for one in readings)
    for known in map(image_set, parameters.datasets):
        with _blamed("scores.split"):
            split = known.split(scores.split)
            known.check_split(split)
        if any(map(shows_test, scores.proxies)):
            with _blamed("scores.proxies"):
                _ = known.test_split
        if trains:
            with _blamed("scores.split"):
                check_training_split(known.name, split)
    for space in spaces:
        if not parameters.datasets_of(space.name):
            sets = [image_set(name) for name in IMAGE_SETS.names()]
            serving = [known.name for known in sets if known.measured_as in space.datasets]
            raise ParameterError(
                f"params: datasets: {space.name} is trained on {', '.join(space.datasets)}: "
                f"datasets has {', '.join(parameters.datasets)}, add one of {', '.join(serving)}"
            )


def _check_searches(parameters: Parameters, spaces: list[SearchSpace]) -> None:
    searches, scored = parameters.searches, parameters.scores.proxies
    for name in searches.algorithms:
        with _blamed("searches.algorithms"):
            _check_algorithm(name, parameters, live=searches.reads_live(spaces))
            for space in spaces:
                parse_algorithm(name).check_space(space)
    with _blamed("searches.algorithms"):
        _check_labels(searches.algorithms)
    with _blamed("searches.shards"):
        shard_of_runs(searches.runs, 0, searches.shards)
    budget = parse_budget(searches.budget)
    for name in searches.algorithms:
        _check_amount(parse_algorithm(name), searches.runs, budget)
    trains = any(parse_algorithm(name).sees_trainings for name in searches.algorithms)
    if trains and budget.seconds < _SHORT_BUDGET:
        with _blamed("searches.budget"):
            _check_budget(budget, parameters, spaces)
    for space in spaces:
        untimed = space.benchmark and not space.benchmark.has_times
        if untimed and trains and budget.seconds < math.inf:
            raise ParameterError(
                f"params: searches.budget: {budget}: the benchmark of {space.name} declares no "
                "training times (has_times): give a budget in evaluations, as in 100evaluations"
            )
    with _blamed("searches.proxy"):
        if searches.reads_live(spaces) and _unscored([searches.proxy], scored):
            raise ParameterError(
                f"{quoted(searches.proxy)} is not scored: scores.proxies has {', '.join(scored)}"
            )
    for space in searches.reading_shipped(spaces):
        _check_shipped(parameters, space)
    if searches.where is not None:
        with _blamed("searches.where"):
            _check_allowed(parse_constraint(searches.where), parameters, spaces)


def _check_allowed(
    constraint: Constraint, parameters: Parameters, spaces: list[SearchSpace]
) -> None:
    """Check that the quantities of a constraint are known, and that two architectures satisfy it.

    Searches count what has to be counted, so conditions on that are not checked here.
    """
    import numpy as np

    from untrained.scoring.quantities import Costs
    from untrained.scoring.shipped import cached_scores
    from untrained.search.allowed import Allowed

    shipped = parameters.searches.reading_shipped(spaces)
    for space in spaces:
        for dataset in parameters.datasets_of(space.name) if space.benchmark else []:
            there = parameters.scores.proxies
            if space in shipped:
                there = tuple(shipped_proxies(space).get(dataset, []))
            read = [one.spelling for one in constraint.quantities if one.reading]
            scored = [one for one in read if one not in _unscored(read, there)]
            counted = [one.spelling for one in constraint.quantities if one.counted]
            if lacking := [one for one in read if one not in (*scored, *counted)]:
                raise ParameterError(
                    f"{lacking[0]} is not scored on {dataset} in {space.name}: there are scores "
                    f"of {', '.join(there)}"
                )
            known = [
                one
                for one in constraint.conditions
                if one.quantity.reading is None
                or (space in shipped and str(one.quantity) in scored)
            ]
            if known:
                costs = Costs(space, dataset, cached_scores(space) if space in shipped else None)
                everything = np.arange(len(space))
                Allowed(Constraint(tuple(known)), costs).among(space.name, everything)


def _check_amount(search: Search, runs: int, budget: Budget) -> None:
    """Check what the runs of a search would need, as far as it is known without a table."""
    with _blamed("searches.runs"):
        check_draws(search.samples, runs)
    if isinstance(search.algorithm, BudgetedSearch):
        with _blamed("searches.budget"):
            check_evaluations(search.algorithm, budget)


def _check_shipped(parameters: Parameters, space: SearchSpace) -> None:
    """Check that all scores that searches read come with a space."""
    searches, there = parameters.searches, shipped_proxies(space)
    named = {
        proxy: "searches.algorithms"
        for name in searches.algorithms
        for proxy in parse_algorithm(name).reads(searches.proxy)
    }
    for proxy, key in (named | {searches.proxy: "searches.proxy"}).items():
        for dataset in parameters.datasets_of(space.name):
            if lacking := _unscored([proxy], there.get(dataset, [])):
                known = "; ".join(f"{', '.join(own)} on {name}" for name, own in there.items())
                raise ParameterError(
                    f"params: {key}: no scores of {lacking[0]} on {dataset} come with "
                    f"{space.name}: it has {known}, or make searches.scores live"
                )


def _check_labels(algorithms: Iterable[str]) -> None:
    """Check that no two searches have one label, by which tables and figures name them."""
    from untrained.report.search_results import method_of  # which needs pandas

    found: dict[str, str] = {}
    for name in algorithms:
        label = method_of(name, "", "")
        if label in found:
            raise ParameterError(
                f"{quoted(found[label])} and {quoted(name)} are both labelled {quoted(label)}: "
                "keep one"
            )
        found[label] = name


def _check_budget(budget: Budget, parameters: Parameters, spaces: list[SearchSpace]) -> None:
    """Check a budget against the longest training of tables that are at hand."""
    from untrained.benchmarks.benchmark import Benchmark

    for space in spaces:
        facts = space.benchmark
        if facts is None or facts.bundled is None or facts.bundled_sample or not facts.has_times:
            continue
        table = Benchmark.read(facts.bundled, space.name)
        for name in parameters.datasets_of(space.name):
            longest = trainings_of(table, image_set(name).measured_as).longest
            if budget.seconds < longest:
                raise ParameterError(
                    f"{budget}: a training of {space.name} on {name} takes up to {longest:.0f} s: "
                    "give more"
                )


def _unscored(proxies: Iterable[str], scored: Iterable[str]) -> list[str]:
    """Return the proxies, of ensembles the members, that are not among those that are scored."""
    known = set(map(str, readings_of(scored)))
    return [str(one) for one in readings_of(proxies) if str(one) not in known]


def _check_sampled(key: str, architectures: int | str, spaces: list[SearchSpace]) -> None:
    with _blamed(key):
        for space in spaces:
            sample_of(space, architectures, 0)


def _check_fetched(key: str, names: Iterable[str], parameters: Parameters) -> None:
    for name in names:
        if name not in parameters.datasets:
            known = ", ".join(parameters.datasets)
            raise ParameterError(
                f"params: {key}: {quoted(name)} is not fetched: datasets has {known}"
            )


def _check_shards(key: str, shards: int, items: int) -> None:
    if shards > items:
        raise ParameterError(
            f"params: {key}: {shards} shards of {items} architectures: 1 to {items}"
        )


def _check_drawn(
    key: str, size: int, names: Iterable[str], parameters: Parameters, *, trains: bool = False
) -> None:
    """Check that a bundled split has enough images; other splits may not be fetched yet.

    Networks are trained on two images or more that are not in the minibatch.
    """
    for known in map(image_set, names):
        if known.bundled is None or known.split(parameters.scores.split) != SAMPLE:
            continue
        count = len(sample_labels(known))
        if size > count:
            raise ParameterError(f"params: {key}: {size} images: {known.name} {SAMPLE} has {count}")
        if trains and size > count - 2:
            raise ParameterError(
                f"params: {key}: {size} images of the {count} of {known.name} {SAMPLE} leave too "
                f"few to train on: {count - 2} or fewer"
            )


def _check_algorithm(name: str, parameters: Parameters, *, live: bool) -> None:
    asked = parse_algorithm(name)
    scores, searches = parameters.scores, parameters.searches
    own = [proxy for proxy in asked.reads(searches.proxy) if proxy != searches.proxy]
    if live and (lacking := _unscored(own, scores.proxies)):
        raise ParameterError(
            f"{quoted(name)} reads scores of {lacking[0]}: scores.proxies has "
            f"{', '.join(scores.proxies)}"
        )
    if not asked.spends_budget:
        return
    if live and searches.seconds_per_score == "measured" and not scores.seconds:
        raise ParameterError(
            f"{quoted(name)}: searches.seconds_per_score is measured, and scores.seconds is false: "
            "make it true"
        )
    if asked.guidance.fitness and searches.seconds_per_score == 0:
        raise ParameterError(
            f"{quoted(name)} spends its budget on scores: searches.seconds_per_score is 0, set it "
            "above"
        )
    chooses = asked.guidance.mutants > 1 and not asked.moves_among_scored
    if live and chooses and scores.architectures != "all":
        raise ParameterError(
            f"{quoted(name)} chooses among mutants: that needs scores.architectures to be all, not "
            f"{scores.architectures}"
        )
