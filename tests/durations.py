"""Which tests are slow: `python -m tests.durations LOG` takes it from a run with --durations=0.

`durations.json` has the seconds of slow tests, and of files in which a fixture that several tests
share is slow. Tests of the file are marked `slow`, and two workers begin with the longest files.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

STORED = Path(__file__).with_suffix(".json")
#: Seconds from which a test, or a fixture that its whole file needs, is slow.
SLOW, SLOW_FIXTURE = 0.2, 3.0


def main(*logs):
    """Read the logs; a later one replaces what earlier ones say of its files."""
    found = {}
    for log in logs:
        tests, fixtures = Counter(), Counter()
        for seconds, phase, file, name in re.findall(
            r"^([\d.]+)s (call|setup) +(tests/\S+?)::(\w+)", Path(log).read_text(), re.MULTILINE
        ):
            if phase == "call":
                test = f"{file}::{name}"
                tests[test] = max(tests[test], float(seconds))
            else:
                fixtures[file] = max(fixtures[file], float(seconds))
        files = {name.partition("::")[0] for name in (*tests, *fixtures)}
        found = {
            name: value for name, value in found.items() if name.partition("::")[0] not in files
        }
        found |= {name: value for name, value in tests.items() if value >= SLOW}
        found |= {name: value for name, value in fixtures.items() if value >= SLOW_FIXTURE}
    STORED.write_text(json.dumps(dict(sorted(found.items())), indent=0) + "\n")


def mark(items, slow):
    """Mark slow tests with `slow`, and order the tests by their files, longest first."""
    seconds = json.loads(STORED.read_text())
    files = Counter()
    for name, value in seconds.items():
        files[name.partition("::")[0]] += value
    names = [(file, f"{file}::{test}") for file, test in map(_parts, items)]
    for item, (file, test) in zip(items, names, strict=True):
        if file in seconds or test in seconds:
            item.add_marker(slow)
    items.sort(key=lambda item: -files[_parts(item)[0]])


def _parts(item):
    file, _, test = item.nodeid.partition("::")
    return file, test.partition("[")[0]


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("name the log of a run with --durations=0")
    main(*sys.argv[1:])
