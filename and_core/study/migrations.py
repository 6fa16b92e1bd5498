"""The database's numbered steps, applied on open and never edited: a step that has shipped stands as it is, a change is
a new one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, inspect, text

from and_core.errors import StorageError

LOCK = 7_316_552  # any number that other programs do not use: two openers of one PostgreSQL database take turns
TABLES = ("study", "item", "rater", "assignment", "claim", "event")


def _run(connection: Connection, statements: str) -> None:
    number = (
        "INTEGER PRIMARY KEY AUTOINCREMENT"
        if connection.dialect.name == "sqlite"
        else "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    )
    for statement in statements.replace("{id}", number).split(";;"):
        if statement.strip():
            connection.execute(text(statement))


def _append_only(connection: Connection, tables: tuple[str, ...]) -> None:
    """Let rows be added alone; changing or deleting one is refused by the database itself."""
    if connection.dialect.name == "sqlite":
        for table in tables:
            for verb in ("UPDATE", "DELETE"):
                refusal = f"SELECT RAISE(ABORT, 'rows of {table} are only ever added')"
                connection.execute(
                    text(f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} BEGIN {refusal}; END")
                )
        return
    for table in tables:
        connection.execute(
            text(
                f"CREATE FUNCTION {table}_only_added() RETURNS trigger AS $$ "
                f"BEGIN RAISE EXCEPTION 'rows of {table} are only ever added'; END $$ LANGUAGE plpgsql"
            )
        )
        connection.execute(
            text(
                f"CREATE TRIGGER {table}_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT "
                f"EXECUTE FUNCTION {table}_only_added()"
            )
        )


def _first(connection: Connection) -> None:
    _run(
        connection,
        """CREATE TABLE study (id {id}, name TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, fingerprint TEXT NOT NULL,
              version TEXT NOT NULL,
             secret TEXT NOT NULL, owner_hash TEXT NOT NULL, join_hash TEXT NOT NULL, created TEXT NOT NULL);;
           CREATE TABLE item (id {id}, study_id BIGINT NOT NULL REFERENCES study(id), number INTEGER NOT NULL,
              task TEXT NOT NULL,
             control TEXT, block INTEGER, shown TEXT NOT NULL, truth TEXT NOT NULL, UNIQUE (study_id, number));;
           CREATE TABLE rater (id {id}, study_id BIGINT NOT NULL REFERENCES study(id), number INTEGER NOT NULL,
              seed BIGINT NOT NULL,
             UNIQUE (study_id, number));;
           CREATE TABLE assignment (id {id}, rater_id BIGINT NOT NULL REFERENCES rater(id), position INTEGER NOT NULL,
             item_id BIGINT NOT NULL REFERENCES item(id), repeat_of INTEGER,
             clip_order TEXT NOT NULL, option_order TEXT NOT NULL, UNIQUE (rater_id, position));;
           CREATE TABLE claim (id {id}, study_id BIGINT NOT NULL REFERENCES study(id),
              rater_id BIGINT NOT NULL REFERENCES rater(id),
             serial INTEGER NOT NULL, pseudonym TEXT NOT NULL, token_hash TEXT NOT NULL UNIQUE, created TEXT NOT NULL,
             UNIQUE (rater_id, serial), UNIQUE (study_id, pseudonym, serial));;
           CREATE TABLE event (id {id}, rater_id BIGINT NOT NULL REFERENCES rater(id),
              assignment_id BIGINT REFERENCES assignment(id), kind TEXT NOT NULL,
             serial INTEGER, uuid TEXT NOT NULL, body TEXT NOT NULL, created TEXT NOT NULL, UNIQUE (rater_id, uuid),
              UNIQUE (assignment_id, serial));;
           CREATE INDEX event_rater ON event (rater_id, id)""",
    )
    _append_only(connection, TABLES)


def _second(connection: Connection) -> None:
    """Add a table for answers that came from other sites."""
    _run(
        connection,
        """CREATE TABLE imported (id {id}, study_id BIGINT NOT NULL REFERENCES study(id), site TEXT NOT NULL,
              uuid TEXT NOT NULL, answer TEXT NOT NULL,
             created TEXT NOT NULL, UNIQUE (study_id, uuid))""",
    )
    _append_only(connection, ("imported",))


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_first, _second)


def migrate(connection: Connection, upto: int | None = None) -> int:
    """Apply what is missing, within the caller's transaction; the database's version afterwards.

    Raises
    ------
    StorageError
        The database was written by a later version of this package.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    connection.execute(text("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, applied TEXT NOT NULL)"))
    done = connection.execute(text("SELECT COALESCE(MAX(number), 0) FROM migration")).scalar_one()
    if done > len(MIGRATIONS):
        raise StorageError(
            f"the database stands at step {done}, this version of the package knows {len(MIGRATIONS)}; use the version "
            "that wrote it"
        )
    for number, step in enumerate(MIGRATIONS[:upto], 1):
        if number > done:
            step(connection)
            connection.execute(
                text("INSERT INTO migration (number, applied) VALUES (:n, :t)"),
                {"n": number, "t": datetime.now(UTC).isoformat()},
            )
    return max(done, len(MIGRATIONS[:upto]))


def columns(connection: Connection) -> dict[str, set[str]]:
    """Return names of the columns of every table, for checks."""
    inspector = inspect(connection)
    return {table: {column["name"] for column in inspector.get_columns(table)} for table in inspector.get_table_names()}
