"""One rater's session: where it stands, what the page shows, and what becomes of what the page sends.

All of it follows from the rows added so far.
"""

from __future__ import annotations

import json
import re
import unicodedata
from statistics import median
from typing import Any

from sqlalchemy import Connection, insert, select

from and_core.errors import AnswerConflict, AnswerRefused
from and_core.study.assign import TRAINING
from and_core.study.database import ASSIGNMENT, EVENT, IntegrityError
from and_core.study.study import Place, Study

QUESTIONS = {
    "write": "What do these clips have in common? Write what you hear in all or most of them.",
    "intruder": "Which clip does not belong with the others?",
    "present": "Is what is described to be heard in each clip?",
    "choose": "Which description fits these clips best?",
    "fit": "Does this description accurately describe most of these clips?",
    "captions": "Does each caption describe its clip?",
}
NOTHING = {
    "write": "nothing_shared",
    "intruder": "cant_tell",
    "choose": "none",
    "fit": "cant_tell",
}  # the answer that is none
ANSWER, UNDO = "answer", "undo"
KINDS = ("consent", "volume", ANSWER, UNDO, "flag", "pause", "resume")
FAULTS = ("caption", "description", "audio")
LONGEST = 2_000  # characters of a text
FEWEST_BEEPS, MOST_BEEPS = 2, 12  # too many for guessing
SLACK = 0.25  # seconds by which a player's clock may be off
OWN_PACE = 3  # answers from which a rater's own pace is known
THINKING = 15.0  # seconds an item, beside listening
MAX_NUMBER = 10**9
UUID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Session:
    """What one rater has done and is to do next."""

    def __init__(self, study: Study, place: Place) -> None:
        self.study, self.place = study, place
        with study.database.read() as connection:
            self._load(connection)

    def _load(self, connection: Connection) -> None:
        query = select(ASSIGNMENT).where(ASSIGNMENT.c.rater_id == self.place.id).order_by(ASSIGNMENT.c.position)
        self.slots = list(connection.execute(query).all())
        self.events = list(
            connection.execute(select(EVENT).where(EVENT.c.rater_id == self.place.id).order_by(EVENT.c.id)).all()
        )
        self.last: dict[int, Any] = {
            e.assignment_id: e for e in self.events if e.kind in (ANSWER, UNDO)
        }  # by serial, as the database's constraint keeps them

    def answered(self, position: int) -> bool:
        """Return whether the item at a position has an answer that was not taken back."""
        event = self.last.get(self.slots[position].id)
        return event is not None and event.kind == ANSWER

    @property
    def position(self) -> int:
        """First position without an answer; the number of items where all have one."""
        return next((p for p in range(len(self.slots)) if not self.answered(p)), len(self.slots))

    @property
    def stage(self) -> str:
        """``consent``, ``volume``, ``item`` or ``done``."""
        if not any(e.kind == "consent" for e in self.events):
            return "consent"
        if not any(e.kind == "volume" and json.loads(e.body)["right"] for e in self.events):
            return "volume"
        return "item" if self.position < len(self.slots) else "done"

    def beep_count(self) -> int:
        """Return beeps of the volume step, another number after each try."""
        tries = sum(e.kind == "volume" for e in self.events)
        return FEWEST_BEEPS + int(self.study.opaque("beeps", self.place.id, tries), 16) % (
            MOST_BEEPS - FEWEST_BEEPS + 1
        )

    # -- what the page shows -------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything that the rater's page needs, and nothing that tells method, neuron, label or activation."""
        stage, config = self.stage, self.study.config
        state: dict[str, Any] = {
            "title": config.title,
            "mark": self.study.mark,
            "pseudonym": self.place.pseudonym,
            "stage": stage,
            "position": self.position,
            "total": len(self.slots),
            "listen": config.listen,
            "longest": LONGEST,
            "place": self.study.opaque("place", self.place.id),
        }
        if stage == "consent":
            state["consent"] = config.consent
        elif stage == "volume":
            state["beeps"] = self.study.opaque("volume", self.place.id, sum(e.kind == "volume" for e in self.events))
        elif stage == "item":
            state["item"] = self._item(self.position)
            state["seconds_left"] = self._seconds_left()
        if stage in ("item", "done"):
            before = self._undoable()
            state |= {
                "can_undo": before is not None,
                "undo_serial": None if before is None else self._serial(self.slots[before].id),
            }
        return state

    def _seconds_left(self) -> int:
        """Return how long the rest will take: by the median of this rater's own answers; before the first
        :data:`OWN_PACE`, by how long the clips are and :data:`THINKING` an item."""
        rest = [slot for p, slot in enumerate(self.slots) if not self.answered(p)]
        spent = [json.loads(e.body)["ms"] / 1000 for e in self.last.values() if e.kind == ANSWER]
        if len(spent) >= OWN_PACE:
            return round(median(spent) * len(rest))
        clips = (self.study.items[slot.item_id]["shown"]["clips"] for slot in rest)
        return round(sum(THINKING + sum(clip["seconds"] for clip in of_item) for of_item in clips))

    def _item(self, position: int) -> dict[str, Any]:
        slot = self.slots[position]
        item = self.study.items[slot.item_id]
        shown, task = item["shown"], item["task"]
        clips = []
        for place, index in enumerate(json.loads(slot.clip_order)):
            clip = shown["clips"][index]
            one = {"id": self.clip_id(slot.id, index), "seconds": clip["seconds"]}
            if "picture" in clip:
                one["picture"] = self.clip_id(slot.id, index, "picture")
            if shown["captions"]:
                one["caption"] = shown["captions"][index]
            clips.append(one | {"number": place + 1, "broken": index in self._broken(slot)})
        options = [
            {"id": self.study.opaque("option", slot.id, i), "text": shown["options"][i]}
            for i in json.loads(slot.option_order)
        ]
        return {
            "position": position,
            "serial": self._serial(slot.id),
            "task": task,
            "question": QUESTIONS[task],
            "description": shown["description"],
            "options": options,
            "clips": clips,
            "training": (item["control"] or "").startswith(TRAINING),
            "nothing": NOTHING.get(task),
        }

    def clip_id(self, assignment: int, index: int, what: str = "sound") -> str:
        """Return the address of a clip within one item of one rater.

        The same clip has another one wherever else it comes.
        """
        return self.study.opaque(what, assignment, index)

    def file_of(self, opaque: str) -> str | None:
        """Return file behind an address of this rater; None for anything else.

        Only the item at hand and the one before it are open.
        """
        here = self.position
        for slot in self.slots[max(0, here - 1) : here + 1]:
            for index, clip in enumerate(self.study.items[slot.item_id]["shown"]["clips"]):
                if opaque == self.clip_id(slot.id, index):
                    return str(clip["sound"])
                if "picture" in clip and opaque == self.clip_id(slot.id, index, "picture"):
                    return str(clip["picture"])
        return None

    def _serial(self, assignment: int) -> int:
        event = self.last.get(assignment)
        return 0 if event is None else event.serial + 1

    def _undoable(self) -> int | None:
        """Return the position that `undo` takes back: the one before the item at hand, training aside."""
        before = self.position - 1
        return (
            before
            if before >= 0 and not (self.study.items[self.slots[before].item_id]["control"] or "").startswith(TRAINING)
            else None
        )

    # -- what the page sends -------------------------------------------------------------------------------------------

    def record(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Add a row for what the page sent; when this returns, it is on disk. The same thing sent twice is one row.

        Parameters
        ----------
        sent : dict
            ``kind``, ``uuid``, and what the kind asks for.

        Returns
        -------
        dict
            ``saved``, for a training item ``feedback``.

        Raises
        ------
        AnswerRefused
            It is no answer to the item.
        AnswerConflict
            The item has been answered or taken back meanwhile.
        StorageError
            The database can't be written; nothing was.
        """
        if not isinstance(sent, dict):
            raise AnswerRefused("an answer must be an object")
        kind, uuid = sent.get("kind"), sent.get("uuid")
        if kind not in KINDS:
            raise AnswerRefused(f"kind={str(kind)[:40]!r} is not known; allowed: {', '.join(KINDS)}")
        if not isinstance(uuid, str) or not UUID.fullmatch(uuid):
            raise AnswerRefused("uuid must be 8 to 64 letters, digits, '_' and '-'")
        again = self._sent_before(uuid)
        if again is not None:
            return again
        assignment, serial, body = self._checked(kind, sent)
        row = {
            "rater_id": self.place.id,
            "assignment_id": assignment,
            "kind": kind,
            "serial": serial,
            "uuid": uuid,
            "body": json.dumps(body, sort_keys=True),
        }
        try:
            with self.study.database.write() as connection:
                connection.execute(insert(EVENT).values(**row, created=self.study.now().isoformat()))
        except IntegrityError:
            with self.study.database.read() as connection:
                self._load(connection)
            again = self._sent_before(uuid)  # the same thing, sent twice at one moment
            if again is not None:
                return again
            raise AnswerConflict(
                "this was answered meanwhile, in another tab or on another machine; here is where you are now"
            ) from None
        return {"saved": True, **self._feedback(kind, assignment, body)}

    def _sent_before(self, uuid: str) -> dict[str, Any] | None:
        event = next((e for e in self.events if e.uuid == uuid), None)
        return (
            None
            if event is None
            else {"saved": True, **self._feedback(event.kind, event.assignment_id, json.loads(event.body))}
        )

    def _checked(self, kind: str, sent: dict[str, Any]) -> tuple[int | None, int | None, dict[str, Any]]:
        stage = self.stage
        if kind == "consent":
            if sent.get("agreed") is not True:
                raise AnswerRefused("agreed must be true")
            return None, None, {"agreed": True}
        if kind == "volume":
            if stage != "volume":
                raise AnswerConflict("the volume has been set already")
            count = _whole(sent.get("count"), "count", 0, 99)
            return None, None, {"count": count, "right": count == self.beep_count()}
        if stage in ("consent", "volume"):
            raise AnswerRefused(f"the step {stage!r} comes first")
        if kind in ("pause", "resume"):
            return None, None, {}
        position = _whole(sent.get("position"), "position", 0, len(self.slots) - 1)
        slot = self.slots[position]
        if kind == "flag":
            return self._flag(position, sent)
        serial = _whole(sent.get("serial"), "serial", 0, MAX_NUMBER)
        wanted = self._undoable() if kind == UNDO else self.position
        if position != wanted or serial != self._serial(slot.id):
            raise AnswerConflict(
                "this was answered meanwhile, in another tab or on another machine; here is where you are now"
            )
        if kind == UNDO:
            return slot.id, serial, {}
        item = self.study.items[slot.item_id]
        plays, heard = self._heard(slot, item, sent)
        response = self._response(slot, item, sent.get("response"))
        ms = _whole(sent.get("ms"), "ms", 0, MAX_NUMBER)
        return slot.id, serial, {"response": response, "ms": ms, "plays": plays, "heard": heard}

    def _flag(self, position: int, sent: dict[str, Any]) -> tuple[int, None, dict[str, Any]]:
        if position > self.position:
            raise AnswerRefused(f"position={position} has not been shown yet")
        slot = self.slots[position]
        fault = sent.get("fault")
        if fault not in FAULTS:
            raise AnswerRefused(f"fault={str(fault)[:40]!r} is not known; allowed: {', '.join(FAULTS)}")
        shown = self.study.items[slot.item_id]["shown"]
        if (fault == "caption" and not shown["captions"]) or (
            fault == "description" and not (shown["description"] or shown["options"])
        ):
            raise AnswerRefused(f"fault={fault!r}: this item shows no {fault}")
        clip = sent.get("clip")
        index = None if clip is None else self._index(slot, clip)
        note = sent.get("note") or ""
        if not isinstance(note, str) or len(note) > LONGEST:
            raise AnswerRefused(f"note must be a text of at most {LONGEST} characters")
        return slot.id, None, {"fault": fault, "clip": index, "note": _text(note)}

    def _index(self, slot: Any, opaque: object) -> int:
        count = len(self.study.items[slot.item_id]["shown"]["clips"])
        index = next((i for i in range(count) if opaque == self.clip_id(slot.id, i)), None)
        if index is None:
            raise AnswerRefused("a clip is named that is not of this item")
        return index

    def _broken(self, slot: Any) -> set[int]:
        """Return clips of an item that this rater reported as broken: they can't be listened to."""
        flags = [json.loads(e.body) for e in self.events if e.kind == "flag" and e.assignment_id == slot.id]
        return {body["clip"] for body in flags if body["fault"] == "audio" and body["clip"] is not None}

    def _heard(self, slot: Any, item: dict[str, Any], sent: dict[str, Any]) -> tuple[list[int], list[float]]:
        """Return plays and seconds of each clip, in the item's own order.

        Refused where a clip was not heard that is not reported as broken.
        """
        plays, heard = sent.get("plays"), sent.get("heard")
        if not isinstance(plays, dict) or not isinstance(heard, dict):
            raise AnswerRefused("plays and heard must say how often and how long each clip was played")
        counts, seconds, broken = [], [], self._broken(slot)
        for index, clip in enumerate(item["shown"]["clips"]):
            name = self.clip_id(slot.id, index)
            counts.append(_whole(plays.get(name, 0), "plays", 0, MAX_NUMBER))
            long = heard.get(name, 0)
            if isinstance(long, bool) or not isinstance(long, int | float) or not 0 <= long <= MAX_NUMBER:
                raise AnswerRefused(f"heard={str(long)[:40]!r} is no number of seconds")
            seconds.append(round(float(long), 3))
            if index in broken:
                continue
            if counts[-1] == 0 or long < self.study.config.listen * clip["seconds"] - SLACK:
                raise AnswerRefused("listen to every clip before you answer")
        return counts, seconds

    def _response(self, slot: Any, item: dict[str, Any], response: object) -> Any:
        """Return the answer in the item's own order, whatever order the rater saw."""
        task = item["task"]
        if response is not None and response == NOTHING.get(task):
            return response
        if task == "write":
            text = _text(response) if isinstance(response, str) else ""
            if not is_text(text) or len(text) > LONGEST:
                raise AnswerRefused(
                    f"write a word or more, at most {LONGEST} characters, or say that they share nothing"
                )
            return text
        if task == "fit":
            return _whole(response, "response", 1, 5)
        if task == "intruder":
            return self._index(slot, response)
        if task == "choose":
            options = range(len(item["shown"]["options"]))
            option = next((i for i in options if response == self.study.opaque("option", slot.id, i)), None)
            if option is None:
                raise AnswerRefused("a description is named that is not of this item")
            return option
        clips = range(len(item["shown"]["clips"]))
        names = [self.clip_id(slot.id, i) for i in clips]
        if (
            not isinstance(response, dict)
            or set(response) != set(names)
            or not all(isinstance(v, bool) for v in response.values())
        ):
            raise AnswerRefused("say yes or no for every clip")
        return [response[name] for name in names]

    # -- training ------------------------------------------------------------------------------------------------------

    def _feedback(self, kind: str, assignment: int | None, body: dict[str, Any]) -> dict[str, Any]:
        """Return what the page is told beside `saved`: whether the beeps were counted right, and what a good answer to
        a training item is."""
        if kind == "volume":
            return {"right": body["right"]}
        slot = next((s for s in self.slots if s.id == assignment), None)
        control = None if slot is None else self.study.items[slot.item_id]["control"]
        if slot is None or kind != ANSWER or not (control or "").startswith(TRAINING):
            return {}
        why = (
            "the description is the name of what these clips are"
            if control == f"{TRAINING}known"
            else "the description is of other clips"
        )
        return {
            "feedback": {
                "expected": self.study.items[slot.item_id]["truth"]["expected"],
                "given": body["response"],
                "why": why,
            }
        }


def _text(text: str) -> str:
    """Return one line of text that every database and file can hold: half characters and control characters are left
    out, and nothing else.

    Joiners, soft hyphens and signs that this Python does not know yet are part of how people write.
    """
    whole = text.encode("utf-8", "ignore").decode()
    return re.sub(
        r"[ \t\n\r\v\f\x85\u2028\u2029]+",
        " ",
        "".join(c if c.isspace() or unicodedata.category(c) != "Cc" else " " for c in whole),
    ).strip()


def is_text(text: str) -> bool:
    """Return whether a text says something: two characters that can be seen, or one that no English word is written
    with."""
    seen = [c for c in text if unicodedata.category(c)[0] not in "ZM" and unicodedata.category(c) not in ("Cc", "Cf")]
    return len(seen) >= 2 or any(not c.isascii() for c in seen)


def _whole(value: object, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise AnswerRefused(f"{name}={str(value)[:40]!r} must be a whole number from {low} to {high}")
    return value
