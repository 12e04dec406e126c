"""Long work shows how far it is: lines in a log file, a bar on a terminal."""

import os
import pty
import re
import subprocess
import sys

import pytest

from untrained.cli.progress import results_only, track


@pytest.mark.parametrize(("total", "lines"), [(1, 1), (3, 3), (10, 10), (25, 10), (1000, 10)])
def test_a_line_for_every_tenth(capsys, total, lines):
    assert list(track(iter(range(total)), total, "work", unit="things")) == list(range(total))
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == lines
    assert err.splitlines()[-1].startswith(f"work: {total}/{total} things, ")


def test_what_is_printed_on_the_way_to_results_goes_to_standard_error(capfd):
    sys.stdout.write("before\n")
    with results_only():
        sys.stdout.write("by Python\n")
        sys.stdout.flush()
        os.write(1, b"by other code\n")
    with pytest.raises(ValueError, match="mine"), results_only():
        raise ValueError("mine")
    sys.stdout.write("after\n")
    assert capfd.readouterr() == ("before\nafter\n", "by Python\nby other code\n")


def test_slow_work_says_how_long_one_takes(capsys, monkeypatch):
    now = iter(range(0, 1000, 40))
    monkeypatch.setattr("untrained.cli.progress.time.monotonic", lambda: next(now))
    list(track(range(2), 2, "pruning", unit="runs"))
    assert capsys.readouterr().err.splitlines() == [
        "pruning: 1/2 runs, 40.0 s each, 40 s left",
        "pruning: 2/2 runs, 40.0 s each, 0 s left",
    ]


def test_nothing_to_do_is_no_line(capsys):
    assert list(track([], 0, "work")) == []
    assert capsys.readouterr().err == ""


def test_lines_come_while_the_work_goes_on(capsys):
    seen = [len(capsys.readouterr().err.splitlines()) for _ in track(range(4), 4, "work")]
    assert seen == [0, 1, 1, 1]  # one when the item before was done


def test_a_bar_on_a_terminal():
    """Shown on standard error, with the rate; what is printed elsewhere is untouched."""
    code = (
        "from untrained.cli.progress import track\n"
        "print(sum(track(range(5), 5, 'adding', unit='numbers')))"
    )
    here, there = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=there,
        env=environment,
        check=True,
    )
    os.close(there)
    shown = b""
    try:
        while part := os.read(here, 4096):
            shown += part
    except OSError:  # Linux says so at the end of a terminal's output
        pass
    os.close(here)
    assert ran.stdout == b"10\n"
    assert b"adding" in shown
    assert b"5/5" in shown
    assert b"numbers/s" in shown


def test_a_bar_has_the_rate(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal then
    monkeypatch.setenv("COLUMNS", "100")
    assert list(track(iter("abc"), 3, "spelling", unit="letters")) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "spelling" in err
    assert "letters/s" in err


def test_nothing_is_coloured_where_that_is_not_wanted(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    list(track(range(3), 3, "adding"))
    assert coloured.search(capsys.readouterr().err)
    monkeypatch.setenv("NO_COLOR", "1")
    list(track(range(3), 3, "adding"))
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert not coloured.search(shown)
