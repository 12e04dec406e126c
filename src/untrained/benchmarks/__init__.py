"""Benchmark tables of trained architectures: queries, and the conversion of official files."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.benchmarks.fetch import fetch_benchmark

_MODULES = {"Benchmark": "benchmark", "fetch_benchmark": "fetch"}

__all__ = ["Benchmark", "fetch_benchmark"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as many types as names
    # NumPy and more are imported only when a name is used, so that the command line starts fast.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
