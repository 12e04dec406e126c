import copy
import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from snakemake.utils import update_config

from untrained.errors import ParameterError, UnknownNameError, UntrainedError
from untrained.parameters import (
    explain,
    json_schema,
    keys,
    parse_parameters,
    read_parameters,
)
from untrained.search.regularised_evolution import RegularisedEvolution
from untrained.spaces.base import SearchSpace
from untrained.spaces.nasbench201 import NasBench201

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/params.schema.json"
VALID = read_parameters(ROOT / "params.yaml")


#: Keys with a value that is tried as None.
CAN_BE_NULL = {"prunings.seeds"}
PRESETS = sorted((ROOT / "params").glob("*.yaml"))


def leaves(parameters, path=()):
    for key, value in parameters.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def test_the_projects_parameters_are_valid():
    parse_parameters(VALID)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_a_preset_is_valid_and_says_only_what_differs(path):
    preset, parameters = read_parameters(path), copy.deepcopy(VALID)
    update_config(parameters, preset)  # as `snakemake --configfile` does
    parse_parameters(parameters)
    default = dict(leaves(VALID))
    assert [key for key, value in leaves(preset) if default[key] == value] == []


def commented(path):
    """The comment above each key of a file, which may have several lines, by the key's path."""
    found, section, lines = {}, "", []
    for line in path.read_text().splitlines():
        if line.lstrip().startswith("#"):
            lines = [*lines, line.strip().removeprefix("#").strip()]
            continue
        if key := re.match(r"( *)(\w+):(.*)", line):
            if not key[1]:
                section = "" if key[3] else f"{key[2]}."
            found[key[2] if not key[1] else section + key[2]] = lines
        lines = []
    return found


def test_comments_of_the_parameters_are_the_descriptions_of_the_model():
    comments = commented(ROOT / "params.yaml")
    for key in keys().values():
        lines = [line for line in comments[key.path] if not line.startswith("---")]
        assert key.description == " ".join(lines), key.path
    assert list(keys()) == [".".join(path) for path, _ in leaves(VALID)]


def test_every_key_of_a_preset_has_a_comment():
    for preset in PRESETS:
        comments = commented(preset)
        assert all(comments[".".join(path)] for path, _ in leaves(read_parameters(preset))), preset


