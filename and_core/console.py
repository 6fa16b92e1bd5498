"""What the commands share: the console, errors as one line, progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from and_core.errors import ANDError

out = Console()
err = Console(stderr=True)


@contextmanager
def reported() -> Iterator[None]:
    """Errors that a user can act on are one line; an interrupt says that the work goes on where it stopped."""
    try:
        yield
    except ANDError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        err.print("stopped; run the same command again to go on where it stopped")
        raise typer.Exit(130) from None


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """Blank until there is a rate."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar per stage: name, bar, units done, time taken and left."""
    from and_core.pipeline import STAGES

    titles = {stage.name: stage.title for stage in STAGES} | {f"{stage.name} answers": "Asking the language model" for stage in STAGES}
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=err) as shown:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(titles.get(stage, stage), total=total)
            shown.update(tasks[stage], completed=done, total=total)

        yield update
