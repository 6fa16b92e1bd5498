"""The dashboard's server goes when the command that started it does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(port: int, state: bool) -> bool:
    for _ in range(1200):
        if reachable(port) is state:
            return True
        time.sleep(0.1)
    return False


def _hear_interrupts() -> None:
    """A shell that starts a program in the background has it ignore interrupts; a terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_server_goes_with_its_command(sent: signal.Signals, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = subprocess.Popen(
        [sys.executable, "-m", "and_core.cli", "app", "--port", str(port), "--no-browser"],
        env={**os.environ, "AND_CACHE": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        preexec_fn=_hear_interrupts,
        start_new_session=True,
    )
    try:
        assert wait_for(port, True), "the dashboard did not start"
        command.send_signal(sent)
        assert command.wait(60) == 0
        assert wait_for(port, False), "the server stayed when its command was stopped"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
