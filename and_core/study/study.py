"""A study: made once with its whole plan, opened by its owner, its raters' server and its results alike."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select

from and_core import __version__
from and_core.errors import ANDError, AnswerConflict, StudyError
from and_core.records import Skipped
from and_core.store.dissection import Dissection, open_dissection
from and_core.store.files import cache_root, safe_name
from and_core.study.assign import assign, rater_seed
from and_core.study.database import (
    ASSIGNMENT,
    CLAIM,
    FILE,
    HINT,
    ITEM,
    RATER,
    STUDY,
    Database,
    IntegrityError,
    database_of,
)
from and_core.study.draw import Item, draw_items
from and_core.study.plan import StudyConfig, make_plan
from and_core.study.sounds import keep_picture, keep_sound

FOLDER = "studies"  # below the cache
SOUNDS = "sounds"
ATTEMPTS = 50  # at a free place, while others take them too
PSEUDONYM = re.compile(r"[\w][\w .-]{0,38}[\w]|\w")
GOES_ON = "The study goes on with the sounds and texts that it was drawn with, and its answers are of those."
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Time of an answer; only ever noted, never what orders anything."""
    return datetime.now(UTC)


def digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True)
class Created:
    """A new study with the two tokens that are shown once and kept only as hashes."""

    study: Study
    owner_token: str
    join_token: str
    skipped: list[Skipped]


@dataclass(frozen=True)
class Place:
    """A rater's place in a study."""

    id: int
    number: int
    pseudonym: str


def list_studies(root: Path | None = None) -> list[str]:
    """Return names of the studies in the cache, sorted."""
    folder = (root or cache_root()) / FOLDER
    return (
        sorted(path.name for path in folder.iterdir() if (path / SOUNDS).is_dir() and not path.name.startswith("."))
        if folder.is_dir()
        else []
    )


