"""PE-Audio (Meta, arXiv 2512.19687): text and clips in one space, through transformers."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from and_core.encoders.base import ENCODERS, TextAudioEncoder, encode_by_length, one_thread
from and_core.errors import ConfigError, DataError, first_line
from and_core.nets.partial import read_part
from and_core.registry import Settings
from and_core.store.files import sha256_files, weights_fault

KINDS = ("pe_audio", "pe_audio_video")
FRAME_LEVEL = "PeAudioFrameLevelModel"
# in a checkpoint that sees as well, the audio model stands one level down and shares the text tower
PARTS = re.compile(r"(?:audio_model\.)?((?:text_model|audio_encoder|audio_head|text_audio_\w+)(?:\..+)?)")


class PeAudioSettings(Settings):
    """`model`: hub id or folder, of `PeAudioModel` or `PeAudioVideoModel`.

    Of a clip longer than `seconds`, `crops` parts at equal distances are heard. `batch` texts at a time.
    """

    model: str = "facebook/pe-av-large"
    revision: str | None = None
    device: str = "cpu"
    seconds: float = 30.0
    crops: int = 3
    batch: int = 16


@ENCODERS.register
class PeAudio(TextAudioEncoder[PeAudioSettings]):
    """Unit vectors of sound and text; clips go in at 48 kHz, one at a time."""

    kind = "pe_audio"
    sample_rate = 48_000

    def fingerprint(self) -> str:
        """Hash of a folder's weights, or id and revision on the hub."""
        s = self.settings
        folder = Path(s.model)
        if folder.is_dir():
            return sha256_files(p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin"))
        return f"{s.model}@{s.revision}"

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"PE-Audio {Path(self.settings.model).name}"

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        s = self.settings
        try:
            whole = AutoConfig.from_pretrained(s.model, **self.loading)
        except (OSError, ValueError) as error:
            raise DataError(f"encoder.model={s.model!r} can't be loaded: {first_line(error)}") from None
        if whole.model_type not in KINDS:
            raise ConfigError(f"encoder.model={s.model!r} holds a {whole.model_type!r}; allowed: {', '.join(KINDS)}")
        if FRAME_LEVEL in (whole.architectures or ()):
            raise ConfigError(
                f"encoder.model={s.model!r} gives a vector for each frame, not for a clip; take facebook/pe-av-large"
            )
        return whole if whole.model_type == "pe_audio" else whole.audio_config

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        import torch
        from transformers import AutoFeatureExtractor, AutoTokenizer, PeAudioModel

        s = self.settings
        what, config = f"encoder.model={s.model!r}", self._config
        weights = read_part(s.model, _own_name, what, DataError, self.loading, weights_fault)
        try:
            extractor = AutoFeatureExtractor.from_pretrained(s.model, **self.loading)
            tokenizer = AutoTokenizer.from_pretrained(s.model, **self.loading)
            loaded: Any = PeAudioModel.from_pretrained(
                None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True, **self.loading
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{what} can't be loaded: {first_line(error)}") from None
        model, info = loaded
        if info["missing_keys"]:
            raise DataError(f"{what} lacks {', '.join(sorted(map(str, info['missing_keys']))[:6])}")
        if extractor.sampling_rate != self.sample_rate:
            raise ConfigError(f"{what} wants {extractor.sampling_rate} Hz; PE-Audio is fed at {self.sample_rate}")
        return model.eval().to(s.device), extractor, tokenizer

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return projected states of the texts' first tokens."""
        with one_thread():
            return encode_by_length(texts, self._config.text_config.hidden_size, self._read, self.settings.batch)

    def count_cut(self, texts: list[str]) -> int:
        """Return texts of more tokens than the text tower has positions for, their marks included."""
        _, _, tokenizer = self._loaded
        return sum(len(ids) > self._most_tokens for ids in tokenizer(texts)["input_ids"]) if texts else 0

    @property
    def _most_tokens(self) -> int:
        return int(self._config.text_config.max_position_embeddings)

    def _read(self, texts: list[str]) -> np.ndarray:
        import torch

        model, _, tokenizer = self._loaded
        batch = tokenizer(texts, padding=True, truncation=True, max_length=self._most_tokens, return_tensors="pt")
        with torch.inference_mode():
            states = model.text_model(**batch.to(self.settings.device), output_hidden_states=True).hidden_states[-1]
            return _unit(model.text_audio_head(states[:, 0]))

    def encode_audio(self, waves: list[np.ndarray]) -> np.ndarray:
        """Return the mean of a clip's parts, unit norm again."""
        return np.stack([self._hear(wave) for wave in waves])

    def _hear(self, wave: np.ndarray) -> np.ndarray:
        import torch

        s = self.settings
        model, extractor, _ = self._loaded
        size = round(s.seconds * self.sample_rate)
        count = s.crops if len(wave) > size else 1
        starts = np.linspace(0, max(0, len(wave) - size), count).round().astype(int)
        parts = [wave[start : start + size].astype(np.float32) for start in starts]
        made = extractor(parts, sampling_rate=self.sample_rate, return_tensors="pt")
        with torch.inference_mode():
            heard = _unit(model.get_audio_embeds(made["input_values"].to(s.device))).mean(0)
        return (heard / np.linalg.norm(heard)).astype(np.float32)


def _own_name(name: str) -> str | None:
    """Return the audio model's own name of a weight, None for what is no part of it."""
    match = PARTS.fullmatch(name)
    return match[1] if match and not match[1].startswith("text_audio_video") else None


def _unit(vectors: Any) -> np.ndarray:
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=1).cpu().numpy()
