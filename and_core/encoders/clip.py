"""CLIP's text tower, the encoder of the paper's DB (ViT-B/32): through transformers, or open_clip where it is
installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from and_core.encoders.base import ENCODERS, TextEncoder, encode_by_length
from and_core.errors import DataError, MissingExtra
from and_core.registry import Settings
from and_core.store.files import check_weights, sha256_file

CONTEXT = 77


class ClipEncoderSettings(Settings):
    """`model`: hub id or folder; for ``engine: open_clip`` a tag such as ``openai``, or a file. `revision` on the hub.

    `architecture` is open_clip's name; OpenAI's weights need the one with quick GELU.
    """

    model: str = "openai/clip-vit-base-patch32"
    revision: str | None = None
    engine: Literal["transformers", "open_clip"] = "transformers"
    architecture: str = "ViT-B-32-quickgelu"

    def reaches(self) -> list[str]:
        """Return that open_clip fetches what it does not find."""
        fetches = self.engine == "open_clip" and not Path(self.model).is_file()
        return [f"fetches the weights {self.model} of {self.architecture}"] if fetches else []


@ENCODERS.register
class ClipEncoder(TextEncoder[ClipEncoderSettings]):
    """Projected text embeddings, unit norm; longer texts are cut at 77 tokens.

    Set `closed.softmax_scale` to 100 with it.
    """

    kind = "clip"

    @cached_property
    def _reader(self) -> tuple[int, Callable[[list[str]], np.ndarray]]:
        return (
            _open_clip(self.settings)
            if self.settings.engine == "open_clip"
            else _transformers(self.settings, self.loading)
        )

    def fingerprint(self) -> str:
        """Hash of the weights' file, or id and revision on the hub."""
        s = self.settings
        weights = Path(s.model) / "model.safetensors" if Path(s.model).is_dir() else Path(s.model)
        name = sha256_file(weights) if weights.is_file() else f"{s.model}@{s.revision}"
        return name if s.engine == "transformers" else f"{name} {s.architecture}"

    def describe(self) -> str:
        """Return one line for provenance."""
        s = self.settings
        return f"CLIP text {Path(s.model).name}" + (" (open_clip)" if s.engine == "open_clip" else "")

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return projected end-of-text states."""
        width, read = self._reader
        return encode_by_length(texts, width, read)

    def count_cut(self, texts: list[str]) -> int:
        """Return texts of more than 77 tokens, their marks included."""
        s = self.settings
        if s.engine == "open_clip":
            return 0  # its tokenizer cuts without telling
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(s.model, **self.loading)
        return sum(len(ids) > CONTEXT for ids in tokenizer(texts)["input_ids"]) if texts else 0


def _transformers(s: Any, loading: dict[str, Any]) -> tuple[int, Callable[[list[str]], np.ndarray]]:
    import torch
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    check_weights(Path(s.model), f"encoder.model={s.model!r}", DataError)
    try:
        tokenizer = AutoTokenizer.from_pretrained(s.model, **loading)
        loaded: Any = CLIPTextModelWithProjection.from_pretrained(s.model, **loading, output_loading_info=True)
    except (OSError, ValueError) as error:
        raise DataError(f"encoder.model={s.model!r} can't be loaded: {str(error).splitlines()[0]}") from None
    model, info = loaded
    if info["missing_keys"]:
        raise DataError(f"encoder.model={s.model!r} lacks {', '.join(sorted(map(str, info['missing_keys']))[:6])}")
    model.eval()

    def read(texts: list[str]) -> np.ndarray:
        batch = tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
        with torch.inference_mode():
            return torch.nn.functional.normalize(model(**batch).text_embeds.float(), dim=1).numpy()

    return model.config.projection_dim, read


def _open_clip(s: Any) -> tuple[int, Callable[[list[str]], np.ndarray]]:
    import torch

    try:
        import open_clip
    except (ImportError, OSError):
        raise MissingExtra("open-clip-torch", "clip", "encoder.engine='open_clip'") from None
    try:
        model = open_clip.create_model(s.architecture, pretrained=s.model, precision="fp32").eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"encoder.model={s.model!r} can't be loaded by open_clip: {str(error).splitlines()[0]}"
        ) from None
    tokenizer = open_clip.get_tokenizer(s.architecture)

    def read(texts: list[str]) -> np.ndarray:
        with torch.inference_mode():
            return torch.nn.functional.normalize(model.encode_text(tokenizer(texts)).float(), dim=1).numpy()

    return read(["a"]).shape[1], read