def create_study(
    config: StudyConfig, root: Path | None = None, database: str | None = None, now: Clock = utc_now,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Created:  # fmt: skip
    """Draw a study and store its whole plan in one transaction: items, every rater's list, seeds, sounds at one
    loudness.

    Parameters
    ----------
    config : StudyConfig
    root : Path or None
        The cache with the dissections; the study goes below it.
    database : str or None
        URL of a PostgreSQL database; None: the environment's, else SQLite in the study's folder.

    Raises
    ------
    StudyError
        There is a study of this name already, or nothing to rate.
    """
    root = root or cache_root()
    folder = root / FOLDER / safe_name(config.name, "study")
    dissections = [open_dissection(name, root=root) for name in config.dissections]
    items, skipped = draw_items(config, dissections, lambda done, total: progress("Drawing items", done, total))
    lists = assign(items, config.raters, config.raters_per_item, config.repeats, config.seed)
    opened = database_of(folder, database, create=True)
    with opened.read() as connection:
        if connection.execute(select(STUDY.c.id).where(STUDY.c.name == config.name)).first():
            raise StudyError(f"there is a study {config.name!r} already; its plan can't change: choose another name")
    by_name = {d.name: d for d in dissections}
    kept = _keep_sounds(
        config, items, by_name, folder / SOUNDS, lambda done, total: progress("Levelling sounds", done, total)
    )
    rows = [_item_row(i, item, kept, config.spectrograms) for i, item in enumerate(items)]
    plan = {
        "config": config.model_dump(mode="json"),
        "skipped": [s.model_dump() for s in skipped],
        "dissections": {
            d.name: {"fingerprint": fingerprint_of(d), "stages": keys_of(d), "provenance": d.provenance}
            for d in dissections
        },
    }
    text = json.dumps(plan, sort_keys=True)
    mark = hashlib.sha256(
        (
            text + json.dumps(rows, sort_keys=True) + json.dumps([[vars(s) for s in of_rater] for of_rater in lists])
        ).encode()
    ).hexdigest()
    owner, join = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    try:
        with opened.write() as connection:
            stored: Any = connection.execute(
                insert(STUDY).values(
                    name=config.name,
                    plan=text,
                    fingerprint=mark,
                    version=__version__,
                    secret=secrets.token_hex(32),
                    owner_hash=digest(owner),
                    join_hash=digest(join),
                    created=now().isoformat(),
                )
            )
            study = stored.inserted_primary_key[0]
            connection.execute(insert(ITEM), [{"study_id": study, **row} for row in rows])
            connection.execute(
                insert(RATER),
                [{"study_id": study, "number": n, "seed": rater_seed(config.seed, n)} for n in range(len(lists))],
            )
            item_ids = _numbered(connection, ITEM, study)
            rater_ids = _numbered(connection, RATER, study)
            connection.execute(insert(ASSIGNMENT), [
                {"rater_id": rater_ids[n], "position": p, "item_id": item_ids[s.item], "repeat_of": s.repeat_of,
                 "clip_order": json.dumps(s.clip_order), "option_order": json.dumps(s.option_order)}
                for n, of_rater in enumerate(lists) for p, s in enumerate(of_rater)
            ])  # fmt: skip
    except IntegrityError:
        raise StudyError(
            f"there is a study {config.name!r} already; its plan can't change: choose another name"
        ) from None
    return Created(Study(folder, opened, now), owner, join, skipped)


def fingerprint_of(d: Dissection) -> str:
    """Return one hash of all stages of a dissection as they stand."""
    return hashlib.sha256(json.dumps(keys_of(d)).encode()).hexdigest()[:16]


def keys_of(d: Dissection) -> dict[str, str]:
    """Return the key of every stage of a dissection as it stands."""
    return {name: stage.key for name, stage in sorted(d.manifest.stages.items())}


def _numbered(connection: Any, table: Any, study: int) -> dict[int, int]:
    return {
        row.number: row.id
        for row in connection.execute(select(table.c.number, table.c.id).where(table.c.study_id == study))
    }


def _keep_sounds(
    config: StudyConfig,
    items: list[Item],
    by_name: dict[str, Dissection],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[tuple[str, int], dict[str, Any]]:
    """Return each clip once, whatever number of items it stands in."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = sorted({(item.dissection, clip) for item in items for clip in item.clips})
    kept = {}
    for done, (name, clip) in enumerate(wanted, 1):
        sound, seconds = keep_sound(folder, by_name[name].audio(clip), config.loudness)
        kept[name, clip] = {"sound": sound, "seconds": round(seconds, 4), "name": by_name[name].clips[clip].name}
        if config.spectrograms:
            kept[name, clip]["picture"] = keep_picture(folder, by_name[name].spectrogram(clip))
        progress(done, len(wanted))
    return kept


def _item_row(number: int, item: Item, kept: dict[tuple[str, int], dict[str, Any]], pictures: bool) -> dict[str, Any]:
    clips = [kept[item.dissection, clip] for clip in item.clips]
    shown = {
        "clips": [{k: clip[k] for k in ("sound", "seconds", *(("picture",) if pictures else ()))} for clip in clips],
        "description": item.description, "options": item.options, "captions": item.captions,
    }  # fmt: skip
    truth = {**item.truth, "clips": item.clips, "clip_names": [clip["name"] for clip in clips]}
    return {
        "number": number,
        "task": item.task,
        "control": item.control,
        "block": item.truth.get("block"),
        "shown": json.dumps(shown, sort_keys=True),
        "truth": json.dumps(truth, sort_keys=True),
    }


def open_study(
    name: str, root: Path | None = None, database: str | None = None, busy: float = 5.0, now: Clock = utc_now
) -> Study:
    """Return a study by name; its database is brought up to date.

    Raises
    ------
    StudyError
        No such study.
    """
    folder = (root or cache_root()) / FOLDER / safe_name(name, "study")
    if not (folder / SOUNDS).is_dir():
        raise StudyError(f"there is no study {name!r}; there are: {', '.join(list_studies(root)) or 'none'}")
    return Study(folder, database_of(folder, database, busy=busy), now)


class Study:
    """One study on disk.

    Parameters
    ----------
    folder : Path
        Where its sounds are.
    database : Database
    now : callable
        The clock whose time is noted with each row.
    """

    def __init__(self, folder: Path, database: Database, now: Clock = utc_now) -> None:
        self.folder, self.database, self.now = folder, database, now
        self.name = folder.name
        with database.read() as connection:
            row = connection.execute(select(STUDY).where(STUDY.c.name == self.name)).first()
        if row is None:
            where = FILE if database.path is not None else "the database"
            raise StudyError(f"{where} holds no study {self.name!r}; {HINT}")
        self.id, self.fingerprint, self.version, self.created = (
            int(row.id),
            str(row.fingerprint),
            str(row.version),
            str(row.created),
        )
        self._secret, self._owner, self._join = row.secret.encode(), row.owner_hash, row.join_hash
        self.plan: dict[str, Any] = json.loads(row.plan)
        self.config: StudyConfig = make_plan(self.plan["config"])

    @property
    def sounds(self) -> Path:
        """Folder of the sounds."""
        return self.folder / SOUNDS

    @property
    def skipped(self) -> list[Skipped]:
        """What could not be asked, and why."""
        return [Skipped(**row) for row in self.plan["skipped"]]

    def changed(self) -> list[str]:
        """Say of each dissection whether it is still the one that the study was drawn from.

        A sentence each where it is not.
        """
        names = []
        for name, about in self.plan["dissections"].items():
            try:
                d = open_dissection(name, root=self.folder.parent.parent)
            except ANDError:
                names.append(
                    f"The dissection {name!r} that this study was drawn from is no longer there, or can't be read. "
                    f"{GOES_ON}"
                )
                continue
            drawn, now = (
                about.get("stages"),
                keys_of(d),
            )  # what was added since is no change; studies of before have the hash of all stages alone
            same = (
                fingerprint_of(d) == about["fingerprint"]
                if drawn is None
                else all(now.get(stage) == key for stage, key in drawn.items())
            )
            if not same:
                names.append(
                    f"The dissection {name!r} has changed since this study was drawn: its neurons, clips and texts may "
                    f"be others now. {GOES_ON}"
                )
        return names

    @property
    def mark(self) -> str | None:
        """What stands beside everything that is shown of a study which is no study of people, or not yet."""
        return "simulated raters" if self.config.simulated is not None else "pilot" if self.config.pilot else None

    @cached_property
    def items(self) -> dict[int, dict[str, Any]]:
        """Every item by its row in the database: number, task, control, shown, truth."""
        with self.database.read() as connection:
            rows = connection.execute(select(ITEM).where(ITEM.c.study_id == self.id).order_by(ITEM.c.number)).all()
        return {
            row.id: {
                "number": row.number,
                "task": row.task,
                "control": row.control,
                "shown": json.loads(row.shown),
                "truth": json.loads(row.truth),
            }
            for row in rows
        }

    def owned_by(self, token: str) -> bool:
        """Return whether a token is the owner's."""
        return hmac.compare_digest(digest(token), self._owner)

    def joined_by(self, token: str) -> bool:
        """Return whether a token is the common link's, and places are taken that way."""
        return self.config.join and hmac.compare_digest(digest(token), self._join)

    def opaque(self, *parts: object) -> str:
        """Return an id that tells nothing: keyed hash of what it stands for."""
        return hmac.new(self._secret, "/".join(map(str, parts)).encode(), hashlib.sha256).hexdigest()[:24]

    # -- places ------------------------------------------------------------------------------------------------------

    def invite(self, pseudonym: str) -> str:
        """Take the next free place for a pseudonym; the token of its link, which is shown once. A second time: a new
        link, the old one ends.

        Raises
        ------
        StudyError
            No place is free, or the pseudonym is not allowed.
        """
        return self._claim(pseudonym, renew=True)

    def take_place(self, pseudonym: str) -> str:
        """Invite, as :meth:`invite` does, a rater who comes by the common link:
        a pseudonym that is taken is refused."""
        return self._claim(pseudonym, renew=False)

    def _claim(self, pseudonym: str, renew: bool) -> str:
        pseudonym = " ".join(pseudonym.split())
        if not PSEUDONYM.fullmatch(pseudonym):
            raise StudyError(
                f"pseudonym={pseudonym[:40]!r} is not allowed; use 1 to 40 letters, digits, spaces, '.', '_' and '-'"
            )
        for _ in range(ATTEMPTS):
            try:
                return self._claimed(pseudonym, renew)
            except IntegrityError:  # two took the same place at the same moment: the next free one
                continue
        raise AnswerConflict("many are joining at this moment; try again")

    def _claimed(self, pseudonym: str, renew: bool) -> str:
        token = secrets.token_urlsafe(24)
        with self.database.write() as connection:
            claims = connection.execute(select(CLAIM).where(CLAIM.c.study_id == self.id)).all()
            own = [row for row in claims if row.pseudonym.casefold() == pseudonym.casefold()]
            if own and not renew:
                raise StudyError(
                    f"the pseudonym {pseudonym!r} is taken; choose another, or use the link you were given"
                )
            if own:
                rater, serial, pseudonym = own[0].rater_id, 1 + max(row.serial for row in own), own[0].pseudonym
            else:
                taken = {row.rater_id for row in claims}
                places = connection.execute(
                    select(RATER.c.id).where(RATER.c.study_id == self.id).order_by(RATER.c.number)
                ).scalars()
                rater, serial = next((place for place in places if place not in taken), None), 0
            if rater is None:
                raise StudyError(f"all {self.config.raters} places of this study are taken")
            values = {
                "study_id": self.id,
                "rater_id": rater,
                "serial": serial,
                "pseudonym": pseudonym,
                "token_hash": digest(token),
            }
            connection.execute(insert(CLAIM).values(**values, created=self.now().isoformat()))
        return token

    def place(self, token: str) -> Place | None:
        """Return whose link this is; None for a token that is nobody's, or that a newer link has replaced."""
        with self.database.read() as connection:
            row = connection.execute(
                select(CLAIM.c.rater_id, CLAIM.c.serial, CLAIM.c.pseudonym, RATER.c.number)
                .join(RATER, RATER.c.id == CLAIM.c.rater_id)
                .where(CLAIM.c.token_hash == digest(token), CLAIM.c.study_id == self.id)
            ).first()
            if row is None:
                return None
            newest = connection.execute(
                select(func.max(CLAIM.c.serial)).where(CLAIM.c.rater_id == row.rater_id)
            ).scalar_one()
        return Place(row.rater_id, row.number, row.pseudonym) if row.serial == newest else None
