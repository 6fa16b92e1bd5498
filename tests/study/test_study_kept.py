"""What a study keeps: texts as people write them, exports from anywhere, a dissection that has changed since."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from and_core.cli.main import app
from and_core.errors import AnswerRefused, StorageError
from and_core.store.manifest import Manifest
from and_core.study.answers import all_answers, export, import_answers
from and_core.study.session import Session
from and_core.study.study import open_study
from tests.studies import answer, begin, small_study


@pytest.fixture
def study(cache: Path, tmp_path: Path):
    return small_study(cache, tmp_path / "root", tasks=["write", "fit"])


TEXTS = [
    "\u0635\u062f\u0627\u06cc \u0645\u06cc\u200c\u0634\u0648\u062f",
    "\u0915\u094d\u200d\u0937 \u0927\u094d\u0935\u0928\u093f",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 talk",
    "\u2764\ufe0f beats",
    "Donau\xaddampf",
    "shaking \U0001fae8 face",
    "bags \U0001fae9 eyes",
    "later \U0001fabf\U000e0067 signs",
    "10\xa0kHz 5\u202fdB",
    "\u96e8\u58f0",
    "\u96e8",
    "TV",
    "'tis",
    "=1+1",
    "abc \u200f\u05e9\u05dc\u05d5\u05dd\u200e def",
    "x" * 2000,
    "\U0001f426" * 2000,
]
NO_TEXTS = ["", " ", "a", "\u200d\u200d", "\u00ad\u00ad\u00ad", "\x00\x07", "\u0301\u0302", "y" * 2001]


def test_texts_are_kept_as_people_write_them(study) -> None:
    token, _ = begin(study.study, "poet")
    session = Session(study.study, study.study.place(token))
    while session.state()["item"]["task"] != "write":
        session.record(answer(study.study, session.state()))
        session = Session(study.study, study.study.place(token))
    place = session.position
    for said in NO_TEXTS:
        with pytest.raises(AnswerRefused, match="write a word"):
            session.record({**answer(study.study, session.state()), "response": said})
    for number, said in enumerate([*TEXTS, "before\x00after", "one\ntwo \t three\u2028four"]):
        session.record({**answer(study.study, session.state()), "response": said})
        session = Session(study.study, study.study.place(token))
        kept = json.loads(session.last[session.slots[place].id].body)["response"]
        assert kept == (said if said in TEXTS else {"before\x00after": "before after"}.get(said, "one two three four"))
        session.record(
            {"kind": "undo", "uuid": f"undo-{number:04d}", "position": place, "serial": session.state()["undo_serial"]}
        )
        session = Session(study.study, study.study.place(token))


def test_an_empty_export_and_any_ending_are_read(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(tmp_path / "root"))
    study = small_study(cache, tmp_path / "root", tasks=["fit"], methods=["DB"]).study
    for form, ending in (("csv", "CSV"), ("parquet", "PARQUET"), ("parquet", "csv"), ("csv", "parquet")):
        path = tmp_path / f"{form}-export.{ending}"
        path.write_bytes(export(all_answers(study), form))
        assert import_answers(study, path, "there") == (0, 0), path.name
    said = CliRunner().invoke(app, ["study", "results", "study", "--no-texts"])
    assert said.exit_code == 0 and "Nobody has answered yet" in said.output


def test_a_study_is_looked_for_where_it_lies(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    small_study(cache, root, tasks=["fit"], methods=["DB"])
    monkeypatch.setenv("AND_STUDY_DATABASE", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("AND_CACHE", str(root))
    assert open_study("study", root).config.name == "study", "its own file, whatever server the environment names"
    said = CliRunner().invoke(app, ["study", "list"])
    assert said.exit_code == 0 and "can't be used" not in said.output
    monkeypatch.delenv("AND_STUDY_DATABASE")
    (root / "studies" / "study" / "study.sqlite").rename(tmp_path / "away.sqlite")
    with pytest.raises(StorageError, match="AND_STUDY_DATABASE"):
        open_study("study", root)


def test_a_dissection_that_was_made_anew_since_is_said_everywhere(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    shutil.copytree(cache / "small", root / "small")
    study = small_study(cache, root, tasks=["fit"], methods=["DB"]).study
    assert study.changed() == []
    manifest = Manifest.load(root / "small")
    manifest.stages["planted"] = manifest.stages["map"].model_copy(update={"inputs": {}})
    manifest.save(root / "small")
    assert study.changed() == [], "what was added is no change"
    manifest.stages["summaries"] = manifest.stages["summaries"].model_copy(update={"key": "0" * 16})
    manifest.save(root / "small")
    assert (
        "has changed since this study was drawn" in study.changed()[0]
        and "goes on with the sounds" in study.changed()[0]
    )
    token, _ = begin(study, "one")
    Session(study, study.place(token)).record(answer(study, Session(study, study.place(token)).state()))
    monkeypatch.setenv("AND_CACHE", str(root))
    for words in (["progress", "study"], ["results", "study", "--no-texts"], ["list"]):
        said = " ".join(CliRunner().invoke(app, ["study", *words]).output.split())
        assert "changed since" in said, words
    shutil.rmtree(root / "small")
    assert "no longer there" in study.changed()[0]
