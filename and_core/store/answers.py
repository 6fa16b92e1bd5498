"""The book of answers: everything a language model has said, kept the moment it comes, for all dissections of a cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from and_core.errors import ANDError

FILE = "answers.sqlite"
MIGRATIONS = (  # append only; the number of those applied stands in the file
    "CREATE TABLE answers (key TEXT PRIMARY KEY, model TEXT NOT NULL, prompt TEXT NOT NULL, sample INTEGER NOT NULL, text TEXT, error TEXT, "
    "cut INTEGER NOT NULL, tries INTEGER NOT NULL) WITHOUT ROWID",
)


class AnswerBook:
    """Answers by key. One that failed is on record with its reason and counts as not given.

    Raises
    ------
    ANDError
        The file is damaged or of a later version.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / FILE
        root.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._migrate()
        except sqlite3.DatabaseError as error:
            raise ANDError(f"the book of answers {self.path} can't be read: {error}; move it away to begin a new one") from None

    def _migrate(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        done = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if done > len(MIGRATIONS):
            self._db.execute("ROLLBACK")
            raise ANDError(f"the book of answers {self.path} was written by a later version of this package")
        for statement in MIGRATIONS[done:]:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        self._db.execute("COMMIT")

    def get(self, keys: Iterable[str]) -> dict[str, tuple[str | None, str | None, bool]]:
        """Key -> (text, error, cut) of those that have been asked."""
        found: dict[str, tuple[str | None, str | None, bool]] = {}
        for key in keys:
            row = self._db.execute("SELECT text, error, cut FROM answers WHERE key = ?", (key,)).fetchone()
            if row is not None:
                found[key] = (row[0], row[1], bool(row[2]))
        return found

    def given(self, key: str) -> bool:
        """Whether a question has its answer; one that failed has not."""
        return self.get([key]).get(key, (None,))[0] is not None

    def put(self, key: str, model: str, prompt: str, sample: int, text: str | None, error: str | None, cut: bool) -> None:
        """Keep an answer, or the reason why there is none. A given answer is never replaced."""
        self._db.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT(key) DO UPDATE SET "
            "text = excluded.text, error = excluded.error, cut = excluded.cut, tries = tries + 1 WHERE answers.text IS NULL",
            (key, model, prompt, sample, text, error, int(cut)),
        )

    def counts(self) -> tuple[int, int]:
        """Answers given, and failed."""
        given, failed = self._db.execute("SELECT COUNT(text), COUNT(*) - COUNT(text) FROM answers").fetchone()
        return int(given), int(failed)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
