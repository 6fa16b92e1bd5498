"""`and-dissect table` and `and-dissect figure`: what the paper shows, from a dissection, for a terminal or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from and_core.cli.console import out, reported
from and_core.display import csv_text, latex, markdown, visible
from and_core.errors import ANDError, one_of

Name = Annotated[str, typer.Argument(help="Name of a dissection in the cache, or its folder.")]
FORMATS = ("text", "csv", "markdown", "latex")
PICTURES = ("html", "svg", "png")


def table(
    what: Annotated[
        str,
        typer.Argument(
            help="last-layer (Tables 2 and 7), unlearning (4), clusters (8), importance, interpretability, acoustics, "
            "strategies, scores, planted, "
            "sanity, confidence, listening, quantities, tuning, steering."
        ),
    ],
    name: Name = "demo-ast",
    form: Annotated[str, typer.Option("--format", help="text, csv, markdown or latex.")] = "text",
) -> None:
    """Print a table of the paper for a dissection and all that share its clips and concepts, beside the paper's
    numbers."""
    with reported():
        import pandas as pd

        from and_core import open_dissection
        from and_core.figures.catalogue import TABLES

        if what not in TABLES:
            raise one_of("table", what, list(TABLES))
        if form not in FORMATS:
            raise one_of("format", form, FORMATS)
        made = TABLES[what](open_dissection(name))
        if form == "csv":
            print(visible(csv_text(pd.DataFrame(made.rows))), end="")
            return
        for part in made.parts:
            frame = pd.DataFrame(part.cells)
            if form == "latex":
                print(visible(frame.to_latex(index=False, escape=True, caption=latex(part.title) or None)))
            elif form == "markdown":
                cells = frame.rename(columns=markdown).map(markdown).to_markdown(index=False, disable_numparse=True)
                print(f"{'## ' + markdown(part.title) if part.title else ''}\n\n{cells}\n\n{markdown(part.note)}\n")
            else:
                print_part(part)


def print_table(what: str, d: Any) -> None:
    """Print one of the tables."""
    from and_core.figures.catalogue import TABLES

    for part in TABLES[what](d).parts:
        print_part(part)


def print_part(part: Any) -> None:
    """Print one part of a table."""
    if not part.cells:
        out.print(f"{part.title}: nothing to show. {part.note}".strip())
        return
    grid = Table(title=part.title, caption=part.note, title_justify="left", caption_justify="left")
    for column in part.cells[0]:
        grid.add_column(column, overflow="fold")
    for cells in part.cells:
        grid.add_row(*(str(v) for v in cells.values()))
    out.print(grid)


def figure(
    what: Annotated[
        str,
        typer.Argument(
            help="Figures of the paper: adjectives (3, 9), importance (4), words-by-depth (5), words-by-layer-kind, "
            "interpretability (6, 11-14), "
            "acoustics (8), unlearning (10), clusters; tuning, tuning-neurons, steering."
        ),
    ],
    name: Name = "demo-ast",
    folder: Annotated[Path, typer.Option("--out", help="Where the files go.")] = Path("figures"),
    form: Annotated[list[str] | None, typer.Option("--format", help="html, svg or png; may be repeated.")] = None,
) -> None:
    """Write a figure of the paper, from a dissection, as files."""
    with reported():
        from and_core import open_dissection
        from and_core.figures.gallery import FIGURES, draw

        if what not in FIGURES:
            raise one_of("figure", what, list(FIGURES))
        wanted = form or ["html"]
        for one in wanted:
            if one not in PICTURES:
                raise one_of("format", one, PICTURES)
        made = draw(open_dissection(name), what)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for one in wanted:
                _write(made, folder, one)
        except OSError as error:
            raise ANDError(f"out={str(folder)!r} can't be written: {error}") from None
        for stem in made:
            out.print(
                f"{folder / stem}.{{{','.join(wanted)}}}" if len(wanted) > 1 else f"{folder / stem}.{wanted[0]}",
                markup=False,
                soft_wrap=True,
            )


def _write(made: dict[str, Any], folder: Path, form: str) -> None:
    if form == "html":
        for stem, drawn in made.items():
            drawn.write_html(folder / f"{stem}.html", include_plotlyjs=True, full_html=True)
        return
    try:
        import kaleido
    except ImportError:
        raise ANDError(
            f"format={form!r} needs the extra figures: pip install 'audio-network-dissection[figures]'; html needs "
            "nothing"
        ) from None
    jobs = [
        {
            "fig": drawn,
            "path": str(folder / f"{stem}.{form}"),
            "opts": {"format": form, "scale": 2 if form == "png" else 1, "width": 1000},
        }
        for stem, drawn in made.items()
    ]
    try:
        kaleido.write_fig_from_object_sync(jobs)
    except Exception as error:  # noqa: BLE001 - the browser behind it fails in many ways, and none of them says what to do
        raise ANDError(
            f"format={form!r} is drawn by Chrome or Chromium, which could not be started (Debian: apt install "
            f"chromium): {error}"
        ) from None
