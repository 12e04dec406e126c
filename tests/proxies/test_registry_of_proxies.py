import pytest

from untrained.errors import ParameterError, UnknownNameError
from untrained.proxies import PROXIES, UndefinedScore, get_proxy
from untrained.proxies.naswot import Naswot
from untrained.scoring.request import parse_reading


@pytest.mark.parametrize(
    ("spelling", "variant", "expected"),
    [
        ("naswot", None, Naswot("corrected")),
        ("naswot-corrected", None, Naswot("corrected")),
        ("naswot-released", None, Naswot("released")),
        ("naswot", "released", Naswot("released")),
        ("naswot-released", "released", Naswot("released")),
    ],
)
def test_a_proxy_is_spelled_by_name_and_variant(spelling, variant, expected):
    assert get_proxy(spelling, variant) == expected


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("naswott", "^unknown proxy 'naswott': did you mean 'naswot'"),
        ("", "^unknown proxy ''"),
        ("lga-weights_trian", "variant of lga 'weights_trian': did you mean 'weights_train'"),
        ("naswot-relaesed", "^unknown variant of naswot 'relaesed': did you mean 'released'"),
    ],
)
def test_unknown_proxies_and_variants_are_named(spelling, message):
    with pytest.raises(UnknownNameError, match=message):
        get_proxy(spelling)


@pytest.mark.parametrize("name", PROXIES.names())
def test_every_proxy_declares_itself(name):
    proxy = get_proxy(name)
    assert proxy.name == name
    assert proxy.direction in ("higher", "lower")
    assert proxy.needs <= {"labels", "loss", "gradients", "training"}
    for variant in proxy.variants:
        assert get_proxy(f"{name}-{variant}").variant == variant
    with pytest.raises(AttributeError):
        proxy.variant = "other"  # settings are frozen


@pytest.mark.parametrize("parse", [get_proxy, parse_reading])
def test_two_variants_are_refused(parse):
    with pytest.raises(ParameterError, match=r"^variant corrected of naswot-released: keep one of"):
        parse("naswot-released", "corrected")


class Plain(Naswot):
    """A proxy that leaves its label to its name."""

    name = "plain"


class Named(Naswot):
    """A proxy that sets both of its other names."""

    name = "named"
    label = "A label"
    published = "another name"


class Nameless(Named):
    """A proxy with the names of the one that it derives from."""


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Plain, ("plain", "plain")),
        (Named, ("A label", "another name")),
        (Nameless, ("A label", "another name")),
    ],
)
def test_a_proxy_has_its_name_in_tables_unless_it_sets_another(kind, names):
    assert (kind.label, kind.published) == names


@pytest.mark.parametrize("status", ["weird", "ok", "", None])
def test_an_undefined_score_has_a_known_status(status):
    with pytest.raises(ValueError, match=f"^{status!r} is no status of an undefined score: take "):
        UndefinedScore(status, "why")