def test_editors_read_the_schema_of_the_model():
    first = (ROOT / "params.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA.relative_to(ROOT)}"
    made = "run `untrained params --schema > workflow/schemas/params.schema.json`"
    assert json.loads(SCHEMA.read_text()) == json_schema(), made


def test_a_key_is_explained():
    key = explain("scores.batch_size")
    assert key.allowed == "an integer, 2 or larger, at most 1000000"
    assert key.description.startswith("Images per minibatch")
    with pytest.raises(UnknownNameError, match=r"'scores.batchsize': did you mean 'scores.batch_"):
        explain("scores.batchsize")


def changed(path, value):
    """The valid parameters with another value at a path; None removes a key or a section.

    A path that ends in [n] is the place in a list, or that behind it. Searches read the scores of
    the run, which all proxies can have.
    """
    parameters = copy.deepcopy(VALID)
    parameters["searches"]["scores"] = "live"
    path, _, place = str(path).partition("[")
    *parents, last = path.split(".")
    section = parameters
    for parent in parents:
        section = section[parent]
    if place:
        number = int(place.removesuffix("]"))
        section[last][number : number + 1] = [value]
    elif value is None and last in section and path not in CAN_BE_NULL:
        del section[last]
    else:
        section[last] = value
    return parameters


INTEGER, SEED = "an integer, {} or larger", "an integer, 0 or larger, below 2.63"


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        ("seeds[1]", -1, SEED),
        ("seeds[0]", 0.5, SEED),
        ("seeds[0]", 1.0, SEED),
        ("seeds[0]", True, SEED),
        ("seeds[0]", 2**63, SEED),
        ("seeds", [], "a list of one or more different integers"),
        ("seeds", 0, "a list of one or more different integers"),
        ("spaces", "nasbench201", "a list of one or more different names"),
        ("spaces[0]", 201, "text"),
        ("prunings.seeds", None, "a list of none or more different integers"),
        ("prunings.seeds[0]", 2.0, SEED),
        ("prunings.batch_size", 1, "an integer, 2 or larger, at most 1000000 or null"),
        ("prunings.criteria", [], "a list of one or more different names"),
        ("scores", [], "a section of proxies, architectures, "),
        ("scores.batch_size", 1, INTEGER.format(2)),
        ("scores.batch_size", "128", INTEGER.format(2)),
        ("scores.shards", 0, INTEGER.format(1)),
        ("scores.share", 1, "true or false"),
        ("scores.augmentation", "flip", "none or crop-flip"),
        ("scores.sampling", "even", "uniform or balanced"),
        ("scores.architectures", 0, "all or an integer, 1 or larger"),
        ("scores.architectures", "some", "all or an integer, 1 or larger"),
        ("searches.seconds_per_score", "some", "measured or a number, 0 or larger"),
        ("searches.seconds_per_score", -1, "measured or a number, 0 or larger"),
        ("searches.seconds_per_score", math.inf, "measured or a number, 0 or larger"),
        ("ablations.batch_sizes[1]", 1, INTEGER.format(2)),
        ("training_curves.epochs[1]", -1, "a number, 0 or larger"),
        ("training_curves.epochs[1]", math.nan, "a number, 0 or larger"),
        ("report.resamples", 10, INTEGER.format(100)),
        *(
            (path, value, "an integer, ")
            for path in ("searches.runs", "scores.shards", "ablations.repeats", "prunings.repeats")
            for value in (1.0, 10**30, math.nan, True)
        ),
        ("ablations.initialisations", 10**12, "an integer, 2 or larger, at most 1000000"),
        ("searches.seconds_per_score", math.nan, "measured or a number, 0 or larger, at most"),
        ("searches.seconds_per_score", 10**30, "measured or a number, 0 or larger, at most"),
        ("report.best", 0, "a number above 0, at most 1"),
        ("report.best", 1.5, "a number above 0, at most 1"),
        ("report.best", math.nan, "a number above 0, at most 1"),
        ("fetch.mirror", 3, "text or null"),
    ],
)
def test_a_value_of_another_type_or_range_is_named_with_what_is_right(path, value, allowed):
    said = re.escape(f"{path}: {value!r} is wrong: write ")
    refused(changed(path, value), f"params: {said}{allowed}")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scores.batchsize", 4, "scores.batchsize: unknown key 'batchsize': did you mean 'batch_"),
        ("sedes", [0], "sedes: unknown key 'sedes': did you mean 'seeds'. known: "),
        (3, [0], "3: unknown key '3': known: ablations, "),
        ("scores", None, "scores is missing: add a section of proxies, architectures, "),
        ("scores.shards", None, "scores.shards is missing: add an integer, 1 or larger"),
        ("seeds", [1, 1], "seeds: 1 and 1 are the same: keep one"),
        ("scores.architectures", 20_000,
         "scores.architectures: 20000 architectures asked of nasbench201"),
        ("spaces", ["darts"], "spaces: darts has 1.08e.18 architectures, too many for tables"),
        ("spaces", ["nasbench202"],
         "spaces: unknown space 'nasbench202': did you mean 'nasbench201'"),
        ("datasets", ["cifra10"],
         "datasets: unknown data set 'cifra10': did you mean 'cifar10'"),
        ("scores.proxies", ["naswot", "naswott"],
         "scores.proxies: unknown proxy 'naswott': did you mean 'naswot'"),
        ("scores.proxies", ["naswot-old"],
         "scores.proxies: unknown variant of naswot 'old'"),
        ("scores.proxies", ["naswot", "lga@x"],
         "scores.proxies: 'lga@x': 'x' is no number of epochs"),
        ("ablations.proxy", "lga@1",
         "ablations.proxy: 'lga@1' is read after training, and ablations don't train"),
        ("scores.split", "trian",
         "scores.split: unknown split of cifar10 'trian': did you mean 'train'"),
        ("searches.algorithms", ["naswot-10", "optimum-10"],
         "searches.algorithms: unknown search algorithm 'optimum': did you mean 'optimal'"),
        ("searches.algorithms", ["naswot-x"],
         "searches.algorithms: 'naswot-x': samples are a positive integer"),
        ("searches.proxy", "naswot-signs",
         "searches.proxy: 'naswot-signs' is not scored: scores.proxies has naswot, "),
        ("searches.budget", "12 parsecs", "searches.budget: "),
        ("searches.algorithms", ["rea+mutants=4"], "searches.algorithms: 'rea.mut"),
        ("searches.algorithms", ["rea+fitness=lga@1"],
         "searches.algorithms: 'rea.fitness=lga@1' reads scores of lga@1: scores.proxies "),
        ("searches.algorithms", ["area+pool=lga"],
         "searches.algorithms: 'area.pool=lga' reads scores of lga: scores.proxies has"),
        ("searches.shards", 501, "searches.shards: 501 shards of 500 runs: 1 to 500"),
        ("ablations.cells", 20_000, "ablations.cells: 20000 architectures asked "),
        ("ablations.proxy", "nawsot",
         "ablations.proxy: unknown proxy 'nawsot': did you mean 'naswot'"),
        ("ablations.dataset", "noise",
         "ablations.dataset: 'noise' is not fetched: datasets has cifar10, cifar100"),
        ("datasets", ["cifar10"], "ablations.dataset: 'cifar100' is not fetched"),
        ("prunings.variants", ["tenas", "relased"],
         "prunings.variants: unknown variant of the pruning search 'relased': did you mean "
         "'released'"),
        ("prunings.criteria", ["kapa"],
         "prunings.criteria: unknown criterion 'kapa': did you mean 'kappa'"),
        ("prunings.datasets", ["noise"],
         "prunings.datasets: 'noise' is not fetched: datasets has cifar10, cifar100"),
        ("devices.costs", ["latency[raspi5]"],
         "devices.costs: unknown device of nasbench201 'raspi5': did you mean 'raspi4'"),
        ("devices.costs", ["naswot"],
         "devices.costs: naswot is no cost on a device: name one, as latency"),
        ("devices.score", "log(naswot,grasp)",
         "devices.score: no scores of grasp on cifar10 come with nasbench201: it has "),
        ("devices.dataset", "cifar11",
         "devices.dataset: unknown data set 'cifar11': did you mean 'cifar1"),
        ("training_curves.epochs", [1, 2],
         "training_curves.epochs: epochs are 1, 2: start with 0, which all kernels are"),
        ("training_curves.kernel", "tenas",
         "training_curves.kernel: 'tenas' is no kernel to follow: take weights_train, "),
        ("training_curves.proxies", ["lga@1"], "training_curves.proxies: 'lga@1' has its own"),
        ("training_curves.proxies", ["lag"],
         "training_curves.proxies: unknown proxy 'lag': did you mean 'lga'"),
        ("training_curves.proxies", ["lga", "lga-weights_without_classifier_train"],
         "training_curves.proxies: 'lga' is named twice"),
        ("training_curves.cells", 20_000, "training_curves.cells: 20000 architectures asked "),
        ("training_curves.dataset", "noise",
         "training_curves.dataset: 'noise' is not fetched: datasets has cifar10, cifar100"),
        ("scores.split", "test", "scores.split: cifar10 test is not for training: take "),
        ("scores.batch_size", 100_000,
         "scores.batch_size: 100000 images: cifar10 sample has 2048"),
        ("scores.proxies", ["naswot:100000"],
         "scores.proxies: 100000 images: cifar10 sample has 2048"),
        ("scores.shards", 101, "scores.shards: 101 shards of 100 architectures: 1 to 100"),
        ("ablations.batch_sizes", [4, 100_000],
         "ablations.batch_sizes: 100000 images: cifar100 sample has 1024"),
        ("prunings.batch_size", 100_000, "prunings.batch_size: 100000 images: cifar100 sample has"),
        ("training_curves.batch_size", 100_000,
         "training_curves.batch_size: 100000 images: cifar10 sample has 2048"),
        ("training_curves.batch_size", 2047,
         "training_curves.batch_size: 2047 images of the 2048 of cifar10 sample leave too few to "
         "train on: 2046 or fewer"),
        ("training_curves.shards", 7,
         "training_curves.shards: 7 shards of 2 architectures: 1 to 2"),
        ("training_curves.epochs", [0, 5000],
         "training_curves.epochs: 5000 epochs of training: 0 to 1000"),
        ("spaces", ["nasbench201", "untrained.spaces.nasbench201:NasBench201"],
         "spaces: 'nasbench201' and '.*NasBench201' are the same: keep one"),
        ("datasets", ["cifar10", "untrained.images.sets:CIFAR10"],
         "datasets: 'cifar10' and '.*:CIFAR10' are the same: keep one"),
        ("searches.algorithms", ["naswot-10", "naswot-010"],
         "searches.algorithms: 'naswot-10' and 'naswot-010' are the same: keep one"),
        ("fetch.mirror", "ftp://x", "fetch.mirror: 'ftp://x': a URL begins with https://"),
        ("report.resamples", 10**12, ".*wrong: write an integer, 100 or larger, at most 1000000"),
        ("searches.where", "latency[rasp4] <= 10 ms",
         "searches.where: unknown device of nasbench201 'rasp4': did you mean 'raspi4'"),
        ("searches.where", "latency[raspi4] <= 10 parsecs", "searches.where: .*no unit 'parsecs'"),
        ("searches.where", "latency[raspi4] <= 1 us",
         r"searches.where: none of 15,625 .*the least latency.raspi4. is 0.01128 ms"),
        ("searches.where", "zico > 1", "searches.where: zico is not scored on cifar10"),
        ("searches.budget", "1s",
         "searches.budget: 1s: a training of nasbench201 on cifar10 takes up to 213 s: give more"),
        ("searches.budget", "1" * 30 + "s", "searches.budget: budget .*: seconds up to 100000000"),
        ("searches.algorithms", ["rea+init=naswot", "rea+init=naswot@0"],
         "searches.algorithms: 'rea.init=naswot' and 'rea.init=naswot@0' are the same: keep one"),
        ("searches.algorithms", ["rea", f"{__name__}:Copied"],
         "searches.algorithms: 'rea' and '.*:Copied' are both labelled 'REA': keep one"),
        ("report.kernels", 10**9, ".* wrong: write an integer, 1 or larger, at most 1000"),
        ("searches.runs", 10**11, ".* wrong: write an integer, 1 or larger, at most 1000000"),
        ("searches.budget", "٣evaluations", "searches.budget: budget "),
        ("searches.budget", "60000evaluations",
         "searches.budget: budget 60000evaluations: a run of bohb would make 6e.04 evaluations"),
        ("searches.runs", 100_000, "searches.runs: 1000 samples in each of 100000 runs: all"),
        ("searches.algorithms", ["naswot-" + "1" * 5000], "searches.algorithms: 'naswot-1111"),
        ("searches.algorithms", ["random-٣"], "searches.algorithms: .*samples are a positive int"),
        ("fetch.mirror", "", "fetch.mirror: '' is no folder: give one that is there, a URL"),
        ("fetch.mirror", "nowhere/at/all", "fetch.mirror: 'nowhere/at/all' is no folder: "),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_the_key(path, value, message):
    refused(changed(path, value), f"params: {message}")


