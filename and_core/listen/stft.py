"""From a waveform to a log-magnitude spectrogram and back, parts of it included ("Listen to Interpret", front end).

Conventions: mono float32 waveforms in [-1, 1]; STFT with a periodic Hann window, centred, unnormalised; (F, T) with F =
n_fft / 2 + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

TINY = 1e-30


@dataclass(frozen=True)
class Stft:
    """Short-time Fourier transform of clips.

    Attributes
    ----------
    rate : int
        Hz of the waveforms.
    n_fft, hop : int
        Samples of a frame and between frames. 512 and 256 at 16 kHz, 1024 and 512 at 44.1 kHz.
    """

    rate: int = 16_000
    n_fft: int = 512
    hop: int = 256

    @classmethod
    def for_rate(cls, rate: int) -> Stft:
        """Return the paper's setting for a sample rate: frames of 23 to 32 ms."""
        return cls(rate, 512, 256) if rate <= 24_000 else cls(rate, 1024, 512)

    @property
    def bins(self) -> int:
        """Rows of a spectrogram."""
        return self.n_fft // 2 + 1

    def spectrum(self, waves: torch.Tensor) -> torch.Tensor:
        """Return (B, samples) -> complex (B, F, T); a clip shorter than a frame is padded with silence."""
        short = self.n_fft - waves.shape[-1]
        waves = torch.nn.functional.pad(waves, (0, short)) if short > 0 else waves
        window = torch.hann_window(self.n_fft, device=waves.device)
        return torch.stft(waves, self.n_fft, self.hop, window=window, center=True, return_complex=True)

    def waves(self, spectrum: torch.Tensor, samples: int) -> torch.Tensor:
        """Return complex (B, F, T) -> (B, samples); the inverse of :meth:`spectrum`."""
        window = torch.hann_window(self.n_fft, device=spectrum.device)
        waves = torch.istft(spectrum, self.n_fft, self.hop, window=window, center=True, length=max(samples, self.n_fft))
        return waves[..., :samples]


def peak(waves: torch.Tensor) -> torch.Tensor:
    """Return (B, 1) what the waveforms are divided by before anything else, since log(1 + x) depends on gain.

    1 for silence.
    """
    highest = waves.abs().amax(-1, keepdim=True)
    return torch.where(highest > 0, highest, torch.ones_like(highest))


def log_magnitude(spectrum: torch.Tensor) -> torch.Tensor:
    """Return X = log(1 + |STFT|)."""
    return torch.log1p(spectrum.abs())


def with_magnitude(spectrum: torch.Tensor, log: torch.Tensor) -> torch.Tensor:
    """Return a spectrogram with the phase of one and the log magnitude of another:
    ``expm1(X)`` at the input's phase."""
    magnitude = spectrum.abs()
    wanted = torch.expm1(log.clamp_min(0))
    return spectrum * (wanted / magnitude.clamp_min(TINY)) + torch.where(
        magnitude > 0, 0.0, wanted
    )  # silence has no phase: 0
