"""`and-dissect app` and `demo`: the dashboard, and the embedded default that it opens on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from and_core.cli.console import bars, out, reported
from and_core.errors import ANDError
from and_core.store.files import cache_root

HOST, PORT = "127.0.0.1", 8501


def dashboard_script() -> Path:
    """Return where the dashboard's ``app.py`` lies: at the top of a checkout, or carried inside an installed package.

    Raises
    ------
    ANDError
        It is in neither place.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent, package / "dashboard"):
        if (folder / "app.py").is_file() and (folder / "pages").is_dir():
            return folder / "app.py"
    raise ANDError(f"the dashboard is neither beside {package} nor in it; install the package again")


def serve(host: str, port: int, browser: bool, names: Sequence[str] = ()) -> int:
    """Run Streamlit on `app.py`, for this machine's own hosts and `names`; the exit status of the server."""
    script = dashboard_script()
    url = f"http://{host}:{port}"
    out.print(f"dashboard: {url}")
    out.print(f"dissections: {cache_root()}", soft_wrap=True)
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(script),
        "--server.address",
        host,
        "--server.port",
        str(port),
    ]
    command += [
        "--server.headless",
        "false" if browser and os.environ.get("DISPLAY", sys.platform != "linux") else "true",
    ]
    hosts = ",".join(name for name in (*names, os.environ.get("AND_HOSTS", "")) if name)
    server = subprocess.Popen(command, cwd=script.parent, env={**os.environ, "AND_HOSTS": hosts})
    before = signal.signal(signal.SIGTERM, lambda *_: server.terminate())  # who stops this command stops the server
    try:
        return max(server.wait(), 0)  # ended by a signal: as asked
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
        server.terminate()
        server.wait()


def app_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = HOST,
    port: Annotated[int, typer.Option(help="Port.")] = PORT,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="A host name by which the dashboard may be reached besides this machine's (may be repeated)."
        ),
    ] = None,
) -> None:
    """Open the dashboard."""
    with reported():
        raise typer.Exit(serve(host, port, browser, allow or ()))


def demo(
    context: typer.Context,
    opened: Annotated[bool, typer.Option("--open/--no-open", help="Open the dashboard after the build.")] = True,
    port: Annotated[int, typer.Option(help="Port of the dashboard.")] = PORT,
) -> None:
    """Dissect the demo's networks and open the dashboard, on the first one while the others are being made."""
    if context.invoked_subcommand is not None:
        return
    with reported():
        if not opened:
            _build_demo()
            return
        from and_core.demo.build import NETWORKS

        building = subprocess.Popen([sys.executable, "-m", "and_core.cli", "demo", "--no-open"])  # its bars show here
        try:
            while building.poll() is None and not _explained(next(iter(NETWORKS))):
                time.sleep(0.2)
            if building.returncode:
                raise typer.Exit(building.returncode)
            raise typer.Exit(serve(HOST, port, True))
        finally:
            if building.poll() is None:
                building.send_signal(signal.SIGINT)  # what is finished stays; the next start goes on there
                building.wait()


def _build_demo() -> None:
    from and_core.demo.build import build

    began = time.time()
    with bars() as progress:
        outcomes = build(progress=progress)
    computed = sum(len(o.computed) for o in outcomes)
    out.print(
        f"demo ready: {computed} stages computed in {time.time() - began:.0f} s, in {cache_root()}", soft_wrap=True
    )


def _explained(name: str) -> bool:
    """Return whether a dissection has neurons to show, each with what is said of it."""
    from and_core import open_dissection

    try:
        return open_dissection(name).has("explanations")
    except (ANDError, OSError):
        return False


def demo_train(folder: Annotated[Path, typer.Option(help="Where the weights go.")] = Path("cache/models")) -> None:
    """Train the demo's networks and listeners again from nothing (three quarters of an hour on 2 cores)."""
    with reported():
        from and_core.demo.train import train

        with bars() as progress:
            reports = train(folder, progress=lambda stage, done, total: progress(stage.split(",")[0], done, total))
        for name, report in reports.items():
            out.print(name, report)
