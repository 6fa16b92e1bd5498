"""The file of what is kept, outside every dissection: rows are only added, each on disk before a write returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, text
from sqlalchemy.exc import SQLAlchemyError

from and_core.errors import StorageError
from and_core.store.files import cache_root
from and_core.store.sqlite import sqlite_engine

FOLDER, FILE = "kept", "kept.sqlite"
VERSION = 1
META = MetaData()
STAR = Table(
    "star", META, Column("id", Integer, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("dissection", "neuron", "list", "note", "who", "created")),
    Column("starred", Integer, nullable=False),
)  # fmt: skip
EDIT = Table(
    "edit", META, Column("id", Integer, primary_key=True),
    *(
        Column(name, Text, nullable=False)
        for name in ("dissection", "kind", "clip", "original", "text", "who", "created")
    ),
)  # fmt: skip


def now() -> str:
    """Return the time of a row, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class KeptFile:
    """Connections to the file of what is kept.

    Parameters
    ----------
    root : Path, optional
        Cache folder; default ``AND_CACHE`` or ``cache/``.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.path = (root or cache_root()) / FOLDER / FILE
        self.engine = sqlite_engine(self.path)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Return a transaction that is on disk when the block ends; on any error nothing of it is.

        Raises
        ------
        StorageError
            Locked, full, gone, damaged, or of a later version.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)
            with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
                self._prepare(connection)
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise StorageError(f"{self.path} can't be written now: {_reason(error)}") from None

    @contextmanager
    def read(self) -> Iterator[Connection | None]:
        """Return one consistent view for reading; None where nothing was ever kept."""
        if not self.path.exists() or not self.path.stat().st_size:
            yield None
            return
        try:
            with self.engine.connect() as connection, connection.begin():
                self._check(connection)
                yield connection
        except SQLAlchemyError as error:
            raise StorageError(f"{self.path} can't be read now: {_reason(error)}") from None

    def _check(self, connection: Connection) -> int:
        version = int(connection.execute(text("PRAGMA user_version")).scalar_one())
        if version > VERSION:
            raise StorageError(f"{self.path} was written by a later version of this package; use that version")
        return version

    def _prepare(self, connection: Connection) -> None:
        if self._check(connection) == VERSION:
            return
        META.create_all(connection)
        for table in META.tables:
            for verb in ("UPDATE", "DELETE"):
                refusal = f"SELECT RAISE(ABORT, 'rows of {table} are only ever added')"
                connection.execute(
                    text(f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} BEGIN {refusal}; END")
                )
        connection.execute(text(f"PRAGMA user_version = {VERSION}"))


def _reason(error: Exception) -> str:
    """Return the first line of what the driver says, without the statement and its values."""
    lines = str(getattr(error, "orig", error)).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
