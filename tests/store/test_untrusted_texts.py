"""Texts, files and servers from elsewhere: shown as they are, never acted on."""

from __future__ import annotations

import csv
import io
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from typer.testing import CliRunner

from and_core.cli.console import PlainConsole
from and_core.cli.main import app
from and_core.config import PluginConfig, make_config
from and_core.display import csv_text, latex, markdown, visible
from and_core.errors import ConfigError, TargetError
from and_core.llms.base import LLMS
from and_core.openai_api import ChatServer, ServerSettings
from and_core.reply import printable
from and_core.store.manifest import Manifest
from and_core.targets.base import TARGETS
from tests.conftest import ROOT, small_config


@pytest.mark.parametrize(
    "llm",
    [
        {"api_key": "sk-SECRET"},
        {"base_url": "http://user:SECRET@host/v1"},
        {"base_url": "https://host/v1?key=SECRET"},
        {"base_url": "https://host/v1#SECRET"},
        {"token": "SECRET"},
        {"timeout": "x" * 5000 + "SECRET"},
    ],
)
def test_a_secret_in_a_setting_is_refused_and_not_printed(llm: dict[str, Any]) -> None:
    config = small_config(llm={"kind": "server", "model": "m", **llm})
    with pytest.raises(ConfigError) as told:
        LLMS.create(config.llm)
    assert "SECRET" not in str(told.value) and len(str(told.value)) < 1000


EVIL = [
    "[bold]x[/oops]",
    "[/x]",
    "\x1b]0;owned\x07",
    "\x1b[31mred",
    "\x9b31m",
    "\u202egnp.exe",
    "=1+2",
    "<b>x</b>",
    "$x$",
    "a\rb",
    "\x08\x08\x7f",
    ":warning:",
    "\x00",
]


def test_no_text_acts_on_a_terminal() -> None:
    for text in EVIL:
        made = io.StringIO()
        console = PlainConsole(file=made, force_terminal=True, color_system=None, width=120)
        grid = Table(text, title=text, caption=text)
        grid.add_row(text)
        console.print(grid)
        console.print(text, style="red")
        console.print(text)
        shown = made.getvalue()
        assert not re.search(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown), ascii(text)
        if text.startswith("[") or text.startswith(":"):
            assert text in shown, "markup is shown as it is"


@given(st.text(max_size=60))
def test_what_is_visible_is_harmless_and_stays(text: str) -> None:
    shown = visible(text)
    assert (
        not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
        and visible(shown) == shown
    )
    assert (
        "".join(c for c in text if c.isalnum()) in re.sub(r"[^\w]|_", "", shown)
        or not text.isascii()
        or not text.isprintable()
    )
    assert "\u202e" not in markdown(text) and "\n" not in markdown(text)


@given(st.text(alphabet=st.sampled_from("abc =+-@\t\r'\"|%1.,\n"), max_size=12), st.text(max_size=8))
def test_no_cell_is_a_formula(one: str, two: str) -> None:
    text = csv_text(pd.DataFrame({f"c{one}": [one, two], "number": [-1.5, 2.0]}))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    number = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?%?", re.IGNORECASE)
    for cell in (cell for row in rows for cell in row):
        assert (
            not cell.lstrip(" '").startswith(("=", "+", "-", "@", "|"))
            or cell.startswith("'")
            or number.fullmatch(cell)
        ), ascii(cell)
    assert [row[1] for row in rows[1:]] == ["-1.5", "2.0"]


