"""CLAP (LAION): the text-audio encoder of the paper's TAB, through transformers or from LAION's own checkpoint file."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from and_core.encoders.base import ENCODERS, TextAudioEncoder, encode_by_length
from and_core.errors import ConfigError, DataError, MissingExtra
from and_core.registry import Settings
from and_core.store.files import check_weights, sha256_file

CONTEXT = 77
SAMPLES = 480_000  # 10 s at 48 kHz


def quantise(wave: np.ndarray) -> np.ndarray:
    """Round to 16-bit integers and back, as LAION's package does before its mel spectrogram: cut at 1, truncated
    towards zero."""
    return ((np.clip(wave, -1, 1) * 32767).astype(np.int16) / 32767).astype(np.float32)


def crops(wave: np.ndarray, most: int = SAMPLES, many: int = 3) -> list[np.ndarray]:
    """Return a clip of at most 10 s as it is.

    Of a longer one `many` crops at equal distances, where the package draws one at random.
    """
    if len(wave) <= most:
        return [wave]
    return [wave[start : start + most] for start in np.linspace(0, len(wave) - most, many).round().astype(int)]


class ClapSettings(Settings):
    """`model`: hub id or folder (``engine: transformers``), or a ``.pt`` file (``engine: laion_clap``).

    `batch` texts or crops at a time.
    """

    model: str = "laion/clap-htsat-unfused"
    revision: str | None = None
    engine: Literal["transformers", "laion_clap"] = "transformers"
    device: str = "cpu"
    crops: int = 3
    batch: int = 16


@ENCODERS.register
class Clap(TextAudioEncoder[ClapSettings]):
    """Unit vectors of sound and text.

    Clips go in at 48 kHz, quantised to 16 bits; repeated and padded to 10 s, or cropped without chance.
    """

    kind = "clap"
    sample_rate = 48_000

    @cached_property
    def _engine(self) -> _Engine:
        s = self.settings
        return _Laion(s) if s.engine == "laion_clap" else _Transformers(s, self.loading)

    def fingerprint(self) -> str:
        """Hash of the weights' file, or id and revision on the hub."""
        s = self.settings
        weights = Path(s.model) / "model.safetensors" if Path(s.model).is_dir() else Path(s.model)
        return sha256_file(weights) if weights.is_file() else f"{s.model}@{s.revision}"

    def describe(self) -> str:
        """Return one line for provenance."""
        s = self.settings
        return f"CLAP {Path(s.model).name} ({s.engine})"

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return texts cut at 77 tokens."""
        engine = self._engine
        return encode_by_length(texts, engine.width, engine.read, self.settings.batch)

    def encode_audio(self, waves: list[np.ndarray]) -> np.ndarray:
        """Return the mean of a clip's crops, unit norm again."""
        s = self.settings
        parts = [crops(quantise(wave), SAMPLES, s.crops) for wave in waves]
        flat = [crop for part in parts for crop in part]
        heard = np.concatenate([self._engine.embed_audio(flat[i : i + s.batch]) for i in range(0, len(flat), s.batch)])
        rows, start = [], 0
        for part in parts:
            mean = heard[start : start + len(part)].mean(0)
            rows.append(mean / np.linalg.norm(mean))
            start += len(part)
        return np.stack(rows).astype(np.float32)


class _Engine:
    width: int

    def read(self, texts: list[str]) -> np.ndarray:
        raise NotImplementedError

    def embed_audio(self, waves: list[np.ndarray]) -> np.ndarray:
        raise NotImplementedError


class _Transformers(_Engine):
    """`ClapModel` with the hub's own extractor.

    Truncation and padding are said outright, since the class's defaults are the fused model's.
    """

    def __init__(self, s: Any, loading: dict[str, Any]) -> None:
        import torch
        from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

        check_weights(Path(s.model), f"encoder.model={s.model!r}", DataError)
        try:
            self.extractor = ClapFeatureExtractor.from_pretrained(s.model, **loading)
            self.tokenizer = AutoTokenizer.from_pretrained(s.model, **loading)
            loaded: Any = ClapModel.from_pretrained(s.model, **loading, dtype=torch.float32, output_loading_info=True)
        except (OSError, ValueError) as error:
            raise DataError(f"encoder.model={s.model!r} can't be loaded: {str(error).splitlines()[0]}") from None
        model, info = loaded
        if info["missing_keys"]:
            raise DataError(f"encoder.model={s.model!r} lacks {', '.join(sorted(map(str, info['missing_keys']))[:6])}")
        if model.config.audio_config.enable_fusion:
            raise ConfigError(
                f"encoder.model={s.model!r} is a fused CLAP, which hears long clips in its own way; take "
                "laion/clap-htsat-unfused"
            )
        self.model, self.device, self.width = model.eval().to(s.device), s.device, model.config.projection_dim
        if self.extractor.sampling_rate != Clap.sample_rate:
            raise ConfigError(
                f"encoder.model={s.model!r} wants {self.extractor.sampling_rate} Hz; CLAP is fed at {Clap.sample_rate}"
            )

    def read(self, texts: list[str]) -> np.ndarray:
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt").to(
            self.device
        )
        return self._unit(self.model.get_text_features, batch)

    def embed_audio(self, waves: list[np.ndarray]) -> np.ndarray:
        batch = self.extractor(
            waves, sampling_rate=Clap.sample_rate, truncation="rand_trunc", padding="repeatpad", return_tensors="pt"
        ).to(self.device)
        return self._unit(self.model.get_audio_features, batch)

    def _unit(self, features: Any, batch: Any) -> np.ndarray:
        import torch

        with torch.inference_mode():
            out = features(**batch)
        tensor = out if isinstance(out, torch.Tensor) else out.pooler_output
        return torch.nn.functional.normalize(tensor.float(), dim=1).cpu().numpy()


class _Laion(_Engine):
    """LAION's own package with its checkpoint file (AND: 630k-audioset-best.pt)."""

    def __init__(self, s: Any) -> None:
        try:
            import laion_clap
        except (ImportError, OSError):
            raise MissingExtra("laion-clap", "clap", "encoder.engine='laion_clap'") from None
        if not Path(s.model).is_file():
            raise DataError(
                f"encoder.model={s.model!r} is no file; engine laion_clap takes a checkpoint such as "
                "630k-audioset-best.pt"
            )
        self.module = laion_clap.CLAP_Module(enable_fusion=False, device=s.device)
        before = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # the package's own loading would run code from the file
        try:
            self.module.load_ckpt(s.model)
        except Exception as error:  # noqa: BLE001 - torch and the package raise several kinds
            raise DataError(
                f"encoder.model={s.model!r} can't be loaded as plain tensors: {str(error).splitlines()[0]}"
            ) from None
        finally:
            os.environ.pop("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
            if before is not None:
                os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before
        self.width = 512

    def read(self, texts: list[str]) -> np.ndarray:
        padded = texts if len(texts) > 1 else [*texts, ""]  # the package squeezes a single text's axis away
        return _normal(np.asarray(self.module.get_text_embedding(padded))[: len(texts)])

    def embed_audio(self, waves: list[np.ndarray]) -> np.ndarray:
        return _normal(
            np.concatenate([np.asarray(self.module.get_audio_embedding_from_data(x=wave[None])) for wave in waves])
        )


def _normal(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
