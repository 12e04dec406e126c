"""Spellings of readings, and the keys of requests in a ledger."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from untrained.errors import ParameterError, UnknownNameError
from untrained.images.sets import NOISE
from untrained.proxies import get_proxy
from untrained.proxies.naswot import Naswot
from untrained.scoring import request as requests
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import Reading, ScoreRequest, name_of, parse_reading, shows_test
from untrained.spaces import get_space
from untrained.training.recipe import ShortRecipe


class Elsewhere(Naswot):
    """A proxy that is known by its address alone."""

    name = "elsewhere"


@pytest.mark.parametrize(
    ("spelling", "name", "variant", "images", "epochs"),
    [
        ("naswot", "naswot", "corrected", None, 0),
        ("naswot-released", "naswot", "released", None, 0),
        ("lga:2", "lga", "weights_without_classifier_train", 2, 0),
        ("lga@1", "lga", "weights_without_classifier_train", None, 1),
        ("lga-weights_train@0.5", "lga", "weights_train", None, 0.5),
        ("lga-weights_eval:64@0.5", "lga", "weights_eval", 64, 0.5),
        ("ntk_mean@0.0000001", "ntk_mean", None, None, 1e-7),
        ("naswot:32@100", "naswot", "corrected", 32, 100),
        (f"{__name__}:Elsewhere", "elsewhere", "corrected", None, 0),
        (f"{__name__}:Elsewhere-released:64@1", "elsewhere", "released", 64, 1),
    ],
)
def test_a_spelling_is_read_and_written(spelling, name, variant, images, epochs):
    reading = parse_reading(spelling)
    assert str(reading) == spelling
    assert reading == parse_reading(spelling)
    assert hash(reading) == hash(parse_reading(spelling))
    assert (reading.name, reading.images, reading.epochs) == (name, images, epochs)
    assert reading.proxy.variant == (variant or reading.proxy.variants[0])
    assert reading.setting.epochs == epochs
    assert images is None or reading.setting.images == images
    assert name_of(spelling) == (name if "." not in spelling.partition("@")[0] else
                                 f"{__name__}:Elsewhere")  # fmt: skip
    assert ("training" in reading.needs) == bool(epochs)
    assert reading.direction == "higher" or name.startswith("ntk")


@pytest.mark.parametrize(
    ("spelling", "same"),
    [
        ("lga@0", "lga"),
        ("naswot-released@00", "naswot-released"),
        ("naswot-corrected", "naswot"),
        ("lga@01", "lga@1"),
        ("ntk_mean-tenas:32", "ntk_mean"),
        ("linear_regions@0", "linear_regions"),
    ],
)
def test_defaults_are_left_out(spelling, same):
    assert str(parse_reading(spelling)) == same
    assert parse_reading(spelling) == parse_reading(same)


def test_a_variant_may_be_named_apart():
    assert parse_reading("naswot@1", "released") == parse_reading("naswot-released@1")


@pytest.mark.parametrize(
    ("spelling", "error", "said"),
    [
        *(
            (f"lga@{epochs}", ParameterError, "is no number of epochs, 0 to 1000, as in lga@1 or")
            for epochs in ("", "-1", "nan", "inf", "one", "1e3", "1_0", " 1", "1@2", "1001")
        ),
        *(
            (f"lga:{images}@1", ParameterError, "is no number of images, 2 or more, as in lga:64")
            for images in ("", "0", "1", "-2", "2.0", "two", "9" * 10)
        ),
        ("lgaa@1", UnknownNameError, "^unknown proxy 'lgaa': did you mean 'lga'"),
        ("lga-weights_trian@1", UnknownNameError, "'weights_trian': did you mean 'weights_train'"),
        ("linear_regions@0.5", ParameterError, r"^linear_regions is read off crops of .*@0\.5$"),
        ("validation_loss:8@1", ParameterError, "is read off all held-out images: drop :8"),
    ],
)
def test_what_can_not_be_read_is_named(spelling, error, said):
    with pytest.raises(error, match=said):
        parse_reading(spelling)


def test_what_is_read_on_test_labels():
    assert shows_test("lga-released@1")
    assert not any(map(shows_test, ("lga-released", "lga@1", "naswot")))


def key_of(space, **changes):
    made = ScoreRequest(space, (parse_reading("lga"),), MinibatchSettings(), (0,), Execution())
    return replace(made, **changes)


def test_all_that_scores_depend_on_is_in_the_key(space):
    requests_of = [
        key_of(space),
        key_of(get_space("natsbench_size")),
        key_of(space, proxies=(parse_reading("lga:8"),)),
        key_of(space, proxies=(parse_reading("lga@1"),)),
        key_of(space, images=MinibatchSettings(batch_size=8)),
        key_of(space, images=MinibatchSettings("cifar100")),
        key_of(space, seeds=(1,)),
        key_of(space, minibatch_seed=0),
        key_of(space, execution=Execution(precision="bfloat16")),
        key_of(space, execution=Execution(engine="plain")),
        key_of(space, execution=Execution(torch.device("meta"))),
        key_of(space, training=ShortRecipe(batch_size=7)),
    ]
    assert len({json.dumps(one.key()) for one in requests_of}) == len(requests_of)
    assert key_of(space).key() == key_of(space).key()


def test_where_images_lie_is_not_in_the_key(space, tmp_path):
    assert key_of(space, images=MinibatchSettings(root=tmp_path)).key() == key_of(space).key()


def test_what_images_hold_is_in_the_key(space, tmp_path, monkeypatch):
    own = replace(NOISE, name="own", draw="", bundled=tmp_path / "bundled.npz")
    monkeypatch.setattr(sys.modules[__name__], "OWN", own, raising=False)
    request = key_of(space, images=MinibatchSettings(f"{__name__}:OWN", root=tmp_path))
    keys = []
    for path in (own.bundled, own.file(tmp_path)):
        for held in (b"some", b"others"):
            path.write_bytes(held)
            keys.append(json.dumps(request.key()))
    assert len(set(keys)) == 4


def test_code_that_draws_images_is_in_the_key(space, monkeypatch):
    asked = []
    monkeypatch.setattr(requests, "code_digest", lambda *modules: asked.extend(modules) or "")
    key_of(space, images=MinibatchSettings("noise")).key()
    assert {"untrained.images.sets", "untrained.images.minibatches"} <= set(asked)


def test_only_code_that_is_used_is_in_the_key(space, monkeypatch):
    asked = []
    monkeypatch.setattr(requests, "code_digest", lambda *modules: asked.append(modules) or "")
    key_of(space, proxies=(Reading(get_proxy("naswot")),)).key("more")
    assert asked == [
        (
            "untrained.scoring.engine",
            "untrained.images.sets",
            "untrained.proxies.naswot",
            "untrained.spaces.nasbench201",
            "more",
        )
    ]
