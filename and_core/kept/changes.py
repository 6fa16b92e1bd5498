"""What the last run with corrected captions and labels changed, before and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from and_core.kept.database import KeptFile, now
from and_core.store.files import plain_file, safe_name


@dataclass(frozen=True)
class Change:
    """A neuron whose headline changed."""

    neuron: str
    before: str
    after: str


@dataclass(frozen=True)
class FigureChange:
    """A figure of the dissection as a whole that changed: what it counts or measures, in words, and its values."""

    what: str
    before: str
    after: str


def _path(file: KeptFile, dissection: str) -> Path:
    return file.path.parent / f"changes-{safe_name(dissection, 'dissection')}.json"


def write_changes(
    file: KeptFile,
    dissection: str,
    computed: list[str],
    changes: Sequence[Change],
    figures: Sequence[FigureChange] = (),
) -> None:
    """Keep what a run changed, in place of what the one before did."""
    path = _path(file, dissection)
    data = {
        "when": now(),
        "computed": computed,
        "changes": [asdict(change) for change in changes],
        "figures": [asdict(change) for change in figures],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    partial.replace(path)


def read_changes(file: KeptFile, dissection: str) -> dict[str, Any] | None:
    """Return ``when``, the stages ``computed``, ``changes``, a list of :class:`Change`, and ``figures``, one of
    :class:`FigureChange`; None before the first run."""
    try:
        data = json.loads(plain_file(_path(file, dissection)).read_text(encoding="utf-8"))
        return {
            "when": str(data["when"]),
            "computed": [str(x) for x in data["computed"]],
            "changes": [Change(**row) for row in data["changes"]],
            "figures": [FigureChange(**row) for row in data.get("figures", ())],
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
