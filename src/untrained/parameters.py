"""Reads params.yaml and says in one line what is wrong with it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from untrained.errors import ParameterError, UntrainedError
from untrained.images.sets import IMAGE_SETS, image_set
from untrained.images.splits import check_training_split
from untrained.proxies import get_proxy, shows_test, spelling_of
from untrained.proxies.trained import check_readable
from untrained.search import parse_algorithm
from untrained.search.clock import parse_budget
from untrained.search.pruning import Pruning
from untrained.search.runs import shard_of_runs
from untrained.spaces import get_space
from untrained.spaces.nds_networks import FILES as NDS_FILES

PARAMS = Path("params.yaml")


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


def check_parameters(parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Check the shape of the parameters against a JSON schema, and every name in them.

    Raises:
        ParameterError: the message names the key, its value and what would be right.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(parameters))
    if error is not None:
        raise ParameterError(f"params: {_key(error.absolute_path)}{error.message}")
    scores, searches = parameters["scores"], parameters["searches"]
    prunings = parameters["prunings"]
    for key, seeds in (
        ("seeds", parameters["seeds"]),
        ("prunings.seeds", prunings["seeds"]),
        ("evolutions.seeds", parameters["evolutions"]["seeds"]),
    ):
        for seed in seeds:
            if isinstance(seed, float):  # JSON Schema takes 1.0 for an integer, a file name not
                raise ParameterError(f"params: {key}: {seed} has a decimal point: write {seed:.0f}")
    for name in parameters["spaces"]:
        _named("spaces", lambda name=name: _check_size(name, scores["architectures"]))
    for name in scores["proxies"]:
        _named("scores.proxies", lambda name=name: check_readable(get_proxy(name)))
    spelled = [spelling_of(get_proxy(name)) for name in scores["proxies"]]
    for name, canonical in zip(scores["proxies"], spelled, strict=True):
        if spelled.count(canonical) > 1:
            raise ParameterError(
                f"params: scores.proxies: {name!r} is {canonical}, which is there twice: keep one"
            )
    trains = any("training" in get_proxy(name).needs for name in scores["proxies"])
    for name in parameters["datasets"]:
        _named("datasets", lambda name=name: image_set(name))
        known = image_set(name)
        split = known.split(scores["split"])
        _named("scores.split", lambda known=known, split=split: known.check_split(split))
        if any(map(shows_test, scores["proxies"])):
            _named("scores.proxies", lambda known=known: known.test_split)
        if trains:
            _named("scores.split", lambda name=name, split=split: check_training_split(name, split))
    for name in parameters["spaces"]:
        _named("datasets", lambda name=name: _check_datasets(parameters, name))
    for name in searches["algorithms"]:
        _named("searches.algorithms", lambda name=name: _check_scored(name, searches, scores))
    _named("searches.shards", lambda: shard_of_runs(searches["runs"], 0, searches["shards"]))
    for name in parameters["spaces"]:
        _named("searches.budget", lambda name=name: _check_budget(name, searches))
    if searches["proxy"] not in scores["proxies"]:
        raise ParameterError(
            f"params: searches.proxy: {searches['proxy']!r} is not scored: "
            f"scores.proxies has {', '.join(scores['proxies'])}"
        )
    _check_ablations(parameters)
    for name in prunings["variants"]:
        _named("prunings.variants", lambda name=name: Pruning(variant=name))
    for name in prunings["criteria"]:
        _named("prunings.criteria", lambda name=name: Pruning(criterion=name))
    _check_pruned_datasets(parameters)
    _check_evolutions(parameters)


def datasets_of(parameters: Mapping[str, Any], space: str) -> list[str]:
    """The data sets of the parameters whose images a space is scored on.

    Raises:
        UntrainedError: an unknown name.
    """
    trained_on = get_space(space).datasets
    return [name for name in parameters["datasets"] if image_set(name).measured_as in trained_on]


def _check_datasets(parameters: Mapping[str, Any], space: str) -> None:
    if not datasets_of(parameters, space):
        trained_on = get_space(space).datasets
        serving = [name for name in IMAGE_SETS.names() if image_set(name).measured_as in trained_on]
        raise ParameterError(
            f"{space} is trained on {', '.join(trained_on)}: datasets has "
            f"{', '.join(parameters['datasets'])}, add one of {', '.join(serving)}"
        )


def _check_fetched(key: str, dataset: str, parameters: Mapping[str, Any]) -> None:
    if dataset not in parameters["datasets"]:
        raise ParameterError(
            f"params: {key}: {dataset!r} is not fetched: "
            f"datasets has {', '.join(parameters['datasets'])}"
        )


def _check_pruned_datasets(parameters: Mapping[str, Any]) -> None:
    prunings = parameters["prunings"]
    spaces = map(get_space, parameters["spaces"])
    if not prunings["seeds"] or not any(one.supernet and one.benchmark for one in spaces):
        return
    for name in prunings["datasets"]:
        _check_fetched("prunings.datasets", name, parameters)


def _check_ablations(parameters: Mapping[str, Any]) -> None:
    from untrained.scoring.ablations import ABLATED_SPACES

    ablations = parameters["ablations"]
    _named("ablations.proxy", lambda: _check_ablated(ablations["proxy"]))
    for name in parameters["spaces"]:
        if name not in ABLATED_SPACES:
            continue
        _named("ablations.cells", lambda name=name: _check_size(name, ablations["cells"]))
        _check_fetched("ablations.dataset", ablations["dataset"], parameters)


def _check_evolutions(parameters: Mapping[str, Any]) -> None:
    from untrained.scoring.evolutions import Evolution

    evolutions = parameters["evolutions"]
    proxies = evolutions["proxies"]
    _named("evolutions.proxies", lambda: Evolution((0,), tuple(map(get_proxy, proxies))))
    _named("evolutions.kernel", lambda: Evolution((0,), (), evolutions["kernel"]))
    _named("evolutions.epochs", lambda: Evolution(tuple(evolutions["epochs"]), ()))
    if not evolutions["seeds"]:  # nothing is trained
        return
    for name in parameters["spaces"]:
        _named("evolutions.cells", lambda name=name: _check_size(name, evolutions["cells"]))
    dataset = evolutions["dataset"]
    _check_fetched("evolutions.dataset", dataset, parameters)
    split = image_set(dataset).split(parameters["scores"]["split"])
    _named("scores.split", lambda: check_training_split(dataset, split))


def _check_scored(name: str, searches: Mapping[str, Any], scores: Mapping[str, Any]) -> None:
    asked = parse_algorithm(name)
    for proxy in asked.reads(searches["proxy"]):
        if proxy not in (searches["proxy"], *scores["proxies"]):
            raise ParameterError(
                f"{name!r} reads scores of {proxy}: scores.proxies has "
                f"{', '.join(scores['proxies'])}"
            )
    if not asked.spends_budget:
        return
    if searches["seconds_per_score"] == "measured" and not scores["seconds"]:
        raise ParameterError(
            f"{name!r}: searches.seconds_per_score is measured, and scores.seconds is false: make "
            "it true"
        )
    if asked.guidance.fitness and searches["seconds_per_score"] == 0:
        raise ParameterError(
            f"{name!r} spends its budget on scores: searches.seconds_per_score is 0, set it above"
        )
    chooses = asked.guidance.mutants > 1 and not asked.moves_among_scored
    if chooses and scores["architectures"] != "all":
        raise ParameterError(
            f"{name!r} chooses among mutants: that needs scores.architectures to be all, not "
            f"{scores['architectures']}"
        )


def _check_budget(space: str, searches: Mapping[str, Any]) -> None:
    budget = parse_budget(searches["budget"])
    trains = any(parse_algorithm(name).sees_trainings for name in searches["algorithms"])
    if space in NDS_FILES and trains and budget.seconds < math.inf:
        raise ParameterError(
            f"{budget}: {space} has no training times, give a budget in evaluations, as in "
            "100evaluations"
        )


def _check_ablated(name: str) -> None:
    if "training" in get_proxy(name).needs:
        raise ParameterError(f"{name!r} is read after training, and ablations don't train")


def _check_size(name: str, architectures: str | int) -> None:
    from untrained.scoring.shards import sample_of

    sample_of(get_space(name), architectures, 0)


def _named(key: str, look_up: Any) -> None:  # noqa: ANN401 - any callable without arguments
    try:
        look_up()
    except UntrainedError as error:
        raise ParameterError(f"params: {key}: {error}") from error


def _key(path: Any) -> str:  # noqa: ANN401 - jsonschema's deque of keys and positions
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return f"{text.removeprefix('.')}: " if text else ""
