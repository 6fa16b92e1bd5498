"""The answer cache: everything a language model has said, kept the moment it comes, for all dissections of a cache."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from and_core.display import whole_characters
from and_core.errors import ANDError, BusyError
from and_core.reply import clean_reply, printable

FILE = "answers.sqlite"
MIGRATIONS = (  # append only; the number of those applied stands in the file
    "CREATE TABLE answers (key TEXT PRIMARY KEY, model TEXT NOT NULL, prompt TEXT NOT NULL, sample INTEGER NOT NULL, "
    "text TEXT, error TEXT, "
    "cut INTEGER NOT NULL, tries INTEGER NOT NULL) WITHOUT ROWID",
    # Answers kept before all ways of thinking aloud were known: what was thought goes, and what is no answer is asked
    # again.
    "UPDATE answers SET error = fault_of(text), text = words_of(text) WHERE text IS NOT NULL",
    "ALTER TABLE answers ADD COLUMN sha256 TEXT",
    "UPDATE answers SET sha256 = hash_of(key, text) WHERE text IS NOT NULL",
)
PATIENCE = 60.0  # seconds to wait for another process
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


class AnswerCache:
    """Answers by key. One that failed is on record with its reason and counts as not given.

    Parameters
    ----------
    root : Path
        Cache folder.
    patience : float
        Seconds to wait for another process that holds the file.

    Raises
    ------
    ANDError
        The file is held by another process, can't be written, is damaged, or of a later version. So does every method.
    """

    def __init__(self, root: Path, patience: float = PATIENCE) -> None:
        self.path = root / FILE
        root.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._db = sqlite3.connect(self.path, timeout=patience, isolation_level=None)
            self._db.create_function("words_of", 1, lambda text: clean_reply(text).text, deterministic=True)
            self._db.create_function("fault_of", 1, lambda text: clean_reply(text).error, deterministic=True)
            self._db.create_function("hash_of", 2, _hash_of, deterministic=True)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._migrate()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise errors of SQLite by what they mean.

        What is locked, full or read-only is not damaged: every answer in it is still there.
        """
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in HELD:
                who = holders(self.path)
                by = f"by {who}" if who else "by another process (or its file system can't lock files)"
                raise BusyError(
                    f"the answer cache {self.path} is in use {by}; nothing is lost: try again when that has ended"
                ) from None
            if code == sqlite3.SQLITE_FULL:
                raise ANDError(
                    f"the disk with the answer cache {self.path} is full; what was answered stays: free some space and "
                    "run again"
                ) from None
            if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
                raise ANDError(
                    f"the answer cache {self.path} can't be opened for writing: {error}; what was answered stays"
                ) from None
            if code in DAMAGED:
                hint = "move it away to begin a new one, and keep it: `sqlite3 FILE .recover` may save its answers"
                raise ANDError(f"the answer cache {self.path} is damaged and can't be read: {error}; {hint}") from None
            raise ANDError(f"the answer cache {self.path}: {error}") from None

    def _migrate(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        done = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if done > len(MIGRATIONS):
            self._db.execute("ROLLBACK")
            raise ANDError(f"the answer cache {self.path} was written by a later version of this package")
        for statement in MIGRATIONS[done:]:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        self._db.execute("COMMIT")

    def get(self, keys: Iterable[str]) -> dict[str, tuple[str | None, str | None, bool]]:
        """Return key -> (text, error, cut) of those that have been asked.

        An answer that is not what was written counts as not given.
        """
        answers: dict[str, tuple[str | None, str | None, bool]] = {}
        with self._told():
            for key in keys:
                row = self._db.execute("SELECT text, error, cut, sha256 FROM answers WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    whole = row[0] is None or row[3] == _hash_of(key, row[0])
                    answers[key] = (
                        (row[0], row[1], bool(row[2])) if whole else (None, "the answer on record was altered", False)
                    )
        return answers

    def given(self, key: str) -> bool:
        """Return whether a question has its answer; one that failed has not."""
        return self.get([key]).get(key, (None,))[0] is not None

    def put(
        self, key: str, model: str, prompt: str, sample: int, text: str | None, error: str | None, cut: bool
    ) -> None:
        """Keep an answer, or the reason why there is none. A given answer is never replaced."""
        words = [
            value if value is None else whole_characters(value) for value in (model, prompt, text, error)
        ]  # no half characters
        with self._told():
            self._db.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT(key) DO UPDATE SET "
                "text = excluded.text, error = excluded.error, cut = excluded.cut, tries = tries + 1, sha256 = "
                "excluded.sha256 "
                "WHERE answers.text IS NULL OR answers.sha256 IS NOT hash_of(answers.key, answers.text)",
                (key, *words[:2], sample, *words[2:], int(cut), None if words[2] is None else _hash_of(key, words[2])),
            )

    def counts(self) -> tuple[int, int]:
        """Return answers given, and failed."""
        with self._told():
            given, failed = self._db.execute("SELECT COUNT(text), COUNT(*) - COUNT(text) FROM answers").fetchone()
        return int(given), int(failed)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _hash_of(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()


def holders(path: Path) -> str:
    """Return the other processes that have a file open, as far as the system tells (Linux): ``process 4711 (and-dissect
    run mine.yaml)``."""
    names = {os.path.realpath(f"{path}{end}") for end in ("", "-wal", "-shm")}
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            if any(os.readlink(link) in names for link in (folder / "fd").iterdir()):
                words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                processes.append(f"process {folder.name} ({printable(' '.join(words)).strip()[:80]})")
        except OSError:  # gone meanwhile, or another user's
            continue
    return ", ".join(processes)
