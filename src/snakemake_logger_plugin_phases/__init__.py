"""The live view of a run, `snakemake --logger phases`: a line per phase with bar, rate, time left.

Snakemake finds a logger plugin by the name of its package. Beside the bar of a phase stands the
newest line of the logs of its jobs, which report their own progress.
"""

import sys
from collections.abc import Iterable
from datetime import timedelta
from logging import WARNING, LogRecord
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text
from snakemake.logging import DefaultFilter
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

#: Rule to its phase, which the Snakefile fills; any other rule counts for the total alone.
PHASES: dict[str, str] = {}
_TOTAL = "all jobs"


def newest(logs: Iterable[str]) -> str:
    """Return the last line of the logs of a job, without what it is of; empty where none is yet."""
    texts = [Path(name).read_text(errors="replace") for name in logs if Path(name).is_file()]
    line = "".join(texts).rstrip().rpartition("\n")[2]
    return line.partition(": ")[2] or line


class Pace(ProgressColumn):
    """The rate since the first job of a phase began, and the time left by it."""

    def render(self, task: Task) -> Text:
        """Show the time that a finished phase took, and nothing before a job has finished."""
        done, taken = task.completed, task.finished_time or task.elapsed
        if not done or not taken or task.total is None:
            return Text()
        if task.finished:
            return Text(f"took {timedelta(seconds=round(taken))}")
        left = timedelta(seconds=round((task.total - done) * taken / done))
        return Text(f"{done / taken * 60:.1f}/min, {left} left")


class Phases(Progress):
    """Bars beside the newest lines of the logs of what runs."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Read the logs."""
        for task in self.tasks:
            lines = map(newest, [*task.fields["logs"].values()])
            self.update(task.id, told=next(filter(None, lines), ""))
        return super().get_renderables()


class LogHandler(LogHandlerBase):
    """What gets each event of Snakemake: bars move, and messages are printed above them."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True  # bars need the events of rules, which the profile hides
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Make the view; its bars come with the plan."""
        own = self.common_settings
        flags = own.debug_dag, own.verbose, own.dryrun, own.printshellcmds
        shown = set() if own.dryrun else {Quietness.PROGRESS}  # by the bars
        self.said = DefaultFilter({*(own.quiet or ())} | shown, *flags)
        console = Console(file=sys.stdout if own.stdout else sys.stderr)
        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        told = TextColumn("{task.fields[told]}", style="dim", markup=False, table_column=rest)
        columns = "{task.description}", BarColumn(20), "{task.completed}/{task.total}", Pace(), told
        self.view = Phases(*columns, console=console, refresh_per_second=2, expand=True)
        self.bars: dict[str, Task] = {}
        self.phases: dict[int, str] = {}
        self.failed = False

    def emit(self, record: LogRecord) -> None:
        """Move the bars, and print what is for people."""
        event, own = getattr(record, "event", None), vars(record)
        if event == LogEvent.RUN_INFO and not self.common_settings.dryrun:
            self._plan(own["stats"])
            return
        if event == LogEvent.JOB_INFO and self.bars:
            self.phases[own["jobid"]] = PHASES.get(own["rule_name"], _TOTAL)
            for bar in self._bars(own["jobid"]):
                self.view.start_task(bar.id)
            bar.fields["logs"][own["jobid"]] = own["log"] or ()
        elif event in (LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR) and self.bars:
            job = own["job_id" if event == LogEvent.JOB_FINISHED else "jobid"]
            for bar in self._bars(job):
                bar.fields["logs"].pop(job, None)
                self.view.advance(bar.id, event == LogEvent.JOB_FINISHED)
            self.failed |= event == LogEvent.JOB_ERROR
        goes_well = self.bars and not self.failed and not self.bars[_TOTAL].finished
        if goes_well and record.levelno < WARNING:  # a note on each choice of jobs, on each file
            return
        if self.said.filter(record) and (text := self.format(record)) not in ("", "None"):
            self.view.console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Leave the bars as they are."""
        self.view.stop()
        super().close()

    def _plan(self, jobs: dict[str, int]) -> None:
        """Make a bar for each phase, and the last for all jobs."""
        counts = dict.fromkeys((PHASES[rule] for rule in jobs if rule in PHASES), 0)
        for rule in jobs.keys() & PHASES.keys():
            counts[PHASES[rule]] += jobs[rule]
        for phase, count in (counts | {_TOTAL: jobs["total"]}).items():
            words = phase.replace("_", " ")
            self.view.add_task(words, start=False, total=count, logs={}, told="")
            self.bars[phase] = self.view.tasks[-1]
        self.view.start()

    def _bars(self, job: int) -> Iterable[Task]:
        """Return the bars that count a job, that of its phase last."""
        phase = self.phases.get(job, _TOTAL)
        return [self.bars[name] for name in dict.fromkeys((_TOTAL, phase))]
