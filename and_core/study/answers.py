"""The long table of a study, one row an answer: what results are made of, what is exported,
and what other sites send."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import insert, select

from and_core.display import csv_text
from and_core.errors import StudyError
from and_core.store.files import plain_file
from and_core.study.database import ASSIGNMENT, CLAIM, EVENT, IMPORTED, RATER, IntegrityError
from and_core.study.exclude import rows_of
from and_core.study.session import ANSWER, NOTHING, UNDO
from and_core.study.study import Study

DICTIONARY: dict[str, str] = {
    "uuid": "id of the row; the same answer has the same id wherever it is exported",
    "site": "where the row was collected: empty for this study's own database",
    "study": "name of the study",
    "session": "number of the rater's place; one place is one session, however often it was paused",
    "rater": "pseudonym",
    "kind": "answer, or flag (a fault that a rater reported)",
    "item": "number of the item; the same item has the same number for all raters",
    "position": "place of the item in this rater's list, from 0",
    "task": "write, intruder, present, choose, fit, captions",
    "method": "whose description was judged (fit, present); empty elsewhere",
    "dissection": "dissection that the neuron is of",
    "neuron": "layer/unit; empty for a control that is no neuron's",
    "block": "block of the network, from 0; empty where there is none",
    "clips": "JSON: names of the clips in the item's own order; an intruder stands first",
    "clip_order": "JSON: which of them stood at each place on the page",
    "options": "JSON: methods to choose from, in the item's own order",
    "option_order": "JSON: which of them stood at each place on the page",
    "activations": "JSON: activation of the neuron on each clip, in the item's own order",
    "scores": "JSON: automatic scores of the description when the study was drawn",
    "texts": "JSON: what each method says of the neuron (task write)",
    "response": (
        "JSON: fit 1 to 5; write a text; present, captions a list of true and false in the item's own order; choose, "
        "intruder a number in the item's own "
        "order; null where the rater chose the answer that is none"
    ),
    "none": "whether the rater chose the answer that is none: can't tell, none of them, nothing shared",
    "ms": "milliseconds from showing to saving, pauses left out",
    "plays": "JSON: plays of each clip, in the item's own order",
    "seconds_heard": "JSON: seconds of each clip that were played, in the item's own order",
    "seconds": "JSON: length of each clip",
    "control": "mismatched, known, attention; training-... where it came with feedback; empty for an item",
    "expected": "JSON: answers that a control takes for right; for an intruder its number",
    "repeat_of": "position of the same item earlier in this rater's list; empty where it is shown for the first time",
    "live": "false where the rater took the answer back",
    "fault": "for a flag: caption, description or audio, with clip and note in `response`",
    "time": "when the row was added, UTC, by the server's clock",
    "seed": "seed of the rater's orders",
    "version": "version of the package that drew the study",
    "plan": "fingerprint of the study's whole plan",
    "fingerprint": "fingerprint of the dissection",
    "pilot": "whether this is a trial run",
    "simulated": "whether the raters are simulated",
}
INTEGERS = ("session", "item", "position", "block", "repeat_of", "ms")
BOOLEANS = ("none", "live", "pilot", "simulated")
TRUTHS: tuple[tuple[str, str, Any], ...] = (
    ("options", "methods", []),
    ("activations", "activations", []),
    ("scores", "scores", {}),
    ("texts", "texts", {}),
    ("expected", "expected", None),
)
FORMATS = ("csv", "parquet")


def own_answers(study: Study) -> pd.DataFrame:
    """Return every answer and flag in the study's own database, in the order they were added.

    Columns as in :data:`DICTIONARY`.
    """
    with study.database.read() as connection:
        rows = connection.execute(
            select(
                EVENT,
                ASSIGNMENT.c.position,
                ASSIGNMENT.c.item_id,
                ASSIGNMENT.c.repeat_of,
                ASSIGNMENT.c.clip_order,
                ASSIGNMENT.c.option_order,
                RATER.c.number,
                RATER.c.seed,
            )
            .join(ASSIGNMENT, ASSIGNMENT.c.id == EVENT.c.assignment_id)
            .join(RATER, RATER.c.id == EVENT.c.rater_id)
            .where(RATER.c.study_id == study.id)
            .order_by(EVENT.c.id)
        ).all()
        claims = connection.execute(
            select(CLAIM.c.rater_id, CLAIM.c.pseudonym).where(CLAIM.c.study_id == study.id)
        ).all()
    names = {row.rater_id: row.pseudonym for row in claims}
    undone = {(row.assignment_id, row.serial - 1) for row in rows if row.kind == UNDO}
    made = [
        _row(study, row, names[row.rater_id], (row.assignment_id, row.serial) in undone)
        for row in rows
        if row.kind in (ANSWER, "flag")
    ]
    return _typed(pd.DataFrame(made, columns=list(DICTIONARY)))


def _row(study: Study, row: Any, rater: str, undone: bool) -> dict[str, Any]:
    item, body = study.items[row.item_id], json.loads(row.body)
    truth, task = item["truth"], item["task"]
    response = body.get("response") if row.kind == ANSWER else {"clip": body["clip"], "note": body["note"]}
    none = row.kind == ANSWER and task in NOTHING and response == NOTHING[task]
    values = {
        name: json.dumps(value, ensure_ascii=False)
        for name, value in (
            ("clips", truth["clip_names"]),
            ("options", truth.get("methods", [])),
            ("activations", truth.get("activations", [])),
            ("scores", truth.get("scores", {})),
            ("texts", truth.get("texts", {})),
            ("response", None if none else response),
            ("plays", body.get("plays", [])),
            ("seconds_heard", body.get("heard", [])),
            ("seconds", [clip["seconds"] for clip in item["shown"]["clips"]]),
            ("expected", truth.get("expected")),
        )
    }
    return values | {
        "uuid": f"{row.number}:{row.uuid}",
        "site": "",
        "study": study.name,
        "session": row.number,
        "rater": rater,
        "kind": row.kind,
        "item": item["number"],
        "position": row.position,
        "task": task,
        "method": truth.get("method"),
        "dissection": truth["dissection"],
        "neuron": truth["neuron"],
        "block": truth["block"],
        "clip_order": row.clip_order,
        "option_order": row.option_order,
        "none": none,
        "ms": body.get("ms"),
        "control": item["control"],
        "repeat_of": row.repeat_of,
        "live": not undone,
        "fault": body.get("fault"),
        "time": row.created,
        "seed": row.seed,
        "version": study.version,
        "plan": study.fingerprint,
        "fingerprint": study.plan["dissections"][truth["dissection"]]["fingerprint"],
        "pilot": study.config.pilot,
        "simulated": study.config.simulated is not None,
    }


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one type a column, whether it comes from the database, a CSV file or a Parquet file."""
    for name in frame.columns:
        if name in INTEGERS:
            frame[name] = pd.to_numeric(frame[name]).astype("Int64")
        elif name in BOOLEANS:
            frame[name] = frame[name].map({True: True, False: False, "True": True, "False": False}).astype(bool)
        elif name == "seed":
            frame[name] = pd.to_numeric(frame[name]).astype("int64")
        else:
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
    return frame


