"""`and-dissect run` and `status`: from a configuration to a dissection."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from and_core.cli.console import bars, out, reported
from and_core.errors import ANDError


def run(
    config: Annotated[Path, typer.Argument(help="YAML file, see README and examples/.")],
    only: Annotated[list[str] | None, typer.Option(help="Run this stage and no other (may be repeated).")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Recompute this stage and all after it.")] = None,
    force: Annotated[bool, typer.Option(help="Recompute even what has not changed.")] = False,
    reuse: Annotated[
        list[str] | None,
        typer.Option(help="A dissection whose results are taken over although they were made elsewhere."),
    ] = None,
) -> None:
    """Dissect a network; a second run does only what changed, and goes on where an interrupted one stopped."""
    with reported():
        from and_core import pipeline
        from and_core.config import load_config

        checked = load_config(config)
        began = time.time()
        with bars() as progress:
            outcome = pipeline.run(
                checked, only=only or (), start=start, force=force, progress=progress, reuse=reuse or ()
            )
        counts = (
            f"{len(outcome.computed)} stages computed, {len(outcome.taken_over)} taken over, "
            f"{len(outcome.unchanged)} unchanged"
        )
        out.print(f"{checked.name}: {counts}, {time.time() - began:.0f} s")
        print_left_out(outcome.folder)
        if outcome.unanswered is not None:
            raise ANDError(f"the language model answered no question at all: {outcome.unanswered}")


def status(config: Annotated[str, typer.Argument(help="YAML file, or the name of a dissection.")]) -> None:
    """Print which stages are done, out of date, unfinished or not run."""
    with reported():
        from and_core import open_dissection, pipeline
        from and_core.config import load_config, make_config

        grid = Table("stage", "state")
        checked = (
            load_config(config)
            if config.endswith((".yaml", ".yml"))
            else make_config(open_dissection(config).manifest.config)
        )
        for stage, state in pipeline.status(checked):
            grid.add_row(stage, state)
        out.print(grid)


def print_left_out(folder: Path) -> None:
    """Print what a dissection left out, and what a language model left unanswered."""
    from and_core import open_dissection

    d = open_dissection(folder)
    if d.has("clips"):
        for skipped in d.skipped:
            out.print(f"left out: {skipped.name}: {skipped.reason}", markup=False, soft_wrap=True)
        scaled, names = d.notes("clips").get("scaled", 0), d.notes("clips").get("scaled_names", [])
        if scaled:
            others = " and others" if scaled > len(names) else ""
            out.print(
                f"scaled down as a whole, being beyond full scale: {', '.join(names)}{others} ({scaled})",
                markup=False,
                soft_wrap=True,
            )
    for stage, record in d.manifest.stages.items():
        if "failed_answers" in record.notes:
            count, reason = record.notes["failed_answers"], record.notes["failed_reason"]
            out.print(
                f"{stage}: the language model left {count} questions unanswered ({reason}); run again to ask them "
                "again",
                markup=False,
                soft_wrap=True,
            )
    if d.has("captions"):
        missing = d.uncaptioned
        if missing:
            out.print(
                f"without caption: {', '.join(missing[:20])}{' and others' if len(missing) > 20 else ''} "
                f"({len(missing)})",
                markup=False,
                soft_wrap=True,
            )
