"""Make the tables, figures and the page of a report."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from untrained import report
from untrained.files import atomic, write_parquet
from untrained.report.inputs import Inputs
from untrained.report.section import Figure, Section, Table, general_words
from untrained.scoring.ensembles import parse_proxy
from untrained.scoring.request import Reading

if TYPE_CHECKING:
    import pandas as pd

#: Number of architectures whose scores Git has.
CELLS = 64

FORMATS = ("parquet", "csv", "md", "tex")


def files_of(table: Table) -> list[str]:
    """Return the names of the files of a table."""
    formats = FORMATS if table.layout else FORMATS[:2]
    return [f"{table.name}.{suffix}" for suffix in formats]


def make_tables(
    sections: Sequence[Section], inputs: Inputs, options: Mapping[str, Any]
) -> "dict[str, pd.DataFrame]":
    """Make the tables of some sections and write them in every format.

    Args:
        sections: those above first, as in `untrained.report.SECTIONS`.
        inputs: what is read, and the folder that is written to.
        options: those that the sections take.

    Returns:
        Name to tidy table.

    Raises:
        UntrainedError: something is missing, damaged or out of range.
    """
    made = {}
    for section in sections:
        for table in section.tables:
            frame = table.make(inputs, _taken(section, options))
            if "searches" in section.reads and inputs.constraint:
                frame["where"] = inputs.constraint
            made[table.name] = frame
            _write_table(table, made[table.name], inputs)
    return made


def _write_table(table: Table, frame: "pd.DataFrame", inputs: Inputs) -> None:
    from untrained.report.tables import to_csv, to_latex, to_markdown

    stem = inputs.tables / table.name
    write_parquet(frame, stem.with_suffix(".parquet"))
    views = {".csv": to_csv(frame)}
    if table.layout is not None:
        layout, notes = table.layout(frame, inputs.name), _notes(table, frame)
        caption = ". ".join([_filled(table.title, inputs.words()), *notes])
        views |= {
            ".md": to_markdown(layout) + "".join(f"\n- {note}\n" for note in notes),
            ".tex": to_latex(layout, caption=caption, label=f"tab:{table.name}"),
        }
    for suffix, text in views.items():
        with atomic(stem.with_suffix(suffix)) as part:
            part.write_text(text)


def _notes(table: Table, frame: "pd.DataFrame") -> list[str]:
    """Return the lines below a table in every format."""
    from untrained.report.tables import constrained

    return [*constrained(frame), *table.notes(frame)]


def draw_figures(
    sections: Sequence[Section], inputs: Inputs, options: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Draw the figures of some sections as SVG and PNG.

    Args:
        sections: whose tables were made.
        inputs: what is read; where it names several spaces, of joint figures only.
        options: those that the sections take.
        folder: that is written to.

    Returns:
        The files written.

    Raises:
        UntrainedError: something is missing, damaged or out of range.
    """
    from untrained.report.plotting import save

    written = []
    for section in sections:
        for figure in section.figures:
            if inputs.beside and not figure.joint:
                continue
            drawn = figure.draw(inputs, _taken(section, options))
            for suffix in ("svg", "png"):
                written.append(folder / f"{figure.name}.{suffix}")
                save(drawn, written[-1])
    return written


def _taken(section: Section, options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in section.options if name in options}


def write_page(sections: Sequence[Section], inputs: Inputs, figures: Path, out: Path) -> None:
    """Write the report on a space as one Markdown page: a summary, figures and tables.

    Args:
        sections: whose tables and figures were made.
        inputs: the folder of the tables.
        figures: the folder of the figures.
        out: Markdown file to write.
    """
    parts = [f"# {inputs.space.label}: training-free scores against trained accuracies"]
    said = [sentence for section in sections for sentence in section.sentences(inputs)]
    if said:
        parts += ["## In short\n", *(f"- {sentence}" for sentence in said)]
    parts.append("## Figures")
    for section in sections:
        for figure in section.figures:
            address = os.path.relpath(figures / f"{figure.name}.png", out.parent)
            parts.append(f"![{figure.name}]({quote(address)})\n\n{_text(figure, inputs)}")
            if "searches" in section.reads:
                parts += [f"{one}." for one in inputs.within(section.tables[0].name)]
    tables = os.path.relpath(inputs.tables, out.parent)
    parts.append(f"## Tables\n\nAll columns are in the CSV files of [{tables}]({quote(tables)}).")
    for table in (one for section in sections for one in section.tables if one.on_page):
        parts += _table_on_page(table, inputs)
    with atomic(out) as part:
        part.write_text("\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n")


