"""Captions of the synthetic corpus: a good but fallible listener."""

from __future__ import annotations

from typing import Any

from and_core.captioners.base import CAPTIONERS, Captioner, Listen
from and_core.errors import DataError
from and_core.records import Provenance


@CAPTIONERS.register
class Corpus(Captioner):
    """Written from a clip's truth and measures with stated faults; only for the synthetic corpus."""

    kind = "corpus"
    provenance: Provenance = "synthetic"

    def fingerprint(self) -> str:
        """Return the version of the listener."""
        from and_core.corpus import captions

        return captions.VERSION

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return one caption of two to five sentences per clip."""
        from and_core.corpus.captions import write_caption

        if rows and "recipe" not in rows[0]:
            raise DataError(
                "captions.kind='corpus' goes with dataset.kind='synthetic' only; use acoustic, file or column"
            )
        return [write_caption(row) for row in rows]

    def describe(self) -> str:
        """Return one line for provenance."""
        return "synthetic listener of the corpus"
