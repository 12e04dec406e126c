"""The package itself: cheap to import, whole when used."""

import subprocess
import sys

import pytest

import untrained.benchmarks


def test_import_is_cheap():
    code = "import sys, untrained.benchmarks; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "pandas", "pyarrow", "numpy"} & set(run.stdout.split())


def test_every_public_name_is_there():
    for name in untrained.benchmarks.__all__:
        assert getattr(untrained.benchmarks, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = untrained.benchmarks.nothing