@pytest.mark.parametrize(
    "text", ["x" * 9999, "log(" * 999 + "naswot" + ")" * 999, "latency[" + "x" * 9999 + "] <= 1"]
)
@pytest.mark.parametrize(
    "path", sorted(".".join(path) for path, _ in leaves(VALID)), ids=lambda path: path
)
def test_of_a_long_text_the_beginning_is_said(path, text):
    value = {".".join(own): value for own, value in leaves(VALID)}[path]
    with pytest.raises(UntrainedError) as error:
        parse_parameters(changed(path, [text] if isinstance(value, list) else text))
    assert len(str(error.value)) < 1000


def refused(parameters, message):
    with pytest.raises(ParameterError, match=f"^{message}") as caught:
        parse_parameters(parameters)
    assert "\n" not in str(caught.value)


class Copied(RegularisedEvolution):
    """A search that tables would call what they call another."""

    name = "copied"


class Lonely(NasBench201):
    """A space of which no architecture neighbours another and that is no product of choices."""

    name = "lonely"
    mutate = SearchSpace.mutate

    def spelling(self, index):
        return "x " * (index % 3)


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("rea", "rea mutates architectures, and none of lonely neighbours another: take an"),
        ("bohb", "lonely is no product of independent choices"),
        ("reinforce", "lonely is no product of independent choices"),
    ],
)
def test_a_search_that_a_space_can_not_serve_is_named(algorithm, message):
    parameters = changed("spaces", [f"{__name__}:Lonely"])
    parameters["searches"]["algorithms"] = [algorithm]
    refused(parameters, f"params: searches.algorithms: {message}")


