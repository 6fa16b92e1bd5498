"""What comes from elsewhere is data: configurations on record, models, data sets, texts and servers start, open, read
and change nothing."""

from __future__ import annotations

import ast
import csv
import io
import os
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

from and_core import open_dissection, pipeline
from and_core.cli.console import PlainConsole
from and_core.cli.main import app
from and_core.config import PluginConfig, load_config, make_config
from and_core.datasets.base import DATASETS, read_rows
from and_core.display import csv_text, latex, markdown, visible
from and_core.encoders.base import ENCODERS
from and_core.errors import ANDError, ConfigError, DataError, TargetError
from and_core.llms.base import LLMS
from and_core.openai_api import ChatServer, ServerSettings
from and_core.pipeline.planting import plant
from and_core.pipeline.recorded import check_harmless, reaches
from and_core.reply import printable
from and_core.store.manifest import Manifest
from and_core.targets.base import TARGETS
from tests.conftest import ROOT, small_config, tone

# -- configurations on record
# ---------------------------------------------------------------------------------------------------

ACTING: dict[str, dict[str, Any]] = {
    "program": {"captions": {"kind": "salmonn", "repo": "/tmp", "python": sys.executable, "decode": __file__}},
    "among several": {
        "captions": {
            "kind": "several",
            "parts": [{"kind": "salmonn", "repo": "/tmp", "python": sys.executable, "decode": __file__}],
        }
    },
    "captioning server": {
        "captions": {"kind": "server", "base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key_env": "MY_KEY"}
    },
    "server": {"llm": {"kind": "server", "base_url": "http://127.0.0.1:9/v1", "model": "m"}},
    "key": {"llm": {"kind": "server", "base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key_env": "MY_KEY"}},
    "vllm": {"llm": {"kind": "vllm", "model": "m"}},
    "data set of a hub": {"dataset": {"kind": "hub", "id": "somebody/something"}},
    "weights by tag": {"closed": {"encoder": {"kind": "clip", "engine": "open_clip", "model": "openai"}}},
    "tagger": {"open": {"tagger": "this"}},
}


@pytest.mark.parametrize("what", ACTING)
def test_a_configuration_on_record_starts_opens_and_reads_nothing(
    own, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    config = small_config(**ACTING[what])
    assert reaches(config)
    with pytest.raises(ConfigError, match="--as-recorded"):
        check_harmless(config)
    manifest = Manifest.load(own.folder)
    manifest.config = config.model_dump(mode="json")
    manifest.save(own.folder)
    d = open_dissection(own.folder)
    with pytest.raises(ConfigError, match="on record"):
        plant(d)
    with pytest.raises(ConfigError, match="on record"):
        pipeline.run(config, root=own.folder.parent, recorded=True, reuse=["small"])


def test_what_acts_on_nothing_needs_no_word() -> None:
    check_harmless(small_config())
    assert reaches(small_config()) == []


def test_the_users_word_is_asked_for_and_shown(own, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AND_CACHE", str(own.folder.parent))
    manifest = Manifest.load(own.folder)
    manifest.config = small_config(**ACTING["key"]).model_dump(mode="json")
    manifest.save(own.folder)
    refused = CliRunner().invoke(app, ["prune", "small", "--all"])
    assert refused.exit_code == 1 and "MY_KEY" in refused.output and "http://127.0.0.1:9/v1" in refused.output
    shown = CliRunner().invoke(app, ["prune", "small", "--all", "--as-recorded"])
    assert "as recorded, llm: opens http://127.0.0.1:9/v1" in shown.output and "is not set" in shown.output
    (tmp_path / "other.yaml").write_text("name: other\ndataset: {kind: synthetic}\ntarget: {kind: ast}\n")
    wrong = CliRunner().invoke(app, ["prune", "small", "--all", "--config", str(tmp_path / "other.yaml")])
    assert wrong.exit_code == 1 and "is of 'other', not of 'small'" in " ".join(wrong.output.split())


@pytest.mark.parametrize(("registry", "section"), [
    (TARGETS, {"kind": "ast", "checkpoint": "somebody/something"}),
    (TARGETS, {"kind": "transformers", "checkpoint": "somebody/something"}),
    (ENCODERS, {"kind": "clip", "model": "somebody/something"}),
    (ENCODERS, {"kind": "clap", "model": "somebody/something"}),
    (ENCODERS, {"kind": "sentence_transformer", "model": "somebody/something"}),
    (LLMS, {"kind": "transformers", "model": "somebody/something"}),
])  # fmt: skip
def test_models_on_record_come_from_this_machine_alone(registry: Any, section: dict[str, Any]) -> None:
    made = registry.create(PluginConfig(**section), recorded=True)
    assert made.loading["local_files_only"] is True and made.loading["trust_remote_code"] is False
    with pytest.raises((ANDError, OSError)) as told:
        made.load("cpu") if registry is TARGETS else made.encode(["a"]) if registry is ENCODERS else made._loaded
    assert "somebody/something" in str(told.value)
    assert registry.create(PluginConfig(**section)).loading["local_files_only"] is False


# -- code that comes with a model
# -------------------------------------------------------------------------------------------------


def test_every_model_is_loaded_without_its_code() -> None:
    """Over the syntax trees: `from_pretrained` and its like take the plug-in's `loading`, or say
    ``trust_remote_code=False`` themselves."""
    seen = 0
    for path in [*ROOT.glob("and_core/**/*.py"), *ROOT.glob("pages/**/*.py"), ROOT / "app.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = (
                call.func.attr
                if isinstance(call.func, ast.Attribute)
                else call.func.id
                if isinstance(call.func, ast.Name)
                else ""
            )
            where = f"{path.name}:{call.lineno}"
            said = {k.arg: k.value for k in call.keywords}
            if name in ("from_pretrained", "Model", "LLM", "SentenceTransformer", "pipeline") and (
                name == "from_pretrained" or path.parent.name in ("encoders", "llms")
            ):
                seen += 1
                given = said.get("trust_remote_code")
                plain = isinstance(given, ast.Constant) and given.value is False
                spread = [ast.unparse(k.value) for k in call.keywords if k.arg is None]
                assert (
                    plain
                    or (spread and spread[-1] in ("self.loading", "loading", "plain"))
                    or path.name == "salmonn_bridge.py"
                ), where
            if (
                name == "load"
                and isinstance(call.func, ast.Attribute)
                and ast.unparse(call.func.value) in ("torch", "np", "numpy")
            ):
                key, wanted = (
                    ("weights_only", True) if ast.unparse(call.func.value) == "torch" else ("allow_pickle", False)
                )
                assert isinstance(said.get(key), ast.Constant) and said[key].value is wanted, where  # type: ignore[attr-defined]
            assert name not in ("eval", "exec", "system", "popen") or (
                name == "eval" and isinstance(call.func, ast.Attribute)
            ), where
        imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not imported & {"pickle", "marshal", "shelve", "dill", "joblib"}, path.name
    assert seen > 12


def test_the_floors_keep_what_refuses_code() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for package, least in (("sentence-transformers", 6), ("datasets", 4)):
        floors = [int(v) for v in re.findall(rf'"{package}>=(\d+)', text)]
        assert floors and min(floors) >= least, package


def test_a_tokenizer_that_comes_with_code_is_refused_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(
        '{"model_type": "clip", "auto_map": {"AutoConfig": "mine.Mine", "AutoTokenizer": ["mine.Mine", null]}}'
    )
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", null]}}'
    )
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'RAN')!r}, 'w').close()\nclass Mine: pass\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\ny\ny\n"))
    for kind in ("clip", "clap", "sentence_transformer"):
        with pytest.raises((ANDError, TypeError, KeyError, AttributeError)):
            ENCODERS.create(PluginConfig(kind=kind, model=str(tmp_path))).encode(["a"])  # type: ignore[call-arg]
    assert not (tmp_path / "RAN").exists()


