"""Scores, traces and tables are those of the golden values.

On the processor that made the golden values they are equal bit for bit. On another one they are
close: convolutions and products add in another order there, which docs/performance.md measures
(1e-7 of a score of NASWOT, 3e-5 of an eigenvalue in float32). Proxies that divide by a small
eigenvalue, count the signs of numbers near zero or follow a training differ by more. Searches and
tables read frozen values, so their keys are equal everywhere and their numbers to 1e-9.

Where a value changes on purpose, `python -m tests.golden.make` makes them again. Without a change
it compares all of them on the processor that made them, where `test_scores` compares those of one
seed for a quarter of the architectures: `git status` shows no file then.
"""

import json
import math
import re

import pandas as pd
import pytest

from . import make

#: Relative differences allowed on other processors, by the first pattern that matches a proxy.
TOLERANCES = (
    (r"^(flops|parameters)(-live)?$", 0.0),
    (r"@", 0.05),
    (r"^ntk_(condition_number|min_eigenvalue)", 0.02),
    (r"^(jacobian_covariance|az_)", 0.01),
    (r"^zico", 0.05),  # it divides by deviations that may be rounding errors
    (r"", 1e-4),
)
#: Absolute differences allowed, as the signs of a few units may flip, or terms cancel.
FLIPS = {"linear_regions": 2, "validation_accuracy": 1.0, "plain": 1e-4, "grasp": 0.05}
FED_WITH_FROZEN = 1e-9


@pytest.fixture(scope="module")
def frozen():
    return make.read()


@pytest.fixture(scope="module")
def exact():
    return json.loads((make.VALUES / "fingerprint.json").read_text()) == make.fingerprint()


def close(new, old, relative, absolute=0.0):
    if pd.isna(new) or pd.isna(old):
        return pd.isna(new) and pd.isna(old)
    return math.isclose(new, old, rel_tol=relative, abs_tol=absolute)


def differences(old, new, keys, tolerance):
    """Return a line for each value that has changed.

    `tolerance` takes a key and a column and returns the relative and absolute difference allowed.
    """
    before, after = (
        table.set_index(pd.MultiIndex.from_frame(table[keys])).drop(columns=keys)
        for table in (old, new)
    )
    assert before.index.is_unique
    assert after.index.is_unique
    lines = [
        f"{_name(keys, key)}: no golden value, run `python -m tests.golden.make`"
        for key in after.index.difference(before.index)
    ]
    lines += [
        f"{_name(keys, key)}: was there, is gone" for key in before.index.difference(after.index)
    ]
    for key in before.index.intersection(after.index):
        named = dict(zip(keys, key if len(keys) > 1 else (key,), strict=True))
        for column in before:
            was, now = before.at[key, column], after.at[key, column]
            if isinstance(was, float):
                same = close(now, was, *tolerance(named, column))
            else:
                same = was == now
            if not same:
                lines.append(f"{_name(keys, key)}: {column} was {_plain(was)}, is {_plain(now)}")
    return lines


def _name(keys, key):
    key = key if len(keys) > 1 else (key,)
    return ", ".join(f"{name} {value}" for name, value in zip(keys, key, strict=True))


def _plain(value):
    """Write a value as Python does, without NumPy's type."""
    return repr(value.item() if hasattr(value, "item") else value)


def check(lines):
    assert not lines, "\n".join([f"{len(lines)} values differ", *lines[:40]])


def of_score(exact):
    def tolerance(key, column):
        proxy = str(key.get("proxy", key.get("quantity", "")))
        if exact:
            return 0.0, 0.0
        if key.get("epochs"):
            return 0.05, 0.0
        found = next(value for pattern, value in TOLERANCES if re.search(pattern, proxy))
        name = re.split(r"[-:@]", proxy)[0]
        return found, FLIPS.get(name, 1e-12)

    return tolerance


def test_scores(frozen, exact):
    """A proxy without golden values fails as well as one with others.

    Ten architectures of each space and the two networks are scored with the first seed.
    """
    with make.empty_folder():
        new = make.make_scores(scored=10, seeds=make.SEEDS[:1])
    keys = ["space", "arch", "proxy", "seed"]
    old = frozen["scores"]
    old = old[old["seed"] == make.SEEDS[0]]
    for space in make.SPACES:
        scored = old["arch"].isin(make.architectures(space)[:10]) | old["proxy"].str.contains("@")
        old = old[scored | (old["space"] != space)]
    check(differences(old, new, keys, of_score(exact)))


def fed(exact):
    return lambda key, column: (0.0, 0.0) if exact else (FED_WITH_FROZEN, 1e-12)


def test_every_search_has_golden_values(frozen):
    assert set(make.algorithms()) == set(frozen["traces"]["algorithm"])


def test_traces(frozen, exact):
    new = make.make_one("traces", frozen)
    check(
        differences(*map(_numbered, (frozen["traces"], new)), ["algorithm", "number"], fed(exact))
    )


def _numbered(table):
    return table.assign(number=table.groupby("algorithm").cumcount())


def test_pruning(frozen, exact):
    """The pruned operations are the same on every processor."""
    new = make.make_one("pruning", frozen).reset_index(names="number")
    old = frozen["pruning"].reset_index(names="number")

    def tolerance(key, column):
        return (0.0, 0.0) if exact else (0.02, 2.0 if "regions" in column else 1e-12)

    check(differences(old, new, ["number"], tolerance))


def test_evolution(frozen, exact):
    new = make.make_one("evolution", frozen)
    keys = ["dataset", "arch", "seed", "epochs", "quantity"]
    check(differences(frozen["evolution"], new, keys, of_score(exact)))


def test_ablations(frozen, exact):
    old, new = frozen["ablations"], make.make_one("ablations", frozen)
    numbered = [table.reset_index(names="number") for table in (old, new)]
    check(differences(*numbered, ["number"], of_score(exact)))


def test_tables(frozen, exact):
    """Numbers and keys; the words of tables and page may change."""
    new = make.make_one("tables", frozen)
    old = frozen["tables"].reset_index(drop=True)
    if exact:
        check(differences(old, new, ["table", "row", "column"], fed(exact)))
        return
    keys = ["table", "row", "column"]
    assert new[keys].equals(old[keys])
    lines = []
    for was, now in zip(old.itertuples(), new.itertuples(), strict=True):
        pairs = list(zip(was.value.split(" "), now.value.split(" "), strict=True))
        if not all(_same(*pair) for pair in pairs):
            lines.append(f"{was.table}, row {was.row}, {was.column}: was {was.value}, {now.value}")
    check(lines)


def _same(was, now):
    try:
        return close(float(now), float(was), FED_WITH_FROZEN, 1e-9)
    except ValueError:
        return was == now
