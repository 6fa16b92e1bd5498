"""What is kept: lists, notes, corrections; nothing that was said to be kept is ever lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from and_core.errors import DataError, StorageError
from and_core.kept.database import KeptFile
from and_core.kept.edits import edits, keep_edit, write_corrections
from and_core.kept.lists import keep_star, stars
from tests.conftest import ROOT


def test_a_neuron_is_starred_noted_and_taken_out_again(tmp_path: Path) -> None:
    file = KeptFile(tmp_path)
    assert stars(file) == [] and not file.path.exists(), "reading makes nothing"
    keep_star(file, "d", "fc/3", note="a <b>bell</b>", who="Ada")
    keep_star(file, "d", "fc/3", "Bells")
    keep_star(file, "e", "fc/3")
    assert [(s.list, s.dissection) for s in stars(file)] == [("Bells", "d"), ("Starred", "e"), ("Starred", "d")]
    keep_star(file, "d", "fc/3", note="no bell", who="Bob")
    (now,) = [s for s in stars(file, "d", "fc/3") if s.list == "Starred"]
    assert (now.note, now.who) == ("no bell", "Bob")
    keep_star(file, "d", "fc/3", on=False)
    assert [s.list for s in stars(file, "d")] == ["Bells"]
    with file.read() as connection:
        assert connection is not None and connection.execute(text("SELECT count(*) FROM star")).scalar_one() == 5


@pytest.mark.parametrize(("change", "word"), [({"name": " "}, "a name"), ({"note": "x" * 4001}, "at most 4000")])
def test_what_is_not_allowed_is_said(tmp_path: Path, change: dict[str, str], word: str) -> None:
    with pytest.raises(DataError, match=word):
        keep_star(KeptFile(tmp_path), "d", "fc/3", **change)


def test_an_original_is_never_lost(tmp_path: Path) -> None:
    file = KeptFile(tmp_path)
    keep_edit(file, "d", "caption", "a.wav", "a dog", "a  wolf ", "Ada")
    keep_edit(file, "d", "caption", "a.wav", "a wolf", "a fox", "Bob")
    (edit,) = edits(file, "d")
    assert (edit.original, edit.text, edit.who) == ("a dog", "a fox", "Bob")
    assert [e.text for e in edits(file, "d", history=True)] == ["a wolf", "a fox"]
    path = write_corrections(file, "d")
    assert path is not None and "a fox" in Path(path).read_text() and write_corrections(file, "d") == path
    for statement in ("UPDATE edit SET original = 'x'", "DELETE FROM edit"):
        with pytest.raises(StorageError, match="only ever added"), file.write() as connection:
            connection.execute(text(statement))
    keep_edit(file, "d", "caption", "a.wav", "", "a dog")
    assert edits(file, "d") == [] and write_corrections(file, "d") is None, "taken back"
    assert len(edits(file, "d", history=True)) == 3


WRITER = """
import sys
from pathlib import Path
from and_core.kept.database import KeptFile
from and_core.kept.lists import keep_star
file = KeptFile(Path(sys.argv[1]))
for i in range(10_000):
    keep_star(file, "d", f"fc/{i}")
    print(i, flush=True)
"""


def test_kill_9_loses_nothing_that_was_said_to_be_kept(tmp_path: Path) -> None:
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(25)]
        process.kill()
        said += [int(line) for line in process.stdout.read().split("\n") if line.strip().isdecimal()]
        process.wait(10)
        kept = {star.neuron for star in stars(KeptFile(tmp_path))}
        assert {f"fc/{i}" for i in said} <= kept
    with KeptFile(tmp_path).read() as connection:
        assert connection is not None
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2, "FULL"


def test_a_file_of_a_later_version_or_a_damaged_one_is_said_so(tmp_path: Path) -> None:
    file = KeptFile(tmp_path)
    keep_star(file, "d", "fc/3")
    with file.write() as connection:
        connection.execute(text("PRAGMA user_version = 9"))
    with pytest.raises(StorageError, match="later version"):
        stars(file)
    file.path.write_bytes(b"no database at all, only a text that is long enough" * 40)
    for path in tmp_path.rglob("*.sqlite-*"):
        path.unlink()
    with pytest.raises(StorageError, match="can't be read"):
        stars(file)
