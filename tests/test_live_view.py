"""`snakemake --logger phases`: what a person sees while the workflow runs."""

import io
import logging
from types import SimpleNamespace

import pytest
from rich.console import Console
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_phases import PHASES, LogHandler

QUIET = {Quietness.RULES, Quietness.HOST}


@pytest.fixture
def handler(monkeypatch, request):
    """A handler that prints to a text, with rules of two phases; with a parameter, of a dry run."""
    for rule, phase in {"score": "scores", "merge": "scores", "prune": "prunings"}.items():
        monkeypatch.setitem(PHASES, rule, phase)
    common = {
        "quiet": QUIET,
        "dryrun": getattr(request, "param", False),
        "stdout": False,
        "debug_dag": False,
    }
    made = LogHandler(SimpleNamespace(**common, verbose=False, printshellcmds=False), None)
    made.setFormatter(logging.Formatter())
    made.view.live.console = Console(file=io.StringIO(), width=120)
    yield made
    made.close()


def say(handler, text="", event=None, level=logging.INFO, **extra):
    record = logging.LogRecord("snakemake", level, "", 0, text, (), None)
    handler.emit(vars(record).update(extra, event=event) or record)


def lines(handler):
    console = Console(file=io.StringIO(), width=120)
    console.print(handler.view.get_renderable())
    return console.file.getvalue().splitlines()


def test_each_phase_has_a_line_with_rate_and_time_left(handler, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(handler.view, "get_time", lambda: now[0])
    stats = {"score": 4, "merge": 1, "prune": 1, "all": 1, "total": 7}
    say(handler, "Job stats", LogEvent.RUN_INFO, stats=stats)
    log = tmp_path / "0.log"
    log.write_text("0: 1/10 cells, 2.0 cells/s, 4 s left\n0: 2/10 cells, 2.0 cells/s, 4 s left\n")
    for job in range(3):
        say(handler, "Rule", LogEvent.JOB_INFO, jobid=job, rule_name="score", log=[str(log)])
    now[0] = 30.0
    say(handler, "Finished", LogEvent.JOB_FINISHED, job_id=0)
    scores, prunings, total = lines(handler)
    assert scores.split()[0] == "scores"
    assert "1/5 2.0/min, 0:02:00 left 2/10 cells, 2.0 cells/s, 4 s left" in scores
    assert prunings.split() == ["prunings", "━" * 20, "0/1"], "it has not begun"
    assert total.startswith("all jobs")
    assert "1/7 2.0/min, 0:03:00 left" in total
    say(handler, "Error in rule", LogEvent.JOB_ERROR, jobid=1)
    assert "1/5" in lines(handler)[0], "a failed job is not done"
    say(handler, "Rule", LogEvent.JOB_INFO, jobid=9, rule_name="prune", log=None)
    now[0] = 90.0
    say(handler, "Finished", LogEvent.JOB_FINISHED, job_id=9)
    assert "1/1 took 0:01:00" in lines(handler)[1]


def test_messages_are_printed_above_the_bars(handler):
    text = handler.view.console.file
    say(handler, "Building DAG of jobs...")
    say(handler, "Job stats", LogEvent.RUN_INFO, stats={"score": 1, "total": 1})
    handler.view.stop()
    say(handler, "Rule", LogEvent.JOB_INFO, jobid=1, rule_name="score", log=["no.log"])
    say(handler, "Execute 1 jobs...")
    say(handler, "[an error]", level=logging.ERROR)
    say(handler, "Finished", LogEvent.JOB_FINISHED, job_id=1)
    say(handler, "Complete log(s): 0.log")
    shown = [one for one in text.getvalue().splitlines() if "━" not in one]
    assert shown == ["Building DAG of jobs...", "[an error]", "Complete log(s): 0.log"]


@pytest.mark.parametrize("handler", [True], indirect=True)
def test_a_dry_run_has_no_bars(handler):
    say(handler, "Job stats", LogEvent.RUN_INFO, stats={"score": 1, "total": 1})
    say(handler, "hidden by the profile", LogEvent.JOB_INFO, jobid=1, rule_name="score", log=[])
    assert handler.view.console.file.getvalue() == "Job stats\n"
