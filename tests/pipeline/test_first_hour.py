"""What a new user meets in the first hour: the README's script as it stands, clips without labels, a page while the
rest is being made."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from and_core import open_dissection, pipeline
from and_core.config import make_config
from and_core.datasets.base import DATASETS
from and_core.errors import ConfigError, DataError
from and_core.progress import FILE, bars, in_progress, noted, silent
from and_core.web import HostGuard, told_hosts
from tests.conftest import ROOT, small_config
from tests.tiny import tiny_ast


def clips(folder: Path, count: int, classes: tuple[str, ...] = ("",)) -> Path:
    for i in range(count):
        place = folder / classes[i % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        sf.write(
            place / f"{i:03d}.wav",
            0.3 * np.sin(np.arange(4000) * (0.05 + 0.003 * i)) + 0.01 * np.random.default_rng(i).standard_normal(4000),
            16_000,
        )
    return folder


def test_the_documents_script_runs_as_it_stands(tmp_path: Path) -> None:
    """Without a ``__main__`` guard, on so many clips that worker processes decode them: they must not run the script
    again."""
    text = (ROOT / "docs" / "own-network.md").read_text()
    snippet = next(code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "bind(network" in code)
    clips(tmp_path / "sounds", 100, ("a", "b", "c"))
    before = (
        "print('begins')\nimport torch\ntorch.manual_seed(0)\n"
        "network = torch.nn.Sequential(torch.nn.Conv1d(1, 8, 64, 16), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1), "
        "torch.nn.Flatten())\n"
        "network.add_module('head', torch.nn.Linear(8, 3))\nprepare = lambda waves: torch.from_numpy(waves)[:, "
        "None]\nclasses = ['a', 'b', 'c']\n"
    )
    script = tmp_path / "mine.py"
    script.write_text(
        before
        + snippet.replace(
            "pipeline.run(config, target=target)", "pipeline.run(config, target=target, only=['clips', 'activations'])"
        )
    )
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "AND_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0 and done.stdout.count("begins") == 1 and "Traceback" not in done.stderr, done.stderr[
        -800:
    ]
    d = open_dissection("mine", root=tmp_path / "cache")
    assert len(d.clips) == 100 and [layer.name for layer in d.layers] == ["0", "fc"]


def test_bars_are_shown_where_somebody_watches() -> None:
    from rich.console import Console

    with bars({"clips": "Decoding"}, Console(force_terminal=True, file=open(os.devnull, "w"))) as told:
        assert told is not silent
        told("clips", 1, 2)
    with bars({}, Console(force_terminal=False, file=open(os.devnull, "w"))) as told:
        assert told is silent


def test_clips_without_labels_need_no_setting(tmp_path: Path) -> None:
    sounds, checkpoint = clips(tmp_path / "sounds", 8), tiny_ast(tmp_path / "net")
    raw: dict[str, object] = {
        "name": "mine",
        "dataset": {"kind": "folder", "path": str(sounds)},
        "target": {"kind": "ast", "checkpoint": checkpoint},
    }
    raw |= {"encoder": {"kind": "minilm", "model": "bundled"}, "k": 2}
    remarks: list[tuple[str, bool]] = []
    pipeline.run(
        make_config(raw),
        root=tmp_path,
        say=lambda text: remarks.append((text, (tmp_path / "mine" / "artifacts").exists())),
    )
    (said,) = remarks
    assert "no labels" in said[0] and "sound-phrases" in said[0] and not said[1], (
        "one line, before anything is computed"
    )
    d = open_dissection("mine", root=tmp_path)
    assert d.has("explanations") and len(d.document("texts/concepts")) > 500 and d.headline("fc/0").text
    with pytest.raises(ConfigError, match="the clips have no labels; take sound-phrases"):
        pipeline.run(make_config({**raw, "name": "other", "closed": {"concepts": "classes"}}), root=tmp_path)
    assert not (tmp_path / "other" / "artifacts").exists()


def test_what_is_being_made_is_shown(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small").symlink_to(cache / "small")
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    making = tmp_path / "other"
    making.mkdir()
    with noted(making, silent, {"activations": "Running the network"}) as told:
        told("activations", 1, 4)
        monkeypatch.setattr("and_core.progress.PAUSE", 0.0)
        told("activations", 3, 4)
        assert in_progress(tmp_path) == {"other": ("Running the network", 3, 4)}
        test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()
        shown = " ".join(str(h.proto.body) for h in test.sidebar.get("html"))
        assert not test.exception and "Being made now" in shown and "Running the network" in shown and "75 %" in shown
    assert in_progress(tmp_path) == {} and not (making / FILE).exists()
    (making / FILE).write_text(json.dumps({"pid": 2**22 + 1, "stage": "x", "done": 0, "total": 1}))
    assert in_progress(tmp_path) == {}, "a run that was killed"
    (making / FILE).write_text("{")
    assert in_progress(tmp_path) == {}


def test_numbers_do_not_depend_on_the_number_of_threads(cache: Path, tmp_path: Path) -> None:
    """The stages whose sums BLAS and OpenMP would take apart,
    made again under two threads from the same activations."""
    import shutil

    import torch
    from threadpoolctl import threadpool_limits

    before = open_dissection("small", root=cache).manifest
    shutil.copytree(cache / "small", tmp_path / "small")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with threadpool_limits(threads + 1):
            made = pipeline.run(
                small_config(),
                root=tmp_path,
                only=["neurons", "closed", "tab", "clusters", "map", "explanations"],
                force=True,
            )
    finally:
        torch.set_num_threads(threads)
    after = open_dissection("small", root=tmp_path).manifest
    assert len(made.computed) == 6 and after.stages["map"].notes["threads"] == threads + 1
    for name, artifact in after.artifacts.items():
        assert [f.sha256 for f in artifact.files] == [f.sha256 for f in before.artifacts[name].files], name


def answer(
    hosts: tuple[str, ...], host: str, origin: str | None = None, kind: str = "http", at: str = "127.0.0.1"
) -> bool:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route, WebSocketRoute

    async def socket(websocket: object) -> None:
        await websocket.accept()  # type: ignore[attr-defined]
        await websocket.close()  # type: ignore[attr-defined]

    app = HostGuard(
        Starlette(routes=[Route("/", lambda request: PlainTextResponse("in")), WebSocketRoute("/ws", socket)]), hosts
    )
    client = TestClient(app, base_url=f"http://{at}:8501")
    headers = {"host": host, **({"origin": origin} if origin else {})}
    if kind == "http":
        return client.get("/", headers=headers).status_code == 200
    try:
        with client.websocket_connect("/ws", headers=headers):
            return True
    except Exception:  # noqa: BLE001 - whatever the refusal looks like
        return False


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_server_answers_the_hosts_it_was_told_of_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AND_HOSTS", raising=False)
    own = told_hosts("127.0.0.1")
    for host, origin in (
        ("127.0.0.1:8501", None), ("localhost:8501", "http://localhost:8501"), ("[::1]:8501", "http://[::1]:8501"),
        ("127.0.0.1:8501", "http://localhost:8501"), ("localhost:9000", "http://localhost:9000"),
    ):  # fmt: skip
        assert answer(own, host, origin, kind), (host, origin)
    for host, origin in (
        ("evil.example:8501", None),
        ("evil.example:8501", "http://evil.example:8501"),
        ("127.0.0.1:8501", "http://evil.example"),
        ("127.0.0.1:8501", "null"),
        ("127.0.0.1:8501", "http://127.0.0.1:9999"),
        ("127.0.0.1.evil.example:8501", None),
        ("", None),
        ("evil@127.0.0.1:8501", None),
        ("127.0.0.1:8501", "https://x.streamlit.app"),
        ("localhost.evil.example", None),
        ("127.0.0.1:bad", None),
    ):
        assert not answer(own, host, origin, kind), (host, origin)
    monkeypatch.setenv("AND_HOSTS", "study.example, LAB.example")
    named = told_hosts("0.0.0.0")
    assert answer(named, "study.example", "https://study.example", kind) and answer(
        named, "lab.example:8600", None, kind
    )
    assert not answer(named, "other.example", None, kind) and not answer(named, "0.0.0.0:8501", None, kind)
    if kind == "http":  # the test client's websockets arrive nowhere in particular
        assert answer(named, "192.0.2.7:8600", "http://192.0.2.7:8600", kind, at="192.0.2.7"), (
            "the address at which the request arrived"
        )


def test_a_label_column_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    import io

    from and_core.config import PluginConfig

    def wav(i: int) -> bytes:
        buffer = io.BytesIO()
        sf.write(buffer, 0.3 * np.sin(np.arange(4000) * (0.05 + 0.01 * i)), 16_000, format="WAV")
        return buffer.getvalue()

    text, sounds = datasets.Value("string"), [{"bytes": wav(i), "path": None} for i in range(3)]
    plain = datasets.Dataset.from_dict({"labels": [["a", "b"], [], ["b"]], "category": ["a", "b", "a"]}).add_column(
        "audio", sounds
    )
    table = plain.cast(datasets.Features({"labels": datasets.List(text), "category": text, "audio": datasets.Audio()}))
    (tmp_path / "set" / "data").mkdir(parents=True)
    table.to_parquet(str(tmp_path / "set" / "data" / "train-00000-of-00001.parquet"))

    def refs(**settings: object) -> list:
        return DATASETS.create(PluginConfig(kind="hub", id=str(tmp_path / "set"), **settings)).references()

    assert {ref.label for ref in refs(label="category")} == {"a", "b"} and {ref.label for ref in refs()} == {None}
    with pytest.raises(
        DataError, match="dataset.label='categry' is no column of .*; there are: labels, category, audio"
    ):
        refs(label="categry")
    assert [ref.labels for ref in refs(label="labels")] == [("a", "b"), (), ("b",)], "several labels a clip"
    with pytest.raises(DataError, match="dataset.fold='labels' .* holds lists, not one value a clip"):
        refs(fold="labels")


class Ablated:
    """The part of a dissection that verdicts read: tested clips of two classes,
    and a clear difference of one strategy."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    class_pairs = None

    @property
    def tested_truth(self) -> np.ndarray:
        return np.repeat(np.eye(len(self.counts), dtype=bool), list(self.counts.values()), 0)

    @property
    def classes(self) -> list[str]:
        return list(self.counts)

    network_classes = target_classes = classes

    unlearning_notes: dict[str, list[str]] = {"Wind_chimes": []}
    unlearning_averages: dict[str, list] = {
        "strategies": [
            {
                "strategy": "DB",
                "number": "own",
                "difference": 2.0,
                "difference_low": 1.0,
                "difference_high": 3.0,
                "p": 0.01,
                "pairs": 9,
            }
        ],
        "pairs": [],
    }


@pytest.mark.parametrize(("clips_of", "refused"), [(0, True), (1, True), (4, True), (5, False), (40, False)])
def test_no_verdict_on_fewer_than_five_clips_of_a_concept(clips_of: int, refused: bool) -> None:
    from and_core.figures.unlearning import tested_clips, tested_on, verdicts

    d = Ablated({"wind chimes": clips_of, "rain": 7})
    (said,) = verdicts(d)
    assert (
        said.startswith("No verdict: fewer than 5 tested clips of Wind chimes") == refused
        and ("more selective" in said) != refused
    )
    assert f"{clips_of + 7} clips of {1 + bool(clips_of)} classes" in tested_on(tested_clips(d))


def test_a_table_and_a_command_say_what_was_tested(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from and_core.cli.main import app

    monkeypatch.setenv("AND_CACHE", str(cache))
    table = " ".join(CliRunner().invoke(app, ["table", "unlearning", "small", "--format", "csv"]).output.split())
    assert "tested_clips" in table and "tested_classes" in table
    shown = " ".join(CliRunner().invoke(app, ["table", "unlearning", "small"]).output.split())
    assert "tested on" in shown and "No verdict" in shown, "its concepts have fewer than five tested clips"
