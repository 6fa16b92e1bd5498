"""What each method says of a neuron, in words a rater can judge; and texts of the owner's own."""

from __future__ import annotations

import csv
from pathlib import Path

from and_core.errors import DataError, StudyError
from and_core.names import readable
from and_core.records import NeuronId
from and_core.store.dissection import Dissection

CLOSED = ("DB", "TAB")
SHORTEST, LONGEST = 3, 2_000  # characters of a text of one's own
Own = dict[tuple[str, str], str]  # (dissection, neuron) -> text


def description(d: Dissection, neuron: NeuronId, method: str) -> str | None:
    """Return a method's description of a neuron; None where it says nothing.

    Raises
    ------
    NotComputed
        The method has not been run.
    """
    if method in CLOSED:
        d.require("closed" if method == "DB" else "tab")
        return next((readable(c.name) for c in d.closed_concepts(neuron, method=method)), None)  # type: ignore[arg-type]
    if method == "ICL":
        answers, _ = d.icl_answers(neuron, "top1")
        return next((readable(row["concept"]) for row in answers if row["concept"]), None)
    if method == "OPEN":
        words = d.open_concepts(neuron)
        return f"{', '.join(words)} sounds" if words else None
    d.require("calibration")
    points = [point.text for point in d.summary(neuron) if point.kept]
    return "; ".join(points) or None


def read_texts(path: str | Path, dissections: list[Dissection]) -> Own:
    """Return descriptions of one's own, from a CSV file with the columns ``neuron``, ``text`` and, for several
    dissections, ``dissection``.

    Raises
    ------
    StudyError
        No such file or columns, a neuron that is not in the dissection, one described twice, or nothing at all.
    """
    by_name = {d.name: d for d in dissections}
    texts: Own = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            missing = {"neuron", "text"} - set(reader.fieldnames or ())
            if missing or (len(dissections) > 1 and "dissection" not in (reader.fieldnames or ())):
                raise StudyError(f"texts: {path} has no column {', '.join(sorted(missing)) or 'dissection'}")
            for row in reader:
                name = row.get("dissection") or dissections[0].name
                if name not in by_name:
                    raise StudyError(
                        f"texts: {path}, line {reader.line_num}: dissection={name!r} is not in the study: "
                        f"{', '.join(by_name)}"
                    )
                try:
                    key = (name, str(by_name[name].neuron_id(by_name[name].index(row["neuron"].strip()))))
                except DataError as error:
                    raise StudyError(f"texts: {path}, line {reader.line_num}: {error}") from None
                if key in texts:
                    raise StudyError(f"texts: {path}, line {reader.line_num}: {key[1]} is described twice")
                text = " ".join((row["text"] or "").split())
                if text and not SHORTEST <= len(text) <= LONGEST:
                    raise StudyError(
                        f"texts: {path}, line {reader.line_num}: a description has {SHORTEST} to {LONGEST} characters, "
                        f"not {len(text)}"
                    )
                if text:
                    texts[key] = text
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"texts: {path} can't be read: {error}") from None
    if not texts:
        raise StudyError(f"texts: {path} holds no description")
    return texts
