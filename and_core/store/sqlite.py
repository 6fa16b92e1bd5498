"""Databases of one file: SQLite in write-ahead mode, each write on disk before it returns."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool


def sqlite_engine(path: Path, busy: float = 5.0) -> Engine:
    """Return connections to a file that is there.

    Parameters
    ----------
    path : Path
        The file. One that has gone is not made anew, and each transaction opens it by its name: a row never goes to a
        file that was unlinked.
    busy : float
        Seconds to wait for another writer before giving up.
    """

    def connect() -> sqlite3.Connection:
        made = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=busy, isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            made.execute(f"PRAGMA {pragma}").close()
        return made

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    return engine
