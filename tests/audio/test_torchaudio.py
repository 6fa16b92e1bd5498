"""torchaudio's front end: parity with ours where its build imports, a plain message where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from and_core.audio.fbank import fbank_by, kaldi_fbank
from and_core.config import PluginConfig
from and_core.errors import ConfigError, MissingExtra
from and_core.targets.base import TARGETS
from tests.conftest import tone

try:
    import torchaudio

    WHY = ""
except ImportError:
    WHY = "torchaudio is not installed (pip install 'audio-network-dissection[torchaudio]')"
except OSError as error:
    WHY = f"torchaudio does not import beside torch {torch.__version__}: {str(error).splitlines()[0]}"

needs_torchaudio = pytest.mark.skipif(bool(WHY), reason=WHY)


@pytest.mark.skipif(not WHY, reason="torchaudio imports here")
def test_where_it_does_not_import_a_message_says_so() -> None:
    with pytest.raises((MissingExtra, ConfigError), match=r"\[torchaudio\]|torch 2.9.1 with torchaudio 2.9"):
        fbank_by("torchaudio")
    with pytest.raises((MissingExtra, ConfigError), match="front_end='torchaudio'"):
        TARGETS.create(PluginConfig(kind="ast", front_end="torchaudio"))


@needs_torchaudio
@pytest.mark.parametrize(
    ("window", "scale", "bins"), [("hanning", 1.0, 128), ("povey", 2.0**15, 128), ("hanning", 1.0, 64)]
)
def test_filter_banks_are_ours(window: str, scale: float, bins: int) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    waves = torch.from_numpy(np.stack([tone(1.0) + 0.1 * noise, noise]))  # no cell so empty that rounding fills it
    ours = kaldi_fbank(waves, mel_bins=bins, window=window, scale=scale)
    theirs = fbank_by("torchaudio")(waves, mel_bins=bins, window=window, scale=scale)
    assert ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=2e-3)


@needs_torchaudio
def test_a_network_hears_the_same_through_either() -> None:
    logits = []
    for front_end in ("own", "torchaudio"):
        target = TARGETS.create(PluginConfig(kind="ast", front_end=front_end))
        target.load("cpu")
        with torch.inference_mode():
            logits.append(target.forward(target.features([tone(1.0), tone(0.4, hz=900)])))
    assert torch.allclose(logits[0], logits[1], atol=1e-3)


@needs_torchaudio
def test_resampling_agrees_with_soxr_below_the_band_edge() -> None:
    import soxr

    from and_core.audio.torchaudio_bridge import torchaudio_resample

    wave = tone(1.0, 44_100, hz=1_000) + tone(1.0, 44_100, hz=5_000)
    ours = soxr.resample(wave, 44_100, 16_000, quality="HQ")
    theirs = torchaudio_resample(wave, 44_100, 16_000)
    middle = slice(1_000, 15_000)
    assert len(ours) == len(theirs) and np.abs(ours[middle] - theirs[middle]).max() < 2e-3
    assert torchaudio_resample(wave, 16_000, 16_000) is wave and torchaudio.__version__