def _table_on_page(table: Table, inputs: Inputs) -> list[str]:
    from untrained.report.tables import to_markdown

    frame = inputs.table(table.name)
    if frame.empty or table.layout is None:
        return []
    lines = [*_notes(table, frame), *table.below(frame)]
    head = f"### {_filled(table.title, inputs.words())}"
    layout = to_markdown((table.brief or table.layout)(frame, inputs.name))
    return [head, _text(table, inputs), layout, *(f"- {line}" for line in lines)]


def _text(one: Table | Figure, inputs: Inputs) -> str:
    return " ".join(filter(None, [_filled(one.text, inputs.words()), one.more(inputs)]))


def _filled(text: str, words: Mapping[str, Any]) -> str:
    filled = text.format_map(words)
    return filled[:1].upper() + filled[1:]


def captions() -> dict[str, str]:
    """Return the caption of each table and figure by `table/NAME` or `figure/NAME`."""
    tables = {
        f"table/{one.name}": one.text or one.title
        for section in report.SECTIONS
        for one in section.tables
    }
    figures = {
        f"figure/{one.name}": one.text for section in report.SECTIONS for one in section.figures
    }
    words = general_words()
    return {name: _filled(text, words) for name, text in (tables | figures).items()}


def write_captions(folder: Path) -> None:
    """Write the captions as files, for Snakemake's report, where they differ."""
    for name, text in captions().items():
        path = folder / f"{name}.rst"
        if not path.is_file() or path.read_text() != text + "\n":
            with atomic(path) as part:
                part.write_text(text + "\n")


def write_metrics(sections: Iterable[Section], inputs: Inputs, out: Path) -> None:
    """Write the numbers that runs are compared by as JSON."""
    found: dict[str, float] = {}
    for section in sections:
        found |= section.metrics(inputs)
    known = {name: round(value, 6) for name, value in found.items() if math.isfinite(value)}
    with atomic(out) as part:
        part.write_text(json.dumps(known, indent=1) + "\n")


def write_cells(inputs: Inputs, out: Path) -> None:
    """Write the scores of some architectures as JSON, by which runs are compared one by one.

    The architectures lie evenly among those with scores. Ensembles are left out: a score of theirs
    is a rank, which changes where rounding swaps two others.
    """
    import numpy as np

    table = inputs.scores
    known = np.unique(table["arch"])
    picked = known[np.unique(np.linspace(0, len(known) - 1, CELLS).round().astype(int))]
    found: dict[str, list[Any]] = {"architectures": picked.tolist()}
    for (proxy, dataset, seed), rows in table.groupby(["proxy", "dataset", "seed"], sort=False):
        if isinstance(parse_proxy(str(proxy)), Reading):
            scores = rows.set_index("arch")["score"].reindex(picked)
            digits = [float(f"{one:.7g}") if math.isfinite(one) else None for one in scores]
            found[f"{proxy}/{dataset}/seed{seed}"] = digits
    lines = [f"{json.dumps(name)}: {json.dumps(values)}" for name, values in found.items()]
    with atomic(out) as part:
        part.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def made(inputs: Inputs) -> list[Section]:
    """Return the sections whose tables were made."""
    return [
        one
        for one in report.SECTIONS
        if one.tables and all(inputs.has(table.name) for table in one.tables)
    ]
