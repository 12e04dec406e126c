import pytest

from untrained.errors import ParameterError, UnknownNameError
from untrained.proxies import PROXIES, get_proxy, name_of, setting_of, spelling_of
from untrained.proxies.naswot import Naswot


@pytest.mark.parametrize(
    ("spelling", "variant", "expected"),
    [
        ("naswot", None, Naswot("corrected")),
        ("naswot-corrected", None, Naswot("corrected")),
        ("naswot-released", None, Naswot("released")),
        ("naswot", "released", Naswot("released")),
        ("naswot-released", "corrected", Naswot("corrected")),
    ],
)
def test_a_proxy_is_spelled_by_name_and_variant(spelling, variant, expected):
    assert get_proxy(spelling, variant) == expected


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("naswott", "^unknown proxy 'naswott': did you mean 'naswot'"),
        ("", "^unknown proxy ''"),
        ("lgaa@1", "^unknown proxy 'lgaa': did you mean 'lga'"),
        ("lga-weights_trian@1", "variant of lga 'weights_trian': did you mean 'weights_train'"),
        ("naswot-relaesed", "^unknown variant of naswot 'relaesed': did you mean 'released'"),
    ],
)
def test_unknown_proxies_and_variants_are_named(spelling, message):
    with pytest.raises(UnknownNameError, match=message):
        get_proxy(spelling)


def test_the_default_variant_is_left_unspoken():
    assert spelling_of(Naswot()) == "naswot"
    assert spelling_of(Naswot("released")) == "naswot-released"


@pytest.mark.parametrize("name", PROXIES.names())
def test_every_proxy_declares_itself(name):
    proxy = get_proxy(name)
    assert proxy.name == name
    assert proxy.direction in ("higher", "lower")
    assert proxy.needs <= {"labels", "gradients", "training"}
    for variant in proxy.variants:
        assert get_proxy(spelling_of(get_proxy(name, variant))).variant == variant
    with pytest.raises(AttributeError):
        proxy.variant = "other"  # settings are frozen


@pytest.mark.parametrize(
    "spelling",
    ["lga@1", "lga@0.5", "lga-weights_train@0.5", "naswot-released@3", "ntk_mean@0.0000001",
     "ntk_condition_number@1.25", "naswot@100"],
)  # fmt: skip
def test_a_proxy_is_read_after_some_epochs(spelling):
    head, _, epochs = spelling.partition("@")
    proxy, fresh = get_proxy(spelling), get_proxy(head)
    assert spelling_of(proxy) == spelling
    assert hash(proxy) == hash(get_proxy(spelling))
    assert proxy == get_proxy(f"{head}@0{epochs}")
    assert setting_of(proxy).epochs == float(epochs)
    assert proxy.needs == fresh.needs | {"training"}
    assert (proxy.name, proxy.direction) == (fresh.name, fresh.direction)
    assert (proxy.variant, proxy.variants) == (fresh.variant, fresh.variants)
    assert name_of(spelling) == proxy.name
    assert get_proxy(spelling, fresh.variants[1]) == get_proxy(
        f"{fresh.name}-{fresh.variants[1]}@{epochs}"
    )


@pytest.mark.parametrize("spelling", ["lga@0", "lga@0.0", "naswot-released@00"])
def test_no_epochs_are_no_training(spelling):
    head = spelling.partition("@")[0]
    assert get_proxy(spelling) == get_proxy(head)
    assert "training" not in get_proxy(spelling).needs
    assert spelling_of(get_proxy(spelling)) == head


@pytest.mark.parametrize(
    "epochs",
    [
        "",
        "-1",
        "nan",
        "inf",
        "one",
        "1e3",
        "1_0",
        " 1",
        "1@2",
        "1-weights_train",
        "1001",
        "9" * 400,
    ],
)
def test_epochs_that_are_none(epochs):
    said = r"is no number of epochs, 0 to 1000, as in lga@1 or lga@0\.5$"
    with pytest.raises(ParameterError, match=said) as caught:
        get_proxy(f"lga@{epochs}")
    assert repr(epochs) in str(caught.value)


@pytest.mark.parametrize("images", ["", "0", "1", "-2", "2.0", "two", "9" * 10])
def test_images_that_are_none(images):
    said = r"is no number of images, 2 or more, as in lga:64 or lga:64@1$"
    with pytest.raises(ParameterError, match=said):
        get_proxy(f"lga:{images}@1")


def test_images_and_epochs_are_part_of_the_spelling():
    for spelling in ("lga:2", "lga-weights_eval:64@0.5", "naswot:32@1"):
        proxy = get_proxy(spelling)
        assert spelling_of(proxy) == spelling
        assert setting_of(proxy).images == int(spelling.partition(":")[2].partition("@")[0])
    assert spelling_of(get_proxy("ntk_mean-tenas:32")) == "ntk_mean"


def test_crops_are_not_trained_on():
    with pytest.raises(
        ParameterError, match=r"^linear_regions is read off crops of 1x3x3, .*@0\.5$"
    ):
        get_proxy("linear_regions@0.5")
    assert get_proxy("linear_regions@0") == get_proxy("linear_regions")