def test_seconds_need_training_times_that_the_space_declares(monkeypatch):
    untimed = replace(NasBench201.benchmark, has_times=False)
    monkeypatch.setattr(NasBench201, "benchmark", untimed)
    parse_parameters(changed("searches.budget", "100evaluations"))
    refused(
        changed("searches.budget", "100s"),
        "params: searches.budget: 100s: the benchmark of nasbench201 declares no training times "
        ".has_times.: give a budget in evaluations, as in 100evaluations",
    )


def test_a_proxy_that_is_read_on_test_images_needs_some():
    parameters = changed("datasets", ["cifar100", "TinyImageNet16-120"])
    parameters["scores"].update(split="train", proxies=["naswot", "lga-released"])
    parameters["prunings"]["datasets"] = ["cifar100"]
    parameters["searches"]["algorithms"] = ["random"]
    parameters["ablations"]["dataset"] = "cifar100"
    parameters["training_curves"]["dataset"] = "cifar100"
    parse_parameters(parameters)
    parameters["scores"]["proxies"].append("lga-released@1")
    said = r"^params: scores.proxies: TinyImageNet16-120 has no test images: its splits are train$"
    with pytest.raises(ParameterError, match=said):
        parse_parameters(parameters)
    parameters["datasets"] = ["cifar100", "ImageNet16-120"]
    parse_parameters(parameters)


