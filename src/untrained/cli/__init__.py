"""The command line: commands parse options, call a function that notebooks can call, and print."""

import errno
import re
import sys
from collections.abc import Collection, Sequence
from itertools import zip_longest

from untrained.errors import ParameterError, UntrainedError, quoted


def debugging() -> bool:
    """Return whether errors are to be shown with their traceback."""
    return "--debug" in sys.argv


def main() -> None:
    """Run `untrained`; what a user can correct is one line on standard error and exit code 2.

    No memory left is one line and exit code 1.
    """
    from untrained.cli.app import UsageError, app, integer_options

    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        _check_filled(arguments)
        _check_whole(arguments, integer_options(arguments))
        sys.exit(app(arguments, prog_name="untrained", standalone_mode=False) or 0)
    except UsageError as error:
        message = error.format_message()
        if not message.startswith("Usage: "):  # which is the help of a command without arguments
            message = f"untrained: {_printable(' '.join(message.split()))}"
        sys.stderr.write(f"{message}\n")
        sys.exit(2)
    except UntrainedError as error:
        if debugging():
            raise
        sys.stderr.write(f"untrained: {_printable(str(error))}\n")
        sys.exit(2)
    except OSError as error:  # of a path that was given; no path of the project is so long
        if debugging() or error.errno != errno.ENAMETOOLONG:
            raise
        where = quoted(str(error.filename))
        sys.stderr.write(f"untrained: {where} can't be read: {error.strerror}\n")
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        from untrained.errors import summary
        from untrained.scoring.execution import is_out_of_memory

        if debugging() or not is_out_of_memory(error):
            raise
        sys.stderr.write(f"untrained: no memory left ({_printable(summary(error))})\n")
        sys.exit(1)


def _printable(text: str) -> str:
    """Return a message on one line, in which names from files can't control a terminal."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _check_filled(arguments: Sequence[str]) -> None:
    """Refuse empty texts, such as those of shell variables that have no value."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        empty = re.fullmatch("(--[^=]+)=", argument)
        if empty or not argument:
            name = empty[1] if empty else before if before.startswith("--") else "an argument"
            raise ParameterError(f"{name} is empty: give a value, or leave it out")


def _check_whole(arguments: Sequence[str], integers: Collection[str]) -> None:
    """Refuse numbers that are no integers in the plain sense, such as 1.0 and 1_000."""
    for option, value in zip_longest(arguments, arguments[1:], fillvalue=""):
        if "=" in option:
            option, _, value = option.partition("=")
        if option in integers and not re.fullmatch("[-+]?[0-9]+", value, re.ASCII):
            raise ParameterError(f"{option} {quoted(value)}: write an integer")
