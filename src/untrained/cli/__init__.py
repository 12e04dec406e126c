"""The command line: thin commands, and the only Python that writes results."""

import sys

from untrained.errors import UntrainedError


def main() -> None:
    """Run `untrained`; a mistake of the user's is one line on standard error and exit code 2."""
    from untrained.cli.app import app

    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments, prog_name="untrained")
    except UntrainedError as error:
        if debug:
            raise
        sys.stderr.write(f"untrained: {error}\n")
        sys.exit(2)
