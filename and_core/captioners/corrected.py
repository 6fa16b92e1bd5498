"""Captions of another captioner, some of them corrected by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from and_core.captioners.base import CAPTIONERS, Captioner, Listen
from and_core.errors import DataError
from and_core.records import Provenance
from and_core.registry import FilePath, PluginConfig, Settings
from and_core.store.files import plain_file


class CorrectedSettings(Settings):
    """`of`: the captioner; `path`: JSON object of file name to corrected caption."""

    of: PluginConfig
    path: FilePath

    def reaches(self) -> list[str]:
        """Return what the captioner does."""
        return CAPTIONERS.reaches(self.of)

    @classmethod
    def absolute(cls, raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """Return the captioner's paths and the file's own."""
        given = dict(super().absolute(raw, base))
        if isinstance(raw.get("of"), dict):
            given["of"] = CAPTIONERS.absolute(raw["of"], base)
        return given


@CAPTIONERS.register
class Corrected(Captioner[CorrectedSettings]):
    """Says what another captioner says, except of the clips whose captions were corrected."""

    kind = "corrected"

    @cached_property
    def original(self) -> Captioner:
        """The captioner."""
        return CAPTIONERS.create(self.settings.of, self.recorded)

    @cached_property
    def _data(self) -> bytes:
        try:
            return plain_file(Path(self.settings.path)).read_bytes()
        except OSError as error:
            raise DataError(f"captions.path={str(self.settings.path)!r} can't be read: {error.strerror}") from None

    @cached_property
    def corrections(self) -> dict[str, str]:
        """File name -> corrected caption.

        Raises
        ------
        DataError
            The file is no such object.
        """
        try:
            given = json.loads(self._data)
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
            raise DataError(f"captions.path={str(self.settings.path)!r} is no JSON object of file name to caption")
        return given

    def identifying_settings(self) -> dict[str, Any]:
        """Return the captioner's own."""
        return {"kind": self.kind, "of": CAPTIONERS.given_settings(self.settings.of)}

    @property
    def provenance(self) -> Provenance:  # type: ignore[override]
        """Of the captioner."""
        return self.original.provenance

    @property
    def later_measures(self) -> tuple[str, ...]:
        """Those of the captioner."""
        return self.original.later_measures

    def network_fingerprint(self) -> str | None:
        """Return the captioner's."""
        return self.original.network_fingerprint()

    def fingerprint(self) -> str:
        """Return the captioner's, and a hash of the corrections."""
        return f"{self.original.fingerprint()}/{hashlib.sha256(self._data).hexdigest()}"

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return the corrected caption of each clip, else the captioner's."""
        given = self.original.captions(rows, listen)
        return [self.corrections.get(str(row["name"]), text) for row, text in zip(rows, given, strict=True)]

    def every(self, rows: list[dict[str, Any]], listen: Listen) -> list[list[str]]:
        """Return all captions of each clip; one alone where it was corrected."""
        given = self.original.every(rows, listen)
        names = [str(row["name"]) for row in rows]
        return [
            [self.corrections[name]] if name in self.corrections else texts
            for name, texts in zip(names, given, strict=True)
        ]

    def notes(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the captioner's remarks, and how many captions were corrected."""
        there = {str(row["name"]) for row in rows}
        return {**self.original.notes(rows), "corrected": len(there & set(self.corrections))}

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"{self.original.describe()}, {len(self.corrections)} corrected by hand"