# -- data sets
# ------------------------------------------------------------------------------------------------------------------


def test_a_row_that_names_a_file_elsewhere_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra hub is not installed")
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    import soundfile as sf

    inside, outside = tmp_path / "set" / "data", tmp_path / "private.wav"
    inside.mkdir(parents=True)
    for path in (outside, inside / "own.wav"):
        sf.write(path, tone(), 16_000)
    (inside / "link.wav").symlink_to(outside)
    paths = [
        str(outside),
        "/dev/zero",
        str(inside / ".." / ".." / "private.wav"),
        str(inside / "link.wav"),
        "private.wav",
        str(inside / "own.wav"),
    ]
    rows = [{"bytes": None, "path": path} for path in paths] + [{"bytes": outside.read_bytes(), "path": "/etc/passwd"}]
    about = {"info": {"features": {"audio": {"_type": "Audio"}, "label": {"dtype": "string", "_type": "Value"}}}}
    table = pa.table(
        {
            "audio": pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "label": ["a"] * len(rows),
        }
    )
    pq.write_table(
        table.replace_schema_metadata({b"huggingface": json.dumps(about).encode()}),
        inside / "train-00000-of-00001.parquet",
    )
    made = DATASETS.create(PluginConfig(kind="hub", id=str(tmp_path / "set")))  # type: ignore[call-arg]
    made.fingerprint()
    heard = []
    for ref in made.references():
        try:
            made.read(ref)
            heard.append(ref.name)
        except DataError as error:
            assert "no part of the data set" in str(error)
    assert [name.rpartition("-")[2] for name in heard] == ["own.wav", "passwd"]


def test_a_table_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meta.csv")
    with pytest.raises(DataError, match="no regular file"):
        list(read_rows(tmp_path / "meta.csv", ("filename",)))
    from and_core.dissect.concepts import concept_set

    with pytest.raises(ConfigError, match="no regular file"):
        concept_set(str(tmp_path / "meta.csv"), [])


# -- configuration files
# ------------------------------------------------------------------------------------------------------------


LINES = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))


@pytest.mark.parametrize(
    "text",
    [
        f"a: &a [x, x, x, x, x, x, x, x, x]\n{LINES}name: *j\n",
        "name: &a [*a]\n",
        "name: &a {x: *a}\n",
        "name: " + "[" * 3000 + "]" * 3000 + "\n",
        "\x00",
        "name: !!python/object/apply:os.system [true]\n",
    ],
)
def test_a_configuration_that_explodes_is_refused_at_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "bomb.yaml").write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigError):
        load_config(tmp_path / "bomb.yaml")
    assert time.monotonic() - began < 60


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
        LLMS.create(config.llm)  # type: ignore[arg-type]
    assert "SECRET" not in str(told.value) and len(str(told.value)) < 1000


# -- texts
# ----------------------------------------------------------------------------------------------------------------------

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


# -- servers
# ----------------------------------------------------------------------------------------------------------------------


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
        TARGETS.create(PluginConfig(kind="beats", checkpoint=str(tmp_path / "no.pt"))).load("cpu")  # type: ignore[call-arg]
    make_config({"name": "x", "dataset": {"kind": "synthetic"}, "target": {"kind": "ast"}})
