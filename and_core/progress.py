"""Progress of long work: bars on a terminal or in a notebook, and a small file by which the dashboard shows what is
being made."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from and_core.store.files import plain_file, write_atomic

Progress = Callable[[str, int, int], None]
"""Called with (stage, units done, units in all)."""
Steps = Callable[[int, int], None]
"""Called with (steps done, steps in all) by work that is one stage."""

FILE = ".progress.json"
PAUSE = 0.5  # seconds between two writings of the file


def silent(stage: str, done: int, total: int) -> None:
    """Show nothing."""


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """Render the rate; blank until there is a rate."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def bars(titles: Mapping[str, str], console: Console | None = None, always: bool = False) -> Iterator[Progress]:
    """Show one bar per stage: name, bar, units done, rate, time taken and left.

    Parameters
    ----------
    titles : mapping
        Stage -> what its bar says.
    console : Console, optional
        Default: standard error.
    always : bool
        Also where nobody watches (a file, a pipe): then the bars are written once, at the end.
    """
    console = console or Console(stderr=True)
    if console.is_jupyter:
        yield from _notebook_bars(titles)
        return
    if not (always or console.is_terminal):
        yield silent
        return
    columns = (
        TextColumn("{task.description:<32}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as shown:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(titles.get(stage, stage), total=total)
            shown.update(tasks[stage], completed=done, total=total)

        yield update


def _notebook_bars(titles: Mapping[str, str]) -> Iterator[Progress]:
    """Yield a function that draws one bar of tqdm a stage: as a widget where ipywidgets is there, else as text."""
    from importlib.util import find_spec

    from tqdm import notebook, std

    bar_class = std.tqdm if find_spec("ipywidgets") is None else notebook.tqdm
    shown: dict[str, Any] = {}

    def update(stage: str, done: int, total: int) -> None:
        if stage not in shown:
            for bar in shown.values():
                bar.close()
            shown[stage] = bar_class(total=total, desc=titles.get(stage, stage), leave=True)
        shown[stage].total = total
        shown[stage].update(done - shown[stage].n)

    try:
        yield update
    finally:
        for bar in shown.values():
            bar.close()


@contextmanager
def noted(folder: Path, progress: Progress, titles: Mapping[str, str]) -> Iterator[Progress]:
    """Keep the progress in a file of the dissection's folder while the work goes on, with the titles of its stages."""
    last = 0.0

    def update(stage: str, done: int, total: int) -> None:
        nonlocal last
        progress(stage, done, total)
        now = time.monotonic()
        if now - last >= PAUSE:
            last = now
            _write(folder, {"pid": os.getpid(), "stage": titles.get(stage, stage), "done": done, "total": total})

    _write(folder, {"pid": os.getpid(), "stage": "", "done": 0, "total": 0})
    try:
        yield update
    finally:
        with suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


def _write(folder: Path, state: dict[str, Any]) -> None:
    """Write the file; not flushed, since after a power loss nobody needs it. A full disk stops no run here."""
    with suppress(OSError):
        write_atomic(folder / FILE, json.dumps(state).encode(), durable=False)


def in_progress(root: Path) -> dict[str, tuple[str, int, int]]:
    """Return what is being made in a cache now: dissection -> (title of the stage, units done, units in all).

    A run that was killed is none.
    """
    running = {}
    for path in sorted(root.glob(f"*/{FILE}")):
        try:
            state = json.loads(plain_file(path).read_text(encoding="utf-8"))
            os.kill(int(state["pid"]), 0)
            running[path.parent.name] = (str(state["stage"]), int(state["done"]), int(state["total"]))
        except PermissionError:  # another user's process: it runs
            running[path.parent.name] = ("", 0, 0)
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue
    return running
