"""What the commands share: the console, errors as one line, progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from and_core import progress
from and_core.errors import ANDError
from and_core.progress import Progress

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


@contextmanager
def bars() -> Iterator[Progress]:
    """One progress bar per stage, on standard error."""
    from and_core.pipeline import TITLES

    with progress.bars(TITLES, err, always=True) as update:
        yield update
