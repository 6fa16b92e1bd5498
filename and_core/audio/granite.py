"""Log-mel pairs of Granite Speech: what transformers' extractor takes from torchaudio, by torch alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

KIND = "GraniteSpeechFeatureExtractor"


class GraniteFrontEnd:
    """Called as `GraniteSpeechFeatureExtractor` is configured, on clips of one length.

    Parameters
    ----------
    values : dict
        As `preprocessor_config.json` has them; by default the published ones.
    """

    model_input_names = ("input_features",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        inner = {**values, **values.get("melspec_kwargs", {})}
        self.sampling_rate = int(inner.get("sampling_rate", 16_000))
        self.n_fft, self.hop_length = int(inner.get("n_fft", 512)), int(inner.get("hop_length", 160))
        self.window = torch.hann_window(int(inner.get("win_length", 400)))
        self.num_mel_bins = int(inner.get("n_mels") or inner.get("feature_size") or 80)

    def __call__(self, waves: list[np.ndarray], **options: Any) -> dict[str, torch.Tensor]:
        """Return ``input_features`` (B, frames // 2, 2 bins): neighbouring frames of 10 ms side by side."""
        from transformers.audio_utils import mel_filter_bank

        batch = torch.from_numpy(np.stack(waves).astype(np.float32))
        size = len(self.window)
        power = torch.stft(
            batch, self.n_fft, self.hop_length, size, self.window, center=True, return_complex=True
        ).abs().square()  # fmt: skip
        bands = mel_filter_bank(
            self.n_fft // 2 + 1, self.num_mel_bins, 0.0, self.sampling_rate / 2, self.sampling_rate, mel_scale="htk"
        )
        mel = power.transpose(1, 2) @ torch.from_numpy(bands).float()
        log = mel.clamp_min(1e-10).log10()
        log = torch.maximum(log, log.amax((1, 2), keepdim=True) - 8.0) / 4 + 1
        log = log[:, : log.shape[1] // 2 * 2]
        return {"input_features": log.reshape(len(log), -1, 2 * self.num_mel_bins)}

    def save_pretrained(self, folder: Path) -> None:
        """Write ``preprocessor_config.json``."""
        (Path(folder) / "preprocessor_config.json").write_text(json.dumps(self.values, indent=2) + "\n")
