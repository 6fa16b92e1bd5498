"""The study's database: SQLite in write-ahead mode beside its sounds, or PostgreSQL by URL.

Every write is on disk before it returns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, MetaData, Table, Text, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from and_core.errors import MissingExtra, StorageError, StudyError
from and_core.store.sqlite import sqlite_engine
from and_core.study.migrations import migrate

URL = "AND_STUDY_DATABASE"  # environment variable: the password of a server belongs in no file
FILE = "study.sqlite"
HINT = f"a study on PostgreSQL needs its URL: --database, or {URL}"
META = MetaData()


def _table(name: str, integers: str, texts: str) -> Table:
    made: list[Any] = [
        Column("id", Integer, primary_key=True),
        *(Column(c, BigInteger) for c in integers.split()),
        *(Column(c, Text) for c in texts.split()),
    ]
    return Table(name, META, *made)


STUDY = _table("study", "", "name plan fingerprint version secret owner_hash join_hash created")
ITEM = _table("item", "study_id number block", "task control shown truth")
RATER = _table("rater", "study_id number seed", "")
ASSIGNMENT = _table("assignment", "rater_id position item_id repeat_of", "clip_order option_order")
CLAIM = _table("claim", "study_id rater_id serial", "pseudonym token_hash created")
EVENT = _table("event", "rater_id assignment_id serial", "kind uuid body created")
IMPORTED = _table("imported", "study_id", "site uuid answer created")


class Database:
    """Connections to one database.

    Parameters
    ----------
    where : Path or str
        A SQLite file, or the URL of a PostgreSQL database.
    create : bool
        Whether a SQLite file that is not there is made.
    busy : float
        Seconds to wait for another writer before giving up.
    """

    def __init__(self, where: Path | str, create: bool = False, busy: float = 5.0) -> None:
        self.path = where if isinstance(where, Path) else None
        self.engine = sqlite_engine(where, busy) if isinstance(where, Path) else _postgresql(where, busy)
        if self.path is not None and not create and not self.path.exists():
            raise StorageError(f"there is no database at {self.path}; {HINT}")
        if self.path is not None and create and not self.path.exists():
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch(mode=0o600)
            except OSError as error:
                raise StorageError(f"the database {self.path} can't be made: {error.strerror}") from None
        with self.write() as connection:
            migrate(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Return a transaction that is on disk when the block ends; on any error nothing of it is.

        Raises
        ------
        StorageError
            Locked, full, gone, damaged, or out of reach. An `IntegrityError` is left to the caller.
        """
        with self._told(), self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Return one consistent view for reading."""
        with self._told(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise StorageError(f"the study's database can't be used now: {_reason(error)}") from None
        except SQLAlchemyError as error:
            raise StorageError(f"the study's database can't be used now: {type(error).__name__}") from None


def _reason(error: DBAPIError) -> str:
    """Return the first line of what the driver says, without the statement and its values."""
    return str(error.orig).strip().splitlines()[0][:200] if str(error.orig).strip() else type(error.orig).__name__


def _postgresql(url: str, busy: float) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StudyError("database: not a URL of the form postgresql://user@host/name") from None
    if parsed.get_backend_name() != "postgresql":
        raise StudyError(
            f"database: {parsed.get_backend_name()!r} is not supported; allowed: a SQLite file (no URL), postgresql://user@host/name"
        )
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtra("psycopg", "postgresql", "a study on PostgreSQL") from None
    options = {
        "connect_timeout": max(2, int(busy)),
        "options": f"-c lock_timeout={int(busy * 1000)} -c synchronous_commit=on",
    }
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args=options,
        isolation_level="READ COMMITTED",
    )


def database_of(folder: Path, url: str | None = None, create: bool = False, busy: float = 5.0) -> Database:
    """Return the database of a study: by URL, else the file in its folder where there is one, else by the environment's
    URL.

    A study whose file lies in its folder is not looked for on the environment's server, where it never was.
    """
    if url is None and not (folder / FILE).exists():
        url = os.environ.get(URL)
    return Database(url or folder / FILE, create=create, busy=busy)


__all__ = [
    "ASSIGNMENT",
    "CLAIM",
    "EVENT",
    "IMPORTED",
    "ITEM",
    "RATER",
    "STUDY",
    "Database",
    "IntegrityError",
    "database_of",
]
