"""Starred neurons in lists, each with a note."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import insert, select

from and_core.errors import DataError
from and_core.kept.database import STAR, KeptFile, now

DEFAULT = "Starred"
LONGEST = {"list": 80, "note": 4_000, "who": 80}  # letters


@dataclass(frozen=True)
class Star:
    """A neuron in a list.

    Attributes
    ----------
    dissection, neuron, list : str
        What is kept, and where; a neuron may be in several lists.
    note, who, created : str
        Why, by whom, and when (UTC).
    """

    dissection: str
    neuron: str
    list: str
    note: str
    who: str
    created: str

    def row(self) -> dict[str, str]:
        """Return it as a row of a table."""
        return asdict(self)


def keep_star(
    file: KeptFile, dissection: str, neuron: str, name: str = DEFAULT, note: str = "", who: str = "", on: bool = True
) -> None:
    """Put a neuron in a list, change its note, or take it out; what was before stays in the file.

    Raises
    ------
    DataError
        A list without a name, or a text that is too long.
    StorageError
        It can't be written.
    """
    name, who = name.strip(), who.strip()
    if not name:
        raise DataError("list='': a list needs a name")
    for key, value in (("list", name), ("note", note), ("who", who)):
        if len(value) > LONGEST[key]:
            raise DataError(f"{key}: {len(value)} letters; at most {LONGEST[key]} are allowed")
    values = {"dissection": dissection, "neuron": neuron, "list": name, "note": note, "who": who}
    with file.write() as connection:
        connection.execute(insert(STAR).values(**values, created=now(), starred=int(on)))


def stars(file: KeptFile, dissection: str | None = None, neuron: str | None = None) -> list[Star]:
    """Return what is in lists now, by list, the latest first."""
    query = select(STAR).order_by(STAR.c.id)
    if dissection is not None:
        query = query.where(STAR.c.dissection == dissection)
    if neuron is not None:
        query = query.where(STAR.c.neuron == neuron)
    latest: dict[tuple[str, str, str], Star | None] = {}
    with file.read() as connection:
        for row in connection.execute(query).mappings() if connection is not None else ():
            key = (row["list"], row["dissection"], row["neuron"])
            latest.pop(key, None)  # so that what changed last stands last
            star = Star(**{name: row[name] for name in Star.__dataclass_fields__})
            latest[key] = star if row["starred"] else None
    current = [star for star in latest.values() if star is not None]
    return sorted(reversed(current), key=lambda star: star.list)
