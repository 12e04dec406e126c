import copy
import itertools
import re
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from untrained.errors import ParameterError
from untrained.parameters import check_parameters, read_parameters

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "params.schema.yaml").read_text())
VALID = read_parameters(ROOT / "params.yaml")


PRESETS = sorted((ROOT / "params").glob("*.yaml"))


def leaves(parameters, path=()):
    for key, value in parameters.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def test_the_projects_parameters_are_valid():
    assert set(VALID) == set(SCHEMA["required"])
    check_parameters(VALID, SCHEMA)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_a_preset_is_valid_and_says_only_what_differs(path):
    preset, parameters = read_parameters(path), copy.deepcopy(VALID)
    update_config(parameters, preset)  # as `snakemake --configfile` does
    check_parameters(parameters, SCHEMA)
    default = dict(leaves(VALID))
    assert [key for key, value in leaves(preset) if default[key] == value] == []


def test_every_key_has_a_comment():
    for name in (ROOT / "params.yaml", *PRESETS):
        lines = name.read_text().splitlines()
        for above, line in itertools.pairwise(lines):
            if re.match(r"\s+\w+: .", line) or re.match(r"\w+: .", line):
                assert above.lstrip().startswith("#"), (name, line)


def changed(path, value):
    """The valid parameters with another value at a path; None removes what is there."""
    parameters = copy.deepcopy(VALID)
    *parents, last = path.split(".")
    section = parameters
    for parent in parents:
        section = section[parent]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return parameters


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scores.batchsize", 4, "params: scores: .*'batchsize' was unexpected"),
        ("extra", {}, "params: .*'extra' was unexpected"),
        ("scores", None, "params: 'scores' is a required property"),
        ("scores.shards", None, "params: scores: 'shards' is a required property"),
        ("scores", [], r"params: scores: \[\] is not of type 'object'"),
        ("seeds", [0, -1], r"params: seeds\[1\]: -1 is less than the minimum of 0"),
        ("seeds", [0.5], r"params: seeds\[0\]: 0.5 is not of type 'integer'"),
        ("seeds", [1, 1], r"params: seeds: \[1, 1\] has non-unique elements"),
        ("scores.batch_size", 1, "params: scores.batch_size: 1 is less than the minimum of 2"),
        ("scores.shards", 0, "params: scores.shards: 0 is less than the minimum of 1"),
        ("scores.sample_seed", -1, "params: scores.sample_seed: -1 is less"),
        ("scores.augmentation", "flip", "params: scores.augmentation: 'flip' is not one of"),
        ("scores.sampling", "even", "params: scores.sampling: 'even' is not one of"),
        ("scores.architectures", 0, "params: scores.architectures: 0 is "),
        ("scores.architectures", "some", "params: scores.architectures: 'some' is "),
        ("scores.architectures", 20_000, "params: .*20000 architectures asked of nasbench201"),
        ("datasets", [], r"params: datasets: \[\] should be non-empty"),
        ("spaces", ["nasbench202"],
         "params: spaces: unknown space 'nasbench202': did you mean 'nasbench201'"),
        ("datasets", ["cifra10"],
         "params: datasets: unknown data set 'cifra10': did you mean 'cifar10'"),
        ("scores.proxies", ["naswot", "naswott"],
         "params: scores.proxies: unknown proxy 'naswott': did you mean 'naswot'"),
        ("scores.proxies", ["naswot-old"],
         "params: scores.proxies: unknown variant of naswot 'old'"),
        ("scores.proxies", ["naswot", "lga@x"],
         "params: scores.proxies: 'lga@x': 'x' is no number of epochs"),
        ("ablations.proxy", "lga@1",
         "params: ablations.proxy: 'lga@1' is read after training, and ablations don't train"),
        ("scores.split", "trian",
         "params: scores.split: unknown split of cifar10 'trian': did you mean 'train'"),
        ("searches.algorithms", ["naswot-10", "optimum-10"],
         "params: searches.algorithms: unknown search algorithm 'optimum': did you mean 'optimal'"),
        ("searches.algorithms", ["naswot-x"],
         "params: searches.algorithms: 'naswot-x': samples are a positive integer"),
        ("searches.proxy", "naswot-corrected",
         "params: searches.proxy: 'naswot-corrected' is not scored: scores.proxies has naswot, "),
        ("searches.budget", "12 parsecs", "params: searches.budget: "),
        ("searches.runs", 0, "params: searches.runs: 0 is less than the minimum of 1"),
        ("searches.algorithms", ["rea+mutants=4"], "params: searches.algorithms: 'rea.mut"),
        ("searches.algorithms", ["rea+fitness=lga@1"],
         "params: searches.algorithms: 'rea.fitness=lga@1' reads scores of lga@1: scores.proxies "),
        ("searches.algorithms", ["area+pool=lga"],
         "params: searches.algorithms: 'area.pool=lga' reads scores of lga: scores.proxies has"),
        ("searches.seconds_per_score", "some",
         "params: searches.seconds_per_score: 'measured' was expected"),
        ("searches.shards", 501, "params: searches.shards: 501 shards of 500 runs: 1 to 500"),
        ("searches.seconds_per_score", -1, "params: searches.seconds_per_score: -1 is less"),
        ("report.resamples", 10, "params: report.resamples: 10 is less than the minimum of 100"),
        ("ablations.repeats", 1, "params: ablations.repeats: 1 is less than the minimum of 2"),
        ("ablations.batch_sizes", [1], r"params: ablations.batch_sizes\[0\]: 1 is less"),
        ("ablations.cells", 20_000, "params: ablations.cells: 20000 architectures asked of nas"),
        ("ablations.proxy", "nawsot",
         "params: ablations.proxy: unknown proxy 'nawsot': did you mean 'naswot'"),
        ("ablations.dataset", "noise",
         "params: ablations.dataset: 'noise' is not fetched: datasets has cifar10, cifar100"),
        ("datasets", ["cifar10"], "params: ablations.dataset: 'cifar100' is not fetched"),
        ("report.best", 0, "params: report.best: 0 is less than or equal to the minimum of 0"),
        ("report.best", 1.5, "params: report.best: 1.5 is greater than the maximum of 1"),
        ("prunings.variants", ["tenas", "relased"],
         "params: prunings.variants: unknown variant of the pruning search 'relased': did you mean "
         "'released'"),
        ("prunings.criteria", ["kapa"],
         "params: prunings.criteria: unknown criterion 'kapa': did you mean 'kappa'"),
        ("prunings.criteria", [], r"params: prunings.criteria: \[\] should be non-empty"),
        ("prunings.datasets", ["noise"],
         "params: prunings.datasets: 'noise' is not fetched: datasets has cifar10, cifar100"),
        ("prunings.seeds", [0, -1], r"params: prunings.seeds\[1\]: -1 is less than"),
        ("prunings.seeds", [2.0], "params: prunings.seeds: 2.0 has a decimal point: write 2"),
        ("seeds", [1.0], "params: seeds: 1.0 has a decimal point: write 1"),
        ("prunings.repeats", 0, "params: prunings.repeats: 0 is less than the minimum of 1"),
        ("prunings.batch_size", 1, "params: prunings.batch_size: 1 is less than the minimum of 2"),
        ("prunings.batchsize", 4, "params: prunings: .*'batchsize' was unexpected"),
        ("evolutions.epochs", [1, 2],
         "params: evolutions.epochs: epochs are 1, 2: start with 0, which the kernel is held"),
        ("evolutions.epochs", [0, -1], r"params: evolutions.epochs\[1\]: -1 is less than"),
        ("evolutions.kernel", "tenas",
         "params: evolutions.kernel: 'tenas' is no kernel to follow: take weights_train, "),
        ("evolutions.proxies", ["lga@1"], "params: evolutions.proxies: 'lga@1' has its own epochs"),
        ("evolutions.proxies", ["lag"],
         "params: evolutions.proxies: unknown proxy 'lag': did you mean 'lga'"),
        ("evolutions.proxies", ["lga", "lga-weights_without_classifier_train"],
         "params: evolutions.proxies: 'lga' is named twice"),
        ("evolutions.cells", 20_000, "params: evolutions.cells: 20000 architectures asked of nas"),
        ("evolutions.dataset", "noise",
         "params: evolutions.dataset: 'noise' is not fetched: datasets has cifar10, cifar100"),
        ("evolutions.seeds", [1.0], "params: evolutions.seeds: 1.0 has a decimal point: write 1"),
        ("evolutions.batch_size", 1, "params: evolutions.batch_size: 1 is less than the minimum"),
        ("scores.split", "test", "params: scores.split: cifar10 test is not for training: take "),
        ("fetch.mirror", 3, "params: fetch.mirror: 3 is not of type 'string', 'null'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_the_key(path, value, message):
    with pytest.raises(ParameterError, match=f"^{message}") as caught:
        check_parameters(changed(path, value), SCHEMA)
    assert "\n" not in str(caught.value)


def test_a_proxy_that_is_read_on_test_images_needs_some():
    parameters = changed("datasets", ["cifar100", "TinyImageNet16-120"])
    parameters["scores"].update(split="train", proxies=["naswot", "lga-released"])
    parameters["prunings"]["datasets"] = ["cifar100"]
    parameters["searches"]["algorithms"] = ["random"]
    parameters["ablations"]["dataset"] = "cifar100"
    parameters["evolutions"]["dataset"] = "cifar100"
    check_parameters(parameters, SCHEMA)
    parameters["scores"]["proxies"].append("lga-released@1")
    said = r"^params: scores.proxies: TinyImageNet16-120 has no test images: its splits are train$"
    with pytest.raises(ParameterError, match=said):
        check_parameters(parameters, SCHEMA)
    parameters["datasets"] = ["cifar100", "ImageNet16-120"]
    check_parameters(parameters, SCHEMA)


def test_a_proxy_under_two_names_is_one():
    said = r"^params: scores.proxies: 'lga@1' is lga@1, which is there twice: keep one$"
    with pytest.raises(ParameterError, match=said):
        check_parameters(changed("scores.proxies", ["lga@1", "lga@1.0"]), SCHEMA)
    said = r"validation_loss is read after training: write validation_loss@1$"
    with pytest.raises(ParameterError, match=said):
        check_parameters(changed("scores.proxies", ["validation_loss"]), SCHEMA)


def test_scores_may_cost_what_they_took_and_be_the_fitness():
    parameters = changed("searches.seconds_per_score", "measured")
    with pytest.raises(ParameterError, match=r"is measured, and scores.seconds is false: make it"):
        check_parameters(parameters, SCHEMA)
    parameters["scores"]["seconds"] = True
    parameters["searches"]["algorithms"] = ["rs+fitness=naswot", "rea+mutants=2+pool=naswot"]
    check_parameters(parameters, SCHEMA)
    parameters["searches"]["seconds_per_score"] = 0
    with pytest.raises(ParameterError, match=r"'rs.fitness=naswot' spends its budget on scores: "):
        check_parameters(parameters, SCHEMA)


def test_noise_needs_no_split_of_its_own():
    parameters = changed("datasets", ["noise", "cifar10"])
    parameters["scores"]["split"] = "train"
    parameters["ablations"]["dataset"] = "noise"
    parameters["prunings"]["datasets"] = ["noise"]
    check_parameters(parameters, SCHEMA)


def test_phases_that_a_space_goes_without_need_nothing():
    parameters = changed("spaces", ["natsbench_size"])
    parameters["datasets"] = ["cifar10"]
    parameters["ablations"] |= {"dataset": "noise", "cells": 40_000}
    parameters["prunings"]["datasets"] = ["cifar100"]
    parameters["evolutions"] |= {"seeds": [], "cells": 40_000, "dataset": "cifar100"}
    check_parameters(parameters, SCHEMA)
    with pytest.raises(ParameterError, match=r"params: ablations\.cells: 40000 .* nasbench201"):
        check_parameters(parameters | {"spaces": ["nasbench201"]}, SCHEMA)
    parameters["ablations"]["cells"] = 4
    with pytest.raises(ParameterError, match=r"params: ablations\.dataset: 'noise'"):
        check_parameters(parameters | {"spaces": ["nasbench201"]}, SCHEMA)
    parameters["ablations"]["dataset"] = "cifar10"
    with pytest.raises(ParameterError, match=r"params: prunings\.datasets: 'cifar100'"):
        check_parameters(parameters | {"spaces": ["nasbench201"]}, SCHEMA)
    parameters["prunings"]["datasets"] = ["cifar10"]
    check_parameters(parameters | {"spaces": ["nasbench201"]}, SCHEMA)


def test_the_data_sets_that_serve_a_space_are_named():
    parameters = changed("spaces", ["nasbench101"])
    parameters["datasets"] = ["cifar100"]
    message = "nasbench101 is trained on cifar10: datasets has cifar100, add one of cifar10, noise"
    with pytest.raises(ParameterError, match=message):
        check_parameters(parameters, SCHEMA)


def test_without_seeds_no_data_set_is_pruned_on():
    parameters = changed("prunings.seeds", [])
    parameters["prunings"]["datasets"] = ["ImageNet16-120"]
    check_parameters(parameters, SCHEMA)


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
        ("a: !!python/object/apply:os.getcwd []\n", "is not YAML: could not determine"),
    ],
)
def test_a_file_that_holds_no_parameters_is_one_line(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=f"^{re.escape(str(path))} {message}") as caught:
        read_parameters(path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_one_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"spaces: \xff\xfe\n")
    with pytest.raises(ParameterError, match="is not YAML: "):
        read_parameters(path)
