"""The parameters of a run: what each key of params.yaml means, and what may stand there.

The model below is the one place that knows. The JSON schema that editors read is generated from it
(`json_schema`), `untrained params` prints it, and a wrong key is refused by it in one line that
names the key, its value and what would be right.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from untrained.errors import ParameterError, UntrainedError, unknown_name

PARAMS = Path("params.yaml")

T = TypeVar("T")


def _different(values: tuple[T, ...]) -> tuple[T, ...]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} is there twice: keep one")
    return values


Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Count = Annotated[int, Ge(1)]
Several = Annotated[int, Ge(2)]
Number = Annotated[float, Ge(0), Field(allow_inf_nan=False)]
_Unique = (AfterValidator(_different), Field(strict=False, json_schema_extra={"uniqueItems": True}))
Names = Annotated[tuple[str, ...], MinLen(1), *_Unique]
Seeds = Annotated[tuple[Seed, ...], MinLen(1), *_Unique]
SeedsOrNone = Annotated[tuple[Seed, ...], *_Unique]
Batches = Annotated[tuple[Several, ...], MinLen(1), *_Unique]
Epochs = Annotated[tuple[Number, ...], MinLen(1), *_Unique]
Fraction = Annotated[float, Gt(0), Le(1), Field(allow_inf_nan=False)]


def _key(description: str) -> Any:  # noqa: ANN401 - pydantic's fields have any type
    return Field(description=description)


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,  # neither 1.0 nor true is the integer 1
    )


class Fetch(_Section):
    """Where tables and images come from."""

    mirror: str | None = _key(
        "Base URL or folder that holds the official files under their official names; null: "
        "official addresses. Not asked for what is bundled, but for the whole table of nasbench101"
    )
    allow_missing: bool = _key(
        "Whether a mirror may lack some of the official image files; there are fewer images then"
    )


class Scores(_Section):
    """Which scores of which architectures, and the images that they are read on."""

    proxies: Names = _key(
        "`name` or `name-variant`, or the address of a proxy of one's own (`my.module:MyProxy`); "
        "`untrained list proxies`. `lga@1`, `naswot@0.5` are read after so many epochs of training "
        "on the images that are not in the minibatch; docs/lga.md"
    )
    architectures: Literal["all"] | Count = _key(
        "How many architectures of each space, drawn at random without replacement, or all"
    )
    sample_seed: Seed = _key("Seed of that draw")
    share: bool = _key(
        "Score one architecture of each class that computes the same function, for all of its "
        "members: a third of the work on the whole of NAS-Bench-201"
    )
    shards: Count = _key("Jobs per space, data set, file of proxies and seed")
    split: str = _key(
        "Split of the data sets: sample (bundled), or train, test, ... of the official files"
    )
    batch_size: Several = _key("Images per minibatch, 2 or more; the papers use 128")
    augmentation: Literal["none", "crop-flip"] = _key("none, or crop-flip")
    sampling: Literal["uniform", "balanced"] = _key(
        "How the images of a minibatch are drawn: uniform, or balanced (as many of each class as "
        "can be)"
    )
    precision: Literal["auto", "float32", "bfloat16"] = _key(
        "float32, bfloat16, or auto: bfloat16 where the device has instructions for it. It moves a "
        "score by rounding only, a hundredth of what another seed does."
    )
    seconds: bool = _key(
        "Whether to keep what each score took; the tables of two runs are never the same then"
    )


class Searches(_Section):
    """Search algorithms that are repeated on scores and accuracies that are known."""

    algorithms: Names = _key(
        "`name`, `name-samples`, or `name+setting=value` (rea+init=naswot, bohb+eta=2); "
        "rea+fitness=lga@1 climbs a score, rea+pool=lga@1 accuracies among what is scored so; "
        "`untrained list algorithms`, docs/searches.md"
    )
    proxy: str = _key("The proxy whose cached scores they read")
    budget: str = _key(
        "What a run of a search that trains may spend: simulated seconds (12000s) or trainings "
        "(100evaluations)"
    )
    runs: Count = _key("Independent repetitions of each")
    shards: Count = _key(
        "Jobs per algorithm, space and data set, each with its part of the runs; 500 runs take "
        "seconds"
    )
    seed: Seed = _key("Seed of their draws")
    seconds_per_score: Literal["measured"] | Number = _key(
        "Simulated seconds that a search pays for one score (0.306 in the paper, on a 1080 Ti), "
        "besides the benchmark's own seconds of any training before it. Measured times differ from "
        "run to run, so they would change every result; docs/performance.md has ours. `measured`: "
        "what scores.seconds has kept"
    )


class Ablations(_Section):
    """Scores of a few architectures again and again, with one thing varied."""

    proxy: str = _key("The proxy whose scores are taken apart; `name` or `name-variant`")
    dataset: str = _key(
        "Images that the cells are scored on, one of datasets; split, batch size and precision are "
        "those of scores"
    )
    repeats: Several = _key(
        "Scores of each of ten cells, per experiment and batch size, 2 or more; 20 in the paper"
    )
    batch_sizes: Batches = _key("Batch sizes that are compared with each other")
    cells: Several = _key("Random cells whose variance is split")
    minibatches: Several = _key("Minibatches that each of them is shown, 2 or more")
    initialisations: Several = _key(
        "Initialisations of each that see every one of these minibatches, 2 or more"
    )
    seed: Seed = _key("Seed of the draw of cells")


class Prunings(_Section):
    """The pruning search of TE-NAS, for spaces with a supernet; a job is one of each."""

    variants: Names = _key("tenas (corrected), released: as its code does")
    criteria: Names = _key(
        "Ranks by both numbers added, or by one of them: kappa (condition number), regions"
    )
    datasets: Names = _key(
        "Images that the supernets are shown, of datasets; their split is that of scores"
    )
    seeds: SeedsOrNone = _key("Seeds of weights, images and ties; [] for no pruning at all")
    repeats: Count = _key(
        "Draws per round, over which changes are averaged; 3 in the released code"
    )
    batch_size: Several | None = _key(
        "Images per kernel, 2 or more; null: 32 as the paper says, 72 where released"
    )


class TrainingCurves(_Section):
    """How the tangent kernel and scores of random cells move over a short training."""

    cells: Count = _key("Random cells of each space; 20 or more for a correlation with accuracy")
    seed: Seed = _key("Seed of that draw")
    shards: Count = _key("Jobs per space and seed, each with its part of the cells")
    dataset: str = _key(
        "Images that the cells see, one of datasets; its split has to be one for training"
    )
    seeds: SeedsOrNone = _key(
        "Seeds of minibatch, weights and training; [] for no training curves at all"
    )
    epochs: Epochs = _key(
        "When to read, in epochs of training, ascending from 0; fractions are rounded to steps"
    )
    kernel: str = _key("Parameters and mode of the kernel that is compared with its beginning")
    proxies: Names = _key("Whose scores are read; those of a variant share one kernel")
    batch_size: Several = _key(
        "Images of the minibatch, 2 or more; the time of a kernel grows with its square"
    )


class Report(_Section):
    """How results are summarised."""

    resamples: Annotated[int, Ge(100)] = _key("Bootstrap resamples of every interval")
    seed: Seed = _key("Seed of the resampling")
    kernels: Count = _key("Good cells and bad cells in the figure of kernel matrices, of each")
    best: Fraction = _key(
        "Fraction of the architectures that count as the best, in the table of preferred operations"
    )


class Parameters(_Section):
    """Every choice of a run. Read by Snakemake, by DVC and by the command line."""

    spaces: Names = _key("Search spaces; `untrained list spaces`")
    datasets: Names = _key("Images that the networks are scored on; `untrained list datasets`")
    seeds: Seeds = _key("Seeds of minibatch and weights, 0 or larger")
    fetch: Fetch
    scores: Scores
    searches: Searches
    ablations: Ablations
    prunings: Prunings
    training_curves: TrainingCurves
    report: Report

    def datasets_of(self, space: str) -> list[str]:
        """The data sets whose images a space is scored on.

        Raises:
            UntrainedError: an unknown name.
        """
        from untrained.images.sets import image_set
        from untrained.spaces import get_space

        trained_on = get_space(space).datasets
        return [name for name in self.datasets if image_set(name).measured_as in trained_on]


def read_parameters(path: Path = PARAMS) -> dict[str, Any]:
    """The parameters in `path`, unchecked; empty where there is no such file.

    Raises:
        ParameterError: the file is not a YAML mapping.
    """
    import yaml

    if not path.is_file():
        return {}
    try:
        parameters = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(parameters, dict):
        raise ParameterError(f"{path} holds no sections: copy the project's params.yaml")
    return parameters


def parse_parameters(parameters: Mapping[str, Any]) -> Parameters:
    """Check the types and ranges of the parameters, and every name in them.

    Raises:
        ParameterError: the message names the key, its value and what would be right.
    """
    try:
        parsed = Parameters.model_validate(dict(parameters))
    except ValidationError as error:
        raise ParameterError(f"params: {_complaint(error, parameters)}") from None
    for key, check in _checks(parsed):
        try:
            check()
        except UntrainedError as error:
            raise ParameterError(f"params: {key}: {error}") from error
    return parsed


@dataclass(frozen=True)
class Key:
    """What is known of a key of params.yaml.

    Attributes:
        path: `key` or `section.key`.
        allowed: what may stand there, in words.
        description: what it means.
    """

    path: str
    allowed: str
    description: str


def keys() -> dict[str, Key]:
    """All keys of params.yaml by their paths, in its order."""
    schema = json_schema()
    return {
        key.path: key
        for name, part in schema["properties"].items()
        for key in _keys_below(name, part, schema)
    }


def explain(path: str) -> Key:
    """What is known of a key.

    Raises:
        UnknownNameError: no such key; the message suggests the nearest one.
    """
    known = keys()
    if path not in known:
        raise unknown_name("key of params.yaml", path, known)
    return known[path]


def json_schema() -> dict[str, Any]:
    """The JSON schema of params.yaml, as editors and `untrained params` read it."""
    schema: dict[str, Any] = _untitled(Parameters.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _untitled(schema: Any) -> Any:  # noqa: ANN401 - what JSON holds
    """Drop the titles, which repeat the names of the keys."""
    if isinstance(schema, list):
        return [_untitled(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _untitled(part)
        for name, part in schema.items()
        if not (name == "title" and isinstance(part, str))
    }


def _keys_below(path: str, part: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Key]:
    whole = _resolved(part, schema)
    if "properties" not in whole:
        yield Key(path, _in_words(whole), whole["description"])
    for name, inside in whole.get("properties", {}).items():
        yield from _keys_below(f"{path}.{name}", inside, schema)


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else part


def _in_words(schema: Mapping[str, Any], *, several: bool = False) -> str:
    """What a JSON schema allows, in words.

    Args:
        schema: of one value.
        several: whether values in a list are described.
    """
    if "anyOf" in schema:
        return " or ".join(_in_words(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] == "array":
        some = "one or more" if schema.get("minItems") else "none or more"
        return f"a list of {some} different {_in_words(schema['items'], several=True)}"
    noun = _NOUNS[schema["type"]][several]
    if "exclusiveMinimum" in schema:
        return f"{noun} above {schema['exclusiveMinimum']}, at most {schema['maximum']}"
    if "minimum" in schema:
        noun += f", {schema['minimum']} or larger"
    return noun if schema.get("maximum") is None else f"{noun}, below 2^63"


#: Types of JSON in words: one value, and several.
_NOUNS = {
    "boolean": ("true or false", "true or false"),
    "integer": ("an integer", "integers"),
    "null": ("null", "null"),
    "number": ("a number", "numbers"),
    "string": ("text", "names"),
}


def _complaint(error: ValidationError, parameters: Mapping[str, Any]) -> str:
    """The most telling of some errors: a misspelled key before the one that is then missing."""
    order = ("extra_forbidden", "missing")
    found = error.errors(include_url=False)
    first = min(found, key=lambda one: (*order, one["type"]).index(one["type"]))
    schema = json_schema()
    part: Mapping[str, Any] = schema
    path = ""
    value: Any = parameters
    for step in first["loc"]:
        within = part.get("properties", {})
        if isinstance(step, int) and "items" in part:
            path, part, value = f"{path}[{step}]", part["items"], value[step]
        elif step in within:
            path, part = f"{path}.{step}".lstrip("."), _resolved(within[step], schema)
            value = value.get(step) if isinstance(value, Mapping) else value
        elif first["type"] in ("extra_forbidden", "invalid_key"):
            unknown = unknown_name("key", str(step), within)
            return f"{path}.{step}: {unknown}".lstrip(".")
        # else a branch of a union, which is described as a whole
    if first["type"] == "missing":
        return f"{path} is missing: add {_in_words_or_section(part)}"
    if first["type"] == "value_error":
        return f"{path}: {first['ctx']['error']}"
    return f"{path}: {value!r} is wrong: write {_in_words_or_section(part)}"


def _in_words_or_section(part: Mapping[str, Any]) -> str:
    inside = part.get("properties")
    return f"a section of {', '.join(inside)}" if inside else _in_words(part)


_Check = tuple[str, Callable[[], object]]


def _checks(parameters: Parameters) -> Iterator[_Check]:
    """Checks of names and of keys against each other, each under the key that it blames.

    A check may rely on those before it.
    """
    yield from _checks_of_scores(parameters)
    yield from _checks_of_searches(parameters)
    yield from _checks_of_ablations(parameters)
    yield from _checks_of_prunings(parameters)
    yield from _checks_of_training_curves(parameters)


def _checks_of_scores(parameters: Parameters) -> Iterator[_Check]:
    from untrained.images.sets import image_set
    from untrained.images.splits import check_training_split
    from untrained.scoring.request import parse_reading, shows_test

    scores = parameters.scores
    for name in parameters.spaces:
        yield "spaces", partial(_check_size, name, scores.architectures)
    for name in scores.proxies:
        yield "scores.proxies", partial(_check_proxy, name)
    yield "scores.proxies", partial(_check_different, scores.proxies)
    trains = any("training" in parse_reading(name).needs for name in scores.proxies)
    for name in parameters.datasets:
        yield "datasets", partial(image_set, name)
        known = image_set(name)
        split = known.split(scores.split)
        yield "scores.split", partial(known.check_split, split)
        if any(map(shows_test, scores.proxies)):
            yield "scores.proxies", partial(getattr, known, "test_split")
        if trains:
            yield "scores.split", partial(check_training_split, name, split)
    for name in parameters.spaces:
        yield "datasets", partial(_check_datasets, parameters, name)


def _checks_of_searches(parameters: Parameters) -> Iterator[_Check]:
    from untrained.search.runs import shard_of_runs

    searches, scored = parameters.searches, parameters.scores.proxies
    for name in searches.algorithms:
        yield "searches.algorithms", partial(_check_algorithm, name, parameters)
    yield "searches.shards", partial(shard_of_runs, searches.runs, 0, searches.shards)
    for name in parameters.spaces:
        yield "searches.budget", partial(_check_budget, name, parameters)
    yield (
        "searches.proxy",
        partial(_check_one_of, searches.proxy, "scored", "scores.proxies", scored),
    )


def _checks_of_ablations(parameters: Parameters) -> Iterator[_Check]:
    from untrained.spaces import get_space

    ablations = parameters.ablations
    yield "ablations.proxy", partial(_check_untrained, ablations.proxy)
    for name in parameters.spaces:
        if get_space(name).ablations:
            yield "ablations.cells", partial(_check_size, name, ablations.cells)
            yield "ablations.dataset", partial(_check_fetched, ablations.dataset, parameters)


def _checks_of_prunings(parameters: Parameters) -> Iterator[_Check]:
    from untrained.search.pruning import Pruning

    prunings = parameters.prunings
    for name in prunings.variants:
        yield "prunings.variants", partial(Pruning, variant=name)
    for name in prunings.criteria:
        yield "prunings.criteria", partial(Pruning, criterion=name)
    if prunings.seeds and any(_prunes(name) for name in parameters.spaces):
        for name in prunings.datasets:
            yield "prunings.datasets", partial(_check_fetched, name, parameters)


def _checks_of_training_curves(parameters: Parameters) -> Iterator[_Check]:
    from untrained.images.sets import image_set
    from untrained.images.splits import check_training_split
    from untrained.scoring.curve_settings import CurveSettings
    from untrained.scoring.request import parse_reading

    curves = parameters.training_curves
    followed = tuple(curves.proxies)
    yield (
        "training_curves.proxies",
        lambda: CurveSettings((0,), tuple(map(parse_reading, followed))),
    )
    yield "training_curves.kernel", lambda: CurveSettings((0,), (), curves.kernel)
    yield "training_curves.epochs", lambda: CurveSettings(curves.epochs, ())
    if not curves.seeds:  # nothing is trained
        return
    for name in parameters.spaces:
        yield "training_curves.cells", partial(_check_size, name, curves.cells)
    yield "training_curves.dataset", partial(_check_fetched, curves.dataset, parameters)
    split = image_set(curves.dataset).split(parameters.scores.split)
    yield "scores.split", partial(check_training_split, curves.dataset, split)


def _prunes(space: str) -> bool:
    from untrained.spaces import get_space

    found = get_space(space)
    return found.supernet is not None and found.benchmark is not None


def _check_size(space: str, architectures: str | int) -> None:
    from untrained.scoring.shards import sample_of
    from untrained.spaces import get_space

    sample_of(get_space(space), architectures, 0)


def _check_proxy(name: str) -> None:
    from untrained.scoring.request import parse_reading

    parse_reading(name).check_readable()


def _check_different(proxies: tuple[str, ...]) -> None:
    from untrained.scoring.request import parse_reading

    spelled = [str(parse_reading(name)) for name in proxies]
    for name, canonical in zip(proxies, spelled, strict=True):
        if spelled.count(canonical) > 1:
            raise ParameterError(f"{name!r} is {canonical}, which is there twice: keep one")


def _check_datasets(parameters: Parameters, space: str) -> None:
    from untrained.images.sets import IMAGE_SETS, image_set
    from untrained.spaces import get_space

    if not parameters.datasets_of(space):
        trained_on = get_space(space).datasets
        serving = [name for name in IMAGE_SETS.names() if image_set(name).measured_as in trained_on]
        raise ParameterError(
            f"{space} is trained on {', '.join(trained_on)}: datasets has "
            f"{', '.join(parameters.datasets)}, add one of {', '.join(serving)}"
        )


def _check_one_of(name: str, done: str, key: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ParameterError(f"{name!r} is not {done}: {key} has {', '.join(known)}")


def _check_fetched(dataset: str, parameters: Parameters) -> None:
    _check_one_of(dataset, "fetched", "datasets", parameters.datasets)


def _check_algorithm(name: str, parameters: Parameters) -> None:
    from untrained.search import parse_algorithm

    asked = parse_algorithm(name)
    scores, searches = parameters.scores, parameters.searches
    for proxy in asked.reads(searches.proxy):
        if proxy not in (searches.proxy, *scores.proxies):
            raise ParameterError(
                f"{name!r} reads scores of {proxy}: scores.proxies has {', '.join(scores.proxies)}"
            )
    if not asked.spends_budget:
        return
    if searches.seconds_per_score == "measured" and not scores.seconds:
        raise ParameterError(
            f"{name!r}: searches.seconds_per_score is measured, and scores.seconds is false: make "
            "it true"
        )
    if asked.guidance.fitness and searches.seconds_per_score == 0:
        raise ParameterError(
            f"{name!r} spends its budget on scores: searches.seconds_per_score is 0, set it above"
        )
    chooses = asked.guidance.mutants > 1 and not asked.moves_among_scored
    if chooses and scores.architectures != "all":
        raise ParameterError(
            f"{name!r} chooses among mutants: that needs scores.architectures to be all, not "
            f"{scores.architectures}"
        )


def _check_budget(space: str, parameters: Parameters) -> None:
    from untrained.search import parse_algorithm
    from untrained.search.clock import parse_budget
    from untrained.spaces import get_space

    budget = parse_budget(parameters.searches.budget)
    algorithms = parameters.searches.algorithms
    trains = any(parse_algorithm(name).sees_trainings for name in algorithms)
    facts = get_space(space).benchmark
    if facts is not None and not facts.has_times and trains and budget.seconds < math.inf:
        raise ParameterError(
            f"{budget}: {space} has no training times, give a budget in evaluations, as in "
            "100evaluations"
        )


def _check_untrained(proxy: str) -> None:
    from untrained.scoring.request import parse_reading

    if "training" in parse_reading(proxy).needs:
        raise ParameterError(f"{proxy!r} is read after training, and ablations don't train")
