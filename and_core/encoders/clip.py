"""CLIP's text tower through transformers: the encoder of the paper's DB (ViT-B/32)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from and_core import registry
from and_core.encoders.base import ENCODERS, TextEncoder, encode_by_length
from and_core.errors import DataError
from and_core.store.files import sha256_file

CONTEXT = 77


@ENCODERS.register
class Clip(TextEncoder):
    """Projected text embeddings, unit norm; longer texts are cut at 77 tokens. Set `closed.softmax_scale` to 100 with it."""

    kind = "clip"

    class Settings(registry.Settings):
        """`model`: hub id or folder; `revision` on the hub."""

        model: str = "openai/clip-vit-base-patch32"
        revision: str | None = None

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer, CLIPTextModelWithProjection

        s: Any = self.settings
        try:
            tokenizer = AutoTokenizer.from_pretrained(s.model, revision=s.revision)
            loaded: Any = CLIPTextModelWithProjection.from_pretrained(s.model, revision=s.revision, output_loading_info=True)
        except (OSError, ValueError) as error:
            raise DataError(f"encoder.model={s.model!r} can't be loaded: {str(error).splitlines()[0]}") from None
        model, info = loaded
        if info["missing_keys"]:
            raise DataError(f"encoder.model={s.model!r} lacks {', '.join(sorted(map(str, info['missing_keys']))[:6])}")
        return tokenizer, model.eval()

    def fingerprint(self) -> str:
        """Hash of a folder's weights, or id and revision on the hub."""
        s: Any = self.settings
        weights = Path(s.model) / "model.safetensors"
        return sha256_file(weights) if weights.is_file() else f"{s.model}@{s.revision}"

    def describe(self) -> str:
        """One line for provenance."""
        return f"CLIP text {Path(self.settings.model).name}"  # type: ignore[attr-defined]

    def encode(self, texts: list[str]) -> np.ndarray:
        """Projected end-of-text states."""
        import torch

        tokenizer, model = self._loaded

        def part(texts: list[str]) -> np.ndarray:
            batch = tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
            with torch.inference_mode():
                return torch.nn.functional.normalize(model(**batch).text_embeds.float(), dim=1).numpy()

        return encode_by_length(texts, model.config.projection_dim, part)
