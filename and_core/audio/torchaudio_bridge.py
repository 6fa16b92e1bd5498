"""Filter banks and resampling by torchaudio, where its build imports: for networks that were trained on its front end,
and for GPUs.

torchaudio's builds go with one version of torch each. A pair that works is torch 2.9.1 with torchaudio 2.9.*; with a
torch of another version the import fails with an OSError, and the error here says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from and_core.errors import ConfigError, MissingExtra, first_line

# torchaudio's own values for a filter like that of librosa's kaiser_best
KAISER: dict[str, Any] = {
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "resampling_method": "sinc_interp_kaiser",
    "beta": 14.769656459379492,
}


def require_torchaudio(setting: str) -> Any:
    """Return the module torchaudio, its Kaldi functions loaded.

    Parameters
    ----------
    setting : str
        What asks for it, for the message: ``target.front_end='torchaudio'``.

    Raises
    ------
    MissingExtra
        It is not installed.
    ConfigError
        It does not import beside the torch that is installed.
    """
    try:
        import torchaudio
        import torchaudio.compliance.kaldi
    except ImportError:
        raise MissingExtra("torchaudio", "torchaudio", setting) from None
    except OSError as error:
        raise ConfigError(
            f"{setting}: torchaudio does not import beside torch {torch.__version__} ({first_line(error)}); "
            "a pair that works is torch 2.9.1 with torchaudio 2.9.*"
        ) from None
    return torchaudio


def torchaudio_fbank(
    waves: torch.Tensor,
    *,
    mel_bins: int = 128,
    sample_rate: int = 16_000,
    window: str = "hanning",
    scale: float = 1.0,
    low_hz: float = 20.0,
) -> torch.Tensor:
    """Return log-mel energies as :func:`and_core.audio.fbank.kaldi_fbank` does, computed by
    ``torchaudio.compliance.kaldi.fbank``.

    Returns
    -------
    (B, frames, mel_bins) float32
    """
    kaldi = require_torchaudio("target.front_end='torchaudio'").compliance.kaldi
    options: dict[str, Any] = {
        "num_mel_bins": mel_bins,
        "sample_frequency": sample_rate,
        "window_type": window,
        "low_freq": low_hz,
    }
    plain: dict[str, Any] = {
        "htk_compat": True,
        "use_energy": False,
        "dither": 0.0,
        "frame_length": 25.0,
        "frame_shift": 10.0,
    }
    return torch.stack([kaldi.fbank(wave[None] * scale, **options, **plain) for wave in waves])


def torchaudio_resample(wave: np.ndarray, rate: int, to: int, device: str = "cpu") -> np.ndarray:
    """Return a waveform (samples,) at another rate, resampled on a device with a Kaiser window."""
    if rate == to:
        return wave
    functional = require_torchaudio("activations.resampler='torchaudio'").functional
    sound = torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(device)
    return functional.resample(sound, rate, to, **KAISER).cpu().numpy()
