"""The command line: commands parse options, call a function that notebooks can call, and print."""

import sys

from untrained.errors import UntrainedError


def debugging() -> bool:
    """Return whether errors are to be shown with their traceback."""
    return "--debug" in sys.argv


def main() -> None:
    """Run `untrained`; an `UntrainedError` is one line on standard error and exit code 2."""
    from untrained.cli.app import app

    debug = debugging()
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments, prog_name="untrained")
    except UntrainedError as error:
        if debug:
            raise
        sys.stderr.write(f"untrained: {error}\n")
        sys.exit(2)
