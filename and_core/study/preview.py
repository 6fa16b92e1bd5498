"""A look at a study as a rater has it, without taking a place: the plan in a database of its own, thrown away after."""

from __future__ import annotations

import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import insert, select

from and_core.errors import MissingExtra, StudyError
from and_core.study.database import ASSIGNMENT, FILE, ITEM, RATER, STUDY, Database
from and_core.study.study import Study
from and_core.web import told_hosts

PSEUDONYM = "preview"
HOST = "127.0.0.1"


class Preview(Study):
    """A study whose answers go nowhere."""

    @property
    def mark(self) -> str:
        """What stands beside everything that is shown of it."""
        return "preview, nothing is kept"


@dataclass
class Served:
    """A preview that this process serves.

    Attributes
    ----------
    link : str
        The rater's address, on this machine alone.
    """

    link: str
    _server: Any
    _folder: tempfile.TemporaryDirectory[str]

    def close(self) -> None:
        """Stop serving, and throw away what was answered."""
        self._server.should_exit = True
        self._folder.cleanup()


def preview_of(study: Study, folder: Path) -> Preview:
    """Copy the plan of a study, without its raters and answers, to a database in `folder`."""
    copied = Database(folder / FILE, create=True)
    raters = select(RATER.c.id).where(RATER.c.study_id == study.id)
    queries = {
        STUDY: select(STUDY).where(STUDY.c.id == study.id),
        ITEM: select(ITEM).where(ITEM.c.study_id == study.id),
        RATER: select(RATER).where(RATER.c.study_id == study.id),
        ASSIGNMENT: select(ASSIGNMENT).where(ASSIGNMENT.c.rater_id.in_(raters)),
    }
    with study.database.read() as connection:
        rows = {table: connection.execute(query).mappings().all() for table, query in queries.items()}
    with copied.write() as connection:
        for table, of_table in rows.items():
            connection.execute(insert(table), [dict(row) for row in of_table])
    return Preview(study.folder, copied, study.now)


def serve_preview(study: Study) -> Served:
    """Serve a preview of a study on a free port of this machine, in a thread of this process.

    Raises
    ------
    MissingExtra
        The extra `study` is not installed.
    StudyError
        No port of this machine can be listened on.
    """
    try:
        import uvicorn
    except ImportError:
        raise MissingExtra("uvicorn", "study", "serving a study") from None
    from and_core.study.serve import make_app

    kept = tempfile.TemporaryDirectory(prefix="and-preview-", ignore_cleanup_errors=True)
    preview = preview_of(study, Path(kept.name))
    listening = socket.socket()
    try:
        listening.bind((HOST, 0))
    except OSError as error:
        raise StudyError(f"host={HOST!r}: no port can be listened on: {error.strerror}") from None
    app = make_app(preview, told_hosts(HOST))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False))
    Thread(target=server.run, args=([listening],), daemon=True, name=f"preview of {study.name}").start()
    link = f"http://{HOST}:{listening.getsockname()[1]}/r/{preview.invite(PSEUDONYM)}"
    return Served(link, server, kept)