def all_answers(study: Study) -> pd.DataFrame:
    """Return own answers and those of other sites."""
    with study.database.read() as connection:
        rows = (
            connection.execute(select(IMPORTED.c.answer).where(IMPORTED.c.study_id == study.id).order_by(IMPORTED.c.id))
            .scalars()
            .all()
        )
    own = own_answers(study)
    if not rows:
        return own
    others = _typed(pd.DataFrame([json.loads(row) for row in rows], columns=list(DICTIONARY)))
    latest = others.drop_duplicates(
        ["site", "uuid"], keep="last"
    )  # an answer that was taken back after it was imported came again
    return pd.concat([own, latest], ignore_index=True)


def export(frame: pd.DataFrame, form: str) -> bytes:
    """Return the long table as CSV (UTF-8) or Parquet; the same answers give the same bytes.

    A text that a spreadsheet would take for a formula gets a leading apostrophe in CSV, which :func:`read_export` takes
    off again.
    """
    if form not in FORMATS:
        raise StudyError(f"format={form!r} is not known; allowed: {', '.join(FORMATS)}")
    if form == "parquet":
        made = io.BytesIO()
        frame.to_parquet(made, index=False)
        return made.getvalue()
    return csv_text(frame).encode()


def read_export(path: str | Path) -> pd.DataFrame:
    """Return a long table from a file that :func:`export` made.

    Raises
    ------
    StudyError
        Not such a file, or columns are missing.
    """
    path = Path(path)
    try:
        if _is_parquet(path):
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            frame = frame.map(lambda text: text[1:] if text.startswith("'") else text)
            frame[[*INTEGERS]] = frame[[*INTEGERS]].replace("", None)
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise StudyError(f"{path} is no export of a study: {error}") from None
    except Exception as error:
        if type(error).__module__.startswith("pyarrow"):
            raise StudyError(f"{path} is no export of a study: {error}") from None
        raise
    missing = [name for name in DICTIONARY if name not in frame.columns]
    if missing:
        raise StudyError(f"{path} is no export of a study: it has no column {missing[0]!r}")
    try:
        return _typed(frame[list(DICTIONARY)].copy())
    except (ValueError, TypeError) as error:
        raise StudyError(f"{path} is no export of a study: {error}") from None