def test_a_proxy_under_two_names_is_one():
    said = r"^params: scores.proxies: 'lga@1' and .* are the same: keep one$"
    with pytest.raises(ParameterError, match=said):
        parse_parameters(changed("scores.proxies", ["lga@1", "lga@1.0"]))
    said = r"validation_loss is read after training: write validation_loss@1$"
    with pytest.raises(ParameterError, match=said):
        parse_parameters(changed("scores.proxies", ["validation_loss"]))


def test_scores_may_cost_what_they_took_and_be_the_fitness():
    parameters = changed("searches.seconds_per_score", "measured")
    with pytest.raises(ParameterError, match=r"is measured, and scores.seconds is false: make it"):
        parse_parameters(parameters)
    parameters["scores"]["seconds"] = True
    parameters["searches"]["algorithms"] = ["rs+fitness=naswot", "rea+mutants=2+pool=naswot"]
    parse_parameters(parameters)
    parameters["searches"]["seconds_per_score"] = 0
    with pytest.raises(ParameterError, match=r"'rs.fitness=naswot' spends its budget on scores: "):
        parse_parameters(parameters)


def test_searches_may_read_the_scores_that_come_along():
    parameters = copy.deepcopy(VALID)
    assert parameters["searches"]["scores"] == "shipped"
    parameters["datasets"] = ["cifar10", "cifar100"]
    parameters["searches"]["proxy"] = "log(meco,parameters)"
    said = (
        r"searches.proxy: no scores of meco on cifar100 come with nasbench201: it has .*meco.* on "
        "cifar10.*, or make searches.scores live$"
    )
    with pytest.raises(ParameterError, match=said):
        parse_parameters(parameters)
    parameters["datasets"] = ["cifar10"]
    for section in ("ablations", "training_curves"):
        parameters[section]["dataset"] = "cifar10"
    parameters["prunings"]["datasets"] = ["cifar10"]
    # scored here or not, the whole space has them
    parameters["searches"]["algorithms"] = ["rs+fitness=meco", "rea+mutants=2", "naswot-10"]
    parse_parameters(parameters)
    parameters["searches"]["algorithms"] = ["rs+fitness=lga@1"]
    with pytest.raises(ParameterError, match=r"algorithms: no scores of lga@1 on cifar10"):
        parse_parameters(parameters)
    parameters["spaces"] = ["nasbench201", "natsbench_size"]
    parameters["searches"].update(algorithms=["naswot-10"], budget="100evaluations")
    said = "searches.proxy: 'log.meco,parameters.' is not scored: scores.proxies has naswot"
    with pytest.raises(ParameterError, match=said):
        parse_parameters(parameters)


def test_noise_needs_no_split_of_its_own():
    parameters = changed("datasets", ["noise", "cifar10"])
    parameters["scores"]["split"] = "train"
    parameters["ablations"]["dataset"] = "noise"
    parameters["prunings"]["datasets"] = ["noise"]
    parse_parameters(parameters)


def test_phases_that_a_space_goes_without_need_nothing():
    parameters = changed("spaces", ["natsbench_size"])
    parameters["datasets"] = ["cifar10"]
    parameters["ablations"] |= {"dataset": "noise", "cells": 40_000}
    parameters["prunings"]["datasets"] = ["cifar100"]
    parameters["training_curves"] |= {"seeds": [], "cells": 40_000, "dataset": "cifar100"}
    parse_parameters(parameters)
    with pytest.raises(ParameterError, match=r"params: ablations\.cells: 40000 .* nasbench201"):
        parse_parameters(parameters | {"spaces": ["nasbench201"]})
    parameters["ablations"]["cells"] = 4
    with pytest.raises(ParameterError, match=r"params: ablations\.dataset: 'noise'"):
        parse_parameters(parameters | {"spaces": ["nasbench201"]})
    parameters["ablations"]["dataset"] = "cifar10"
    with pytest.raises(ParameterError, match=r"params: prunings\.datasets: 'cifar100'"):
        parse_parameters(parameters | {"spaces": ["nasbench201"]})
    parameters["prunings"]["datasets"] = ["cifar10"]
    parse_parameters(parameters | {"spaces": ["nasbench201"]})


