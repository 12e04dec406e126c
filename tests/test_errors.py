import pytest

from untrained import errors


@pytest.mark.parametrize(
    ("name", "suggested"),
    [("naswt", "naswot"), ("NASWOT", "naswot"), ("optiml", "Optimal")],
)
def test_an_unknown_name_suggests_the_nearest_in_its_own_spelling(name, suggested):
    error = errors.unknown_name("thing", name, ["random", "naswot", "Optimal"])
    assert str(error) == (
        f"unknown thing {name!r}: did you mean {suggested!r}? known: Optimal, naswot, random"
    )


def test_a_name_like_no_other_gets_no_suggestion():
    error = errors.unknown_name("thing", "xyz", iter(["naswot"]))
    assert str(error) == "unknown thing 'xyz': known: naswot"


def test_a_long_name_is_shortened():
    error = errors.unknown_name("thing", "x\n" * 5000, ["naswot"])
    assert str(error).startswith("unknown thing 'x\\nx")
    assert str(error).endswith("...': known: naswot")
    assert len(str(error)) < 200


def test_every_error_is_the_users_to_mend():
    own = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    ]
    assert len(own) > 5
    assert all(issubclass(kind, errors.UntrainedError) for kind in own)
    assert isinstance(errors.unknown_name("thing", "a", []), errors.UnknownNameError)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("rea ", "'rea '"),
        ("two\nlines", r"'two\nlines'"),
        ("x" * 60, f"'{'x' * 60}'"),
        ("x" * 61, f"'{'x' * 57}...'"),
        (1.5, "1.5"),
        ([0] * 100, f"[{'0, ' * 18}0,..."),
    ],
)
def test_what_people_wrote_is_quoted_on_one_line(value, shown):
    assert errors.quoted(value) == shown
