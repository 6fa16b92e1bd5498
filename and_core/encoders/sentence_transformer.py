"""Any sentence-transformers model, from a folder or the hub."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from and_core.encoders.base import ENCODERS, TextEncoder
from and_core.errors import DataError
from and_core.registry import PathMark, Settings
from and_core.store.files import check_weights, sha256_file


class SentenceTransformerSettings(Settings):
    """`model`: hub id or folder; `revision` on the hub."""

    model: Annotated[str, PathMark(always=False, separator=True, identifies=True)]
    revision: str | None = None
    device: str | None = None


@ENCODERS.register
class SentenceTransformer(TextEncoder[SentenceTransformerSettings]):
    """A model by hub id or folder; remote code is never run."""

    kind = "sentence_transformer"

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer as Model

        s = self.settings
        check_weights(Path(s.model), f"encoder.model={s.model!r}", DataError)
        try:
            return Model(s.model, device=s.device, **self.loading)
        except (OSError, ValueError) as error:
            raise DataError(f"encoder.model={s.model!r} can't be loaded: {str(error).splitlines()[0]}") from None

    def fingerprint(self) -> str:
        """Return hashes of a folder's weights, or id and revision on the hub."""
        s = self.settings
        folder = Path(s.model)
        if folder.is_dir():
            weights = sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".bin", ".json", ".txt"))
            return hashlib.sha256(
                "/".join(f"{p.relative_to(folder)}:{sha256_file(p)}" for p in weights).encode()
            ).hexdigest()
        return f"{s.model}@{s.revision}"

    def describe(self) -> str:
        """Return one line for provenance."""
        return str(self.settings.model)

    def encode(self, texts: list[str]) -> np.ndarray:
        """Encode through the model's own modules."""
        if not texts:
            return np.zeros((0, self._model.encode(["x"]).shape[1]), np.float32)
        return self._model.encode(
            texts, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        ).astype(np.float32)