def test_the_data_sets_that_serve_a_space_are_named():
    parameters = changed("spaces", ["nasbench101"])
    parameters["datasets"] = ["cifar100"]
    message = "nasbench101 is trained on cifar10: datasets has cifar100, add one of cifar10, noise"
    with pytest.raises(ParameterError, match=message):
        parse_parameters(parameters)


def test_without_seeds_no_data_set_is_pruned_on():
    parameters = changed("prunings.seeds", [])
    parameters["prunings"]["datasets"] = ["ImageNet16-120"]
    parse_parameters(parameters)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("gone")])
def test_what_is_no_file_is_not_taken_for_absent(tmp_path, make):
    path = tmp_path / "params.yaml"
    make(path)
    with pytest.raises(UntrainedError, match=r"yaml (is no plain file|does not exist): name"):
        read_parameters(path)


def test_without_a_file_there_are_no_parameters(tmp_path):
    assert read_parameters(tmp_path / "params.yaml") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spaces: [nasbench201\nseeds: [0]\n", "is not YAML: .* line 2"),
        ("a: b: c\n", "is not YAML: mapping values are not allowed here"),
        ("\tspaces: []\n", "is not YAML: "),
        ("- spaces\n", "holds no sections: copy the project's params.yaml"),
        ("", "holds no sections"),
        ("a: !!python/object/apply:os.getcwd []\n", "is not YAML: leave out the tag tag:yaml.org"),
        ('runs: !!timestamp "x"\n', "is not YAML: leave out the tag .*timestamp .* line 1"),
        ('share: !!bool "maybe"\n', "is not YAML: leave out the tag .*bool"),
        ("a: !!set {b}\n", "is not YAML: leave out the tag .*set"),
        ("a: ! b\n", "is not YAML: leave out the tag !"),
        ("? [a, b]\n: c\n", "is not YAML: a key that is no text: write its name .* line 1"),
        ("? {a: b}\n: c\n", "is not YAML: a key that is no text"),
        ("a: {1: b}\n", "is not YAML: a key that is no text"),
        ("a: {null: b}\n", "is not YAML: a key that is no text"),
        ("a: 1:30\n", "is not YAML: '1:30' is neither a text nor a decimal number"),
        ("a: [-0777]\n", "is not YAML: '-0777' is neither"),
        ("a: 0x1f\n", "is not YAML: '0x1f' is neither"),
        ("a: 1_000\n", "is not YAML: '1_000' is neither"),
        ("a: 1:30.5\n", "is not YAML: '1:30.5' is neither"),
        ("a: {<<: {b: 1}}\n", "is not YAML: '<<' is neither"),
        ("a: =\n", "is not YAML: '=' is neither"),
        ("a: 2024-01-01\n", "is not YAML: '2024-01-01' is neither a text .* texts in quotes"),
        ("seeds: [0]\nseeds: [1]\n", "is not YAML: the key 'seeds' is there twice .* line 2"),
        ("scores:\n  split: a\n  split: b\n", "is not YAML: the key 'split' is there twice"),
        (
            "a: &a [1]\nb: [*a, *a]\n",
            "is not YAML: write a value in the place of an alias .* line 2",
        ),
        ("a: " + "[" * 5000 + "]" * 5000, "is not YAML: lists and sections are nested too deeply"),
        ("seeds: [" + "1" * 5000 + "]\n", "is not YAML: Exceeds the limit"),
    ],
)
def test_a_file_that_holds_no_parameters_is_one_line(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=f"^{re.escape(str(path))} {message}") as caught:
        read_parameters(path)
    assert "\n" not in str(caught.value)


def test_plain_texts_and_numbers_are_read(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        "a: [0, -7, 0.5, -0.25, 1.5e+3, .inf, true, null, \"0777\", '1:30', a:b, x_0]\n"
    )
    found = [0, -7, 0.5, -0.25, 1500.0, math.inf, True, None, "0777", "1:30", "a:b", "x_0"]
    assert read_parameters(path) == {"a": found}


def test_bytes_that_are_no_text_are_one_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"spaces: \xff\xfe\n")
    with pytest.raises(ParameterError, match="is not YAML: "):
        read_parameters(path)
