"""What makes a benchmark table of a space's official files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from untrained.benchmarks.nds_networks import FILES
from untrained.benchmarks.official import Progress
from untrained.plugins import Registry


class Converter(Protocol):
    """Writes the table of one benchmark."""

    def __call__(
        self,
        source: Path,
        target: Path,
        progress: Progress | None = None,
        spellings: Sequence[str] | None = None,
        parameters: Sequence[int] | None = None,
    ) -> None:
        """Convert official files.

        Args:
            source: file or folder, under its official name.
            target: the parquet file to write; nothing is written unless all is well.
            progress: called with the bytes done and the bytes in all.
            spellings: what the files call the architectures of the space, by index; what is in
                the files must agree.
            parameters: of those, by index; likewise, in files that have no other list of what
                they trained.

        Raises:
            ParameterError: `source` is none of what is converted; the message says what is.
            MissingDataError: there is no such file.
            DamagedFileError: renamed, truncated, or not such a file at all.
        """
        ...


#: Benchmark to its converter.
CONVERTERS: Registry[Converter] = Registry(
    "benchmark",
    "untrained.benchmarks",
    {
        "nasbench101": "untrained.benchmarks.nasbench101:convert_nasbench101",
        "nasbench201": "untrained.benchmarks.official:convert_nasbench201",
        "natsbench_size": "untrained.benchmarks.natsbench_size:convert",
        **{name: f"untrained.benchmarks.nds:{name}" for name in FILES},
    },
)
