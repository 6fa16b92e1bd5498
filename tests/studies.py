"""What the tests of human studies share: databases, small studies, and raters who answer as the page does."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from and_core.study.plan import StudyConfig, make_plan
from and_core.study.session import Session
from and_core.study.study import Created, Place, Study, create_study

POSTGRES = "AND_TEST_POSTGRES"  # URL of a server for tests; .ci/run starts one


def small_plan(**changes: Any) -> StudyConfig:
    raw = {
        "name": "study",
        "dissections": ["small"],
        "neurons": {"per_block": 2, "kinds": ["output"]},
        "methods": ["TAB", "DB", "SUM"],
        "clips": 3,
        "present_clips": 4,
        "raters": 6,
        "controls": {"mismatched": 2, "known": 2, "attention": 1, "training": 2},
        "listen": 0.8,
        "tasks": ["write", "intruder", "present", "choose", "fit", "captions"],
    }
    return make_plan({**raw, **changes})


def new_database(backend: str, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """URL of an empty database; None for SQLite."""
    if backend == "sqlite":
        return None
    if POSTGRES not in os.environ:
        pytest.skip(f"no PostgreSQL server for tests: {POSTGRES} is not set (.ci/run starts one)")
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    name = f"and_{uuid.uuid4().hex[:12]}"
    url = make_url(os.environ[POSTGRES])
    with create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    made = url.set(database=name).render_as_string(hide_password=False)
    monkeypatch.setenv("AND_STUDY_DATABASE", made)
    return made


def small_study(cache: Path, folder: Path, database: str | None = None, **changes: Any) -> Created:
    """A study on the small dissection, in a cache of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "small").exists():
        (folder / "small").symlink_to(cache / "small")
    return create_study(small_plan(**changes), root=folder, database=database)


def answer(study: Study, state: dict[str, Any], pick: int = 0) -> dict[str, Any]:
    """What the page sends for the item at hand: everything heard, the `pick`-th of what there is to choose."""
    item = state["item"]
    ids = [clip["id"] for clip in item["clips"]]
    options = [option["id"] for option in item["options"]] or [None]
    response: Any = {
        "fit": pick % 5 + 1,
        "write": f"loud sounds {pick}",
        "intruder": ids[pick % len(ids)],
        "choose": options[pick % len(options)],
        "present": {c: (i + pick) % 2 == 0 for i, c in enumerate(ids)},
        "captions": dict.fromkeys(ids, True),
    }[item["task"]]
    return {
        "kind": "answer",
        "uuid": uuid.uuid4().hex,
        "position": item["position"],
        "serial": item["serial"],
        "response": response,
        "ms": 4000,
        "plays": dict.fromkeys(ids, 1),
        "heard": {c["id"]: c["seconds"] for c in item["clips"]},
    }


def begin(study: Study, pseudonym: str) -> tuple[str, Place]:
    """A rater who has agreed and set the volume."""
    token = study.invite(pseudonym)
    place = study.place(token)
    assert place is not None
    Session(study, place).record({"kind": "consent", "uuid": "consent-1", "agreed": True})
    session = Session(study, place)
    session.record({"kind": "volume", "uuid": "volume-1", "count": session.beep_count()})
    return token, place


def items_of(study, task: str, control: str | None = None) -> list[dict]:
    return [i for i in study.items.values() if i["task"] == task and i["control"] == control]
