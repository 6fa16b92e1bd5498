"""`and-dissect correct`: run what depends on captions and labels that were corrected on the dashboard."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table

from and_core.cli.console import AsRecorded, OwnConfig, bars, out, reported, trusted

SHOWN = 20


def correct(
    name: Annotated[str, typer.Argument(help="Name of a dissection in the cache, or its folder.")],
    config: OwnConfig = None,
    as_recorded: AsRecorded = False,
    reuse: Annotated[
        bool, typer.Option(help="Take over the dissection's results although they were made elsewhere.")
    ] = False,
) -> None:
    """Run what depends on captions and labels that were corrected on the dashboard, and print what changed."""
    with reported():
        from rich.markup import escape

        from and_core import open_dissection
        from and_core.pipeline.correcting import run_corrections

        d, began = open_dissection(name), time.time()
        own = trusted(d, config, as_recorded)
        with bars() as progress:
            done = run_corrections(d, own, progress, reuse)
        out.print(
            f"{d.name}: {len(done.computed)} stages computed, {len(done.changes)} headlines changed, "
            f"{time.time() - began:.0f} s"
        )
        if done.changes:
            grid = Table("neuron", "before", "after")
            for change in done.changes[:SHOWN]:
                grid.add_row(change.neuron, escape(change.before), escape(change.after))
            out.print(grid)
        if done.figures:
            grid = Table("figure", "before", "after")
            for figure in done.figures:
                grid.add_row(escape(figure.what), figure.before, figure.after)
            out.print(grid)
