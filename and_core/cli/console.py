"""What the commands share: the console, errors as one line, progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from and_core import progress
from and_core.display import visible
from and_core.errors import ANDError
from and_core.progress import Progress


class PlainConsole(Console):
    """A console that shows texts as they are: no markup, no emoji codes, no control character of a text reaches the
    terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text for a cell or a line, as wide as it is shown."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield segments of what is printed; those of rich's own doing (a bar's cursor) pass."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


out = PlainConsole()
err = PlainConsole(stderr=True)


@contextmanager
def reported() -> Iterator[None]:
    """Report errors that a user can act on as one line; an interrupt says that the work goes on where it stopped."""
    try:
        yield
    except ANDError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        err.print("stopped; run the same command again to go on where it stopped")
        raise typer.Exit(130) from None


OwnConfig = Annotated[
    Path | None,
    typer.Option(help="The YAML file that the dissection is made from: your own word for what is started and opened."),
]
AsRecorded = Annotated[
    bool,
    typer.Option(help="Start the programs and open the addresses that the dissection has on record; they are shown."),
]

OutFile = Annotated[
    Path | None, typer.Option("--out", "-o", help="File that is written; by default beside the configuration.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; a file that is there is never replaced so.")]


def trusted(d: Any, file: Path | None, as_recorded: bool) -> Any:
    """Return the configuration that a command may act on, None where it is the record, which acts on nothing."""
    from and_core.pipeline.recorded import config_for, reaches

    if file is None and not as_recorded:
        return None
    from and_core.store.permission import permit_target

    config = config_for(d, file)
    permit_target(config.target)
    if file is None:
        for line in reaches(config):
            err.print(f"as recorded, {line}", markup=False, soft_wrap=True)
    return config


@contextmanager
def bars() -> Iterator[Progress]:
    """Return one progress bar per stage, on standard error."""
    from and_core.pipeline import TITLES

    with progress.bars(TITLES, err, always=True) as update:
        yield update