def test_csvs_are_written_in_one_place() -> None:
    """Over the sources: no page and no command writes a table by itself."""
    for path in [*ROOT.glob("and_core/**/*.py"), *ROOT.glob("pages/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        assert ".to_csv(" not in text or path.name == "display.py", path
        assert "csv.writer" not in text and "DictWriter" not in text, path


@pytest.mark.parametrize(
    "address",
    [
        "http://evil.test/x",
        "https://evil.test",
        "www.evil.test",
        "me@evil.test",
        "mailto:me@evil.test",
        "HTTP://EVIL.TEST",
    ],
)
def test_an_address_in_a_text_is_no_link_in_markdown(address: str) -> None:
    plain = markdown(f"a {address} b").replace("\\", "")
    assert address not in plain and address == plain.replace("\u2060", "")[2:-2]


def test_latex_and_markdown_print_what_they_are_given() -> None:
    assert (
        latex(r"\input{/etc/passwd} 50% $x_1$ ~^")
        == r"\textbackslash{}input\{/etc/passwd\} 50\% \$x\_1\$ \textasciitilde{}\textasciicircum{}"
    )
    assert (
        markdown("![x](http://a) <img> `c` *b*\n# h").replace("\u2060", "")
        == r"\!\[x\]\(http\://a\) \<img\> \`c\` \*b\* \# h"
    )


def test_new_signs_survive_and_half_ones_do_not() -> None:
    assert printable("a \U0001fae9 b \U0001fabf") == "a \U0001fae9 b \U0001fabf"
    assert printable("x\ud800y\ufffe\x07") == "x?y"


def test_texts_from_data_reach_no_table_as_commands(own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(own.folder.parent))
    manifest = Manifest.load(own.folder)
    manifest.stages["clips"].notes["dataset"] = "[/x] \x1b]0;owned\x07"
    manifest.save(own.folder)
    for words in (
        ["list"],
        ["info", "small"],
        ["prune", "small", "--concept", "[bold]x[/oops]", "--strategy", "random", "--share", "0.01"],
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0 and "\x1b]" not in done.output, done.output[-500:]


def _drip(listener: socket.socket, what: bytes, pause: float, asked: Event | None = None) -> None:
    """A server that accepts, sends a little, and goes on so for ever."""

    def one(connection: socket.socket) -> None:
        try:
            connection.recv(65536)
            if asked is not None:
                asked.set()
            connection.sendall(what)
            while True:
                time.sleep(pause)
                connection.sendall(b" ")
        except OSError:
            return

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        Thread(target=one, args=(connection,), daemon=True).start()


DRIPS = {
    "body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow:",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("how", DRIPS)
def test_a_time_limit_is_for_the_whole_answer(how: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        Thread(target=_drip, args=(listener, DRIPS[how], 0.1), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        began = time.monotonic()
        settings = ServerSettings(base_url=url, model="m", timeout=0.7, retries=0, in_flight=2)
        replies = list(ChatServer(settings).ask([{"messages": []}] * 2))
        assert time.monotonic() - began < 60 and all(
            reply.text is None and "no whole answer" in str(reply.error) for _, reply in replies
        )


def test_an_endless_answer_is_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def flood() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            try:
                connection.sendall(DRIPS["body"].replace(b"1000000", b"9" * 15))
                while True:
                    connection.sendall(b" " * (1 << 20))
            except OSError:
                return

        Thread(target=flood, daemon=True).start()
        settings = ServerSettings(
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", model="m", timeout=60, retries=0
        )
        _, reply = next(ChatServer(settings).ask([{"messages": []}]))
        assert reply.text is None and "bytes" in str(reply.error)


WAITS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts this in the background has it ignored
import typer
from and_core.cli.console import reported
from and_core.openai_api import ChatServer, ServerSettings
try:
  with reported():
    list(ChatServer(ServerSettings(base_url=sys.argv[1], model="m", timeout=600)).ask([{"messages": []}] * 40))
except typer.Exit as ended:
    sys.exit(ended.exit_code)
"""


def test_an_interrupt_ends_within_two_seconds() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listener:
        asked = Event()
        Thread(target=_drip, args=(listener, b"", 60.0, asked), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        running = subprocess.Popen(
            [sys.executable, "-c", WAITS, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert asked.wait(120)
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
        assert running.returncode == 130 and "Traceback" not in said and "run the same command again" in said
        assert (
            time.monotonic() - began < 30
        )  # 0.3 s on a machine that has nothing else to do; the server would be waited for 600 s


def test_a_model_that_answers_nothing_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "x.yaml").write_text(
        "name: x\ndataset: {kind: synthetic, per_category: 2, categories: [dog, rain]}\ntarget: {kind: ast, layers: "
        "[fc]}\ncaptions: {kind: corpus}\nk: 2\n"
        f"encoder: {{kind: minilm, model: bundled}}\nscores: null\nmap: {{method: pca}}\nsummarizer: {{kind: llm}}\n"
        f"llm: {{kind: server, base_url: 'http://127.0.0.1:{port}/v1', model: m, retries: 0}}\n"
    )
    done = CliRunner().invoke(
        app,
        [
            "run",
            str(tmp_path / "x.yaml"),
            "--only",
            "clips",
            "--only",
            "activations",
            "--only",
            "neurons",
            "--only",
            "captions",
            "--only",
            "texts",
            "--only",
            "summaries",
        ],
    )
    assert done.exit_code == 1 and "answered no question at all" in done.output


def test_a_weights_file_of_another_kind_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(TargetError):
        TARGETS.create(PluginConfig(kind="beats", checkpoint=str(tmp_path / "no.pt"))).load("cpu")
    make_config({"name": "x", "dataset": {"kind": "synthetic"}, "target": {"kind": "ast"}})
