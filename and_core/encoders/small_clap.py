"""The text-audio encoder that ships with the package: CLAP in small, trained on the synthetic corpus.

TAB without a network.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from and_core.audio.fbank import kaldi_fbank
from and_core.data import bundled
from and_core.encoders.base import ENCODERS, TextAudioEncoder
from and_core.errors import DataError
from and_core.nets.beats import Beats, BeatsConfig, normalise, share_bias
from and_core.nets.small_clap import SmallClap as Network
from and_core.registry import FileOrName, Settings
from and_core.store.files import sha256_file

WEIGHTS = bundled("weights/small-clap")
SECONDS = 3.0


class SmallClapSettings(Settings):
    """`checkpoint`: a folder that `and-dissect demo train` has written, or ``demo``."""

    checkpoint: FileOrName = "demo"


@ENCODERS.register
class SmallClapEncoder(TextAudioEncoder[SmallClapSettings]):
    """Knows the sounds of the corpus; on other recordings it is a toy.

    A longer clip is heard in 3 s windows, their mean taken.
    """

    kind = "small_clap"
    sample_rate = 16_000

    @cached_property
    def _folder(self) -> Path:
        name = self.settings.checkpoint
        folder = WEIGHTS if name == "demo" else Path(name)
        missing = [f for f in ("config.json", "model.safetensors") if not (folder / f).is_file()]
        if missing:
            raise DataError(f"audio_encoder.checkpoint={name!r} lacks {', '.join(missing)}")
        return folder

    @cached_property
    def _loaded(self) -> tuple[Network, int, Any]:
        about = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        config = BeatsConfig.from_dict(about["cfg"])
        network = Network(Beats(config), about["text_width"], about["width"])
        weights = {k: v.float() for k, v in load_file(self._folder / "model.safetensors").items()}
        tower = share_bias(
            {k.removeprefix("beats."): v for k, v in weights.items() if k.startswith("beats.")}, config.encoder_layers
        )
        network.load_state_dict({**weights, **{f"beats.{k}": v for k, v in tower.items()}})
        sentences = ENCODERS.get("minilm")
        reader = sentences(sentences.Settings(model="bundled"))  # type: ignore[call-arg]
        if reader.fingerprint() != about["text"]:
            raise DataError(f"{self._folder} was trained with another sentence encoder than the bundled MiniLM")
        return network.eval(), int(about["mel_bins"]), reader

    def fingerprint(self) -> str:
        """Hash of the weights."""
        return sha256_file(self._folder / "model.safetensors")

    def describe(self) -> str:
        """Return one line for provenance."""
        return (
            "small CLAP (trained on the synthetic corpus)"
            if self._folder == WEIGHTS
            else f"small CLAP {self._folder.name}"
        )

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return MiniLM vectors, projected."""
        network, _, reader = self._loaded
        with torch.inference_mode():
            return network.read(torch.from_numpy(reader.encode(texts))).numpy()

    def encode_audio(self, waves: list[np.ndarray]) -> np.ndarray:
        """Encode clip by clip, so that a row depends on nothing else; shorter clips are padded with silence."""
        network, mel_bins, _ = self._loaded
        size = round(SECONDS * self.sample_rate)
        rows = []
        for wave in waves:
            count = max(1, -(-len(wave) // size))
            padded = np.zeros(count * size if count == 1 else max(len(wave), size), np.float32)
            padded[: len(wave)] = wave
            starts = np.linspace(0, len(padded) - size, count).round().astype(int)
            windows = torch.from_numpy(np.stack([padded[s : s + size] for s in starts]))
            with torch.inference_mode():
                heard = network.embed_audio(
                    normalise(kaldi_fbank(windows, mel_bins=mel_bins, window="povey", scale=2.0**15))
                ).mean(0)
                rows.append(torch.nn.functional.normalize(heard, dim=0).numpy())
        return np.stack(rows)
