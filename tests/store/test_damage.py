"""Damaged, half-written and foreign results: named, made again, never read as if whole."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_core import list_dissections, open_dissection, pipeline
from and_core.errors import ANDError, ArtifactError
from and_core.store.answers import FILE as ANSWERS
from and_core.store.answers import AnswerCache
from and_core.store.chunks import mark_chunk, read_mark
from and_core.store.files import sha256_file
from and_core.store.seal import HOME, installation_key
from and_core.store.writer import StageWriter
from tests.conftest import CATEGORIES, small_config
from tests.store.conftest import alter


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    assert installation_key() == installation_key() == (tmp_path / "home" / "key").read_bytes()
    assert (tmp_path / "home" / "key").stat().st_mode & 0o077 == 0
    assert len(installation_key()) == 32 and [p.name for p in (tmp_path / "home").iterdir()] == ["key"]


def _damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    path.unlink()
    if how == "byte":
        data[len(data) // 2] ^= 1
    path.write_bytes(
        {"byte": bytes(data), "zeros": bytes(len(data)), "short": bytes(data[: len(data) // 2]), "empty": b""}.get(
            how, b""
        )
    )
    if how == "gone":
        path.unlink()


def test_a_run_repairs_what_fails_its_hash(own) -> None:
    root = own.folder.parent
    before = {
        p.relative_to(own.folder): p.read_bytes()
        for p in own.folder.rglob("*")
        if p.is_file() and p.suffix in (".parquet", ".npy", ".pack", ".json")
    }
    places = [
        "artifacts/clips-*",
        "artifacts/activations-*",
        "artifacts/neurons-*",
        "views/first-half/artifacts/summaries-*",
        "views/untested/artifacts/closed-*",
    ]
    for place, how in zip(places, ("byte", "zeros", "short", "gone", "byte"), strict=True):
        files = sorted(
            p for folder in own.folder.glob(place) for p in folder.rglob("*") if p.is_file() and p.stat().st_size > 8
        )
        _damage(files[-1], how)
    assert (
        len({name.split("/")[0] if "views" not in name else name for name, _ in open_dissection(own.folder).validate()})
        >= 5
    )
    pipeline.run(small_config(), root=root)
    assert not list(open_dissection(own.folder).validate())
    assert {
        p.relative_to(own.folder): p.read_bytes() for p in own.folder.rglob("*") if p.relative_to(own.folder) in before
    } == before


@pytest.mark.parametrize("how", ["empty", "short", "zeros", "byte", "gone"])
def test_a_chunk_that_cannot_be_read_is_computed_again(tmp_path: Path, how: str) -> None:
    (tmp_path / "d").mkdir()
    writer = StageWriter(tmp_path / "d", "tab", "0" * 16)
    assert len(list(writer.chunked(3, lambda i: {"n": np.arange(50) + i}))) == 3
    for path in (writer.chunks / "000001.npz", writer.chunks / "000002"):
        _damage(path, how)
    asked = []
    again = list(
        StageWriter(tmp_path / "d", "tab", "0" * 16).chunked(3, lambda i: asked.append(i) or {"n": np.arange(50) + i})
    )
    assert asked == [1, 2] and all((x["n"] == np.arange(50) + i).all() for i, x in enumerate(again))


@pytest.mark.parametrize(("stage", "how"), [("clips", "empty"), ("activations", "zeros"), ("activations", "gone")])
def test_what_a_loss_of_power_takes_is_made_again(tmp_path: Path, stage: str, how: str) -> None:
    """A run is ended after its first chunk, whose mark reached the disk and whose data did not."""
    told = 0

    def stop(name: str, done: int, total: int) -> None:
        nonlocal told
        told += name == stage and done > 0
        if told > {"clips": 1, "activations": 3}[stage]:
            raise KeyboardInterrupt

    config = small_config(workers=1, dataset={"kind": "synthetic", "per_category": 10, "categories": CATEGORIES})
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(
            config,
            root=tmp_path,
            progress=stop,
            only=["clips", stage] if stage == "clips" else ["clips", "activations"],
        )
    chunks = sorted(
        p
        for p in tmp_path.glob(f"small/.partial/{stage}-*/out/**/*")
        if p.is_file() and (p.suffix == ".pack" or p.parent.parent.name == "c")
    )
    assert chunks, "nothing was written yet"
    for path in chunks:
        _damage(path, how)
    pipeline.run(config, root=tmp_path, only=["clips", "activations"])
    d = open_dissection("small", tmp_path)
    assert (
        not list(d.validate()) and d.audio(0) and np.abs(np.asarray(d.layer_activations(d.layers[0].name))).max(1).all()
    )


def test_a_mark_stands_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "chunks").mkdir()
    (tmp_path / "out" / "a").write_bytes(b"one")
    mark = tmp_path / "chunks" / "000000"
    assert read_mark(mark) == (False, None)
    mark_chunk(mark, [tmp_path / "out" / "a"], {"rows": 1})
    assert read_mark(mark) == (True, {"rows": 1})
    (tmp_path / "out" / "a").write_bytes(b"two")
    assert not read_mark(mark)[0]
    for text in (b"", b"{}", b"[]", b'{"files": 1, "content": 2}', b"\0" * 20):
        mark.write_bytes(text)
        assert read_mark(mark) == (False, None)


def test_a_damaged_manifest_is_made_anew_by_force(own) -> None:
    alter(own.folder, lambda raw: raw.update(name=3))
    with pytest.raises(ArtifactError):
        pipeline.run(small_config(), root=own.folder.parent)
    less = small_config(target={"kind": "ast", "layers": ["fc"]}, audio_encoder=None)
    pipeline.run(less, root=own.folder.parent, force=True)
    assert not list(open_dissection(own.folder).validate())


def test_artifacts_that_are_not_what_they_should_be_are_said_so(own) -> None:
    def empty(raw: dict[str, Any]) -> None:
        raw["artifacts"]["captions/captions"]["files"] = []

    alter(own.folder, empty)
    with pytest.raises(ArtifactError, match="has no file"):
        open_dissection(own.folder).caption(0)
    file = next(own.folder.glob("artifacts/neurons-*/high_clips.npy"))
    file.unlink()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    alter(
        own.folder,
        lambda raw: raw["artifacts"]["neurons/high_clips"]["files"][0].update(
            sha256=sha256_file(file), size=file.stat().st_size
        ),
    )
    with pytest.raises(ArtifactError, match="not what it should be"):
        open_dissection(own.folder).array("neurons/high_clips")


def test_an_answer_that_was_altered_is_asked_again_and_a_damaged_page_is_said(tmp_path: Path) -> None:
    answers = AnswerCache(tmp_path)
    for number in range(400):
        answers.put(f"k{number}", "m", "p" * 200, 0, f"answer {number}", None, False)
    answers.close()
    db = sqlite3.connect(tmp_path / ANSWERS)
    db.execute("UPDATE answers SET text = 'answer 8' WHERE key = 'k7'")
    db.commit()
    db.close()
    answers = AnswerCache(tmp_path)
    assert not answers.given("k7") and answers.given("k6")
    answers.put("k7", "m", "p", 0, "answer 7", None, False)
    assert answers.get(["k7"])["k7"][0] == "answer 7"
    answers.put("k7", "m", "p", 0, "another", None, False)
    assert answers.get(["k7"])["k7"][0] == "answer 7", "a given answer is never replaced"
    answers.close()
    data = bytearray((tmp_path / ANSWERS).read_bytes())
    data[4096 * 2 : -4096] = b"\xff" * (len(data) - 4096 * 3)
    (tmp_path / ANSWERS).write_bytes(bytes(data))
    with pytest.raises(ANDError, match="damaged"):
        answers = AnswerCache(tmp_path)
        for number in range(400):
            answers.get([f"k{number}"])


def test_names_that_no_link_could_carry_are_not_listed(tmp_path: Path, cache: Path) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    shutil.copytree(cache / "small", tmp_path / "\x1b[31mred")
    assert list_dissections(tmp_path) == ["small"]
