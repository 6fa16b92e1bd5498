"""Captions from several captioners, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from and_core.captioners.base import CAPTIONERS, Captioner, Listen, sentence
from and_core.records import Provenance
from and_core.registry import PluginConfig, Settings


class SeveralSettings(Settings):
    """`parts`: captioners, each with its own settings."""

    parts: tuple[PluginConfig, ...]

    def reaches(self) -> list[str]:
        """Return what the parts do."""
        return [reach for part in self.parts for reach in CAPTIONERS.reaches(part)]

    @classmethod
    def absolute(cls, raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """Return the parts' paths."""
        parts = raw.get("parts")
        if not isinstance(parts, list):
            return dict(raw)
        return {**raw, "parts": [CAPTIONERS.absolute(part, base) if isinstance(part, dict) else part for part in parts]}


@CAPTIONERS.register
class Several(Captioner[SeveralSettings]):
    """Joins what each part says of a clip; a clip lacks a caption only where every part does."""

    kind = "several"

    @cached_property
    def parts(self) -> list[Captioner]:
        """The captioners."""
        return [CAPTIONERS.create(part, self.recorded) for part in self.settings.parts]

    def identifying_settings(self) -> dict[str, Any]:
        """Return the parts' own."""
        return {"kind": self.kind, "parts": [CAPTIONERS.given_settings(part) for part in self.settings.parts]}

    @property
    def provenance(self) -> Provenance:  # type: ignore[override]
        """Of the first part that does not compute its texts."""
        return next((part.provenance for part in self.parts if part.provenance != "computed"), "computed")

    @property
    def later_measures(self) -> tuple[str, ...]:
        """Those of the parts."""
        return tuple(sorted({measure for part in self.parts for measure in part.later_measures}))

    def network_fingerprint(self) -> str | None:
        """Return that of the first part that tags."""
        return next((own for part in self.parts if (own := part.network_fingerprint()) is not None), None)

    def fingerprint(self) -> str:
        """Return fingerprints of the parts."""
        return "/".join(part.fingerprint() for part in self.parts)

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return each part's text as sentences of their own."""
        columns = [part.captions(rows, listen) for part in self.parts]
        return [" ".join(sentence(text) for text in texts if text) or None for texts in zip(*columns, strict=True)]

    def notes(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return remarks of the parts."""
        return {part.kind: part.notes(rows) for part in self.parts if part.notes(rows)}

    def describe(self) -> str:
        """Return one line for provenance."""
        return " + ".join(part.describe() for part in self.parts)