def _is_parquet(path: Path) -> bool:
    with open(plain_file(path), "rb") as handle:
        return handle.read(4) == b"PAR1"


def import_answers(study: Study, path: str | Path, site: str) -> tuple[int, int]:
    """Add another site's export of the same study; (rows added, rows that were here already).

    Raises
    ------
    StudyError
        The file is of another study or plan, mixes a pilot with a study, or `site` is empty.
    """
    if not site.strip():
        raise StudyError("site: name the site that the answers come from")
    frame = read_export(path)
    for column, wanted in (
        ("plan", study.fingerprint),
        ("pilot", study.config.pilot),
        ("simulated", study.config.simulated is not None),
    ):
        other = set(frame[column]) - {wanted}
        if other:
            raise StudyError(
                f"{path}: {column}={next(iter(other))!r} is not this study's ({wanted!r}); only answers to the very "
                "same plan are pooled"
            )
    _check_rows(study, frame, path)
    known = all_answers(study)
    here = set(zip(known["uuid"], known["live"], strict=True))
    new = np.array(
        [pair not in here for pair in zip(frame["uuid"], frame["live"], strict=True)], bool
    )  # of an empty export as well
    fresh = frame[new].drop_duplicates("uuid", keep="last").copy()
    fresh["site"] = [
        f"{site.strip()}/{inner}" if inner else site.strip() for inner in fresh["site"]
    ]  # a site's site stays told apart
    now = study.now().isoformat()
    rows = [
        {
            "study_id": study.id,
            "site": row["site"],
            "uuid": f"{row['uuid']} {'live' if row['live'] else 'taken back'}",
            "answer": json.dumps(row, default=_plain),
            "created": now,
        }
        for row in fresh.astype(object).where(fresh.notna(), None).to_dict("records")
    ]
    try:
        with study.database.write() as connection:
            if rows:
                connection.execute(insert(IMPORTED), rows)
    except IntegrityError:
        raise StudyError(f"{path}: some of it was imported at this moment by somebody else; try again") from None
    return len(rows), len(frame) - len(rows)


def _check_rows(study: Study, frame: pd.DataFrame, path: str | Path) -> None:
    """Check rows of another site must be answers that this study's raters could have given.

    What is behind an item must be what it is here.
    """
    items = {item["number"]: item for item in study.items.values()}
    for number, row in enumerate(rows_of(frame), 1):
        item = items.get(int(row.item)) if not pd.isna(row.item) else None
        try:
            fits = (
                item is not None
                and row.kind in (ANSWER, "flag")
                and _same_truth(item, row)
                and (row.kind == "flag" or _answers(item, row))
            )
            fits = (
                fits and not pd.isna(row.session) and not pd.isna(row.position) and bool(row.rater) and bool(row.uuid)
            )
        except (ValueError, TypeError, KeyError):
            fits = False
        if not fits:
            raise StudyError(f"{path}, row {number}: no answer that a rater of this study can have given")


def _same_truth(item: dict[str, Any], row: Any) -> bool:
    truth = item["truth"]
    stored = {
        name: json.loads(getattr(row, name)) for name in ("options", "activations", "scores", "texts", "expected")
    }
    here = (item["task"], item["control"] or "", truth.get("method") or "", truth["dissection"], truth["neuron"] or "")
    same = all(stored[name] == truth.get(key, empty) for name, key, empty in TRUTHS)
    return (
        same
        and here == (row.task, row.control, row.method, row.dissection, row.neuron)
        and json.loads(row.clips) == truth["clip_names"]
    )


def _answers(item: dict[str, Any], row: Any) -> bool:
    response, clips = json.loads(row.response), len(item["shown"]["clips"])
    lists = [json.loads(getattr(row, name)) for name in ("plays", "seconds_heard")]
    if not all(isinstance(values, list) and len(values) == clips for values in lists) or pd.isna(row.ms):
        return False
    if row.none:
        return response is None and row.task in NOTHING
    if row.task == "write":
        return isinstance(response, str)
    if row.task in ("present", "captions"):
        return isinstance(response, list) and len(response) == clips and all(isinstance(v, bool) for v in response)
    allowed = (
        range(1, 6)
        if row.task == "fit"
        else range(clips)
        if row.task == "intruder"
        else range(len(item["shown"]["options"]))
    )
    return isinstance(response, int) and not isinstance(response, bool) and response in allowed


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
