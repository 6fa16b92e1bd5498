"""Every page on a dissection whose activations are kept of half of the clips alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_core import open_dissection
from tests.conftest import ROOT
from tests.dashboard import app, page_html

PAGES = sorted(f"pages/{path.name}" for path in (ROOT / "pages").glob("*.py"))


@pytest.fixture(autouse=True)
def at_cache(streamed_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(streamed_cache))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(page: str) -> None:
    test = app().run()
    test.switch_page(page).run()
    assert not test.exception, page
    assert "is altered" not in page_html(test) and "has not been run" not in page_html(test)


def test_the_neurons_and_layers_pages_say_what_is_exact(streamed_cache: Path) -> None:
    d = open_dissection("small", root=streamed_cache)
    neuron = "layer2_intermediate/412"
    test = app(layer="layer2_intermediate", unit="412").run()
    text = page_html(test)
    sentence = (
        "Highest and lowest clips, means, spreads, class means, wpmi and soft_wpmi are exact over all 24 clips; "
        "whatever else is made from activations comes from 12 of them, drawn at random."
    )
    captions = [caption.value for caption in test.caption]
    assert sentence in captions and not test.exception
    assert "statistics over 24, activations of 12" in text
    assert "12 activations" in text and "All 12 activations" not in text
    tops = d.extreme_clips(neuron) + d.extreme_clips(neuron, "low")
    assert any(top.clip.index >= 12 for top in tops), "some of the extreme clips are not among those that are kept"
    for top in tops:
        assert f"/clips/small/{top.clip.index}.flac" in text and f"{top.activation:+.2f}" in text
    layers = app().run().switch_page("pages/layers.py").run()
    assert sentence in [caption.value for caption in layers.caption]


def test_activations_of_extreme_clips_are_known(streamed_cache: Path) -> None:
    d = open_dissection("small", root=streamed_cache)
    neuron = "layer2_intermediate/412"
    values = d.known_activations(neuron)
    assert np.array_equal(values[:12], d.activations(neuron))
    for side in ("high", "low"):
        for top in d.extreme_clips(neuron, side):
            assert values[top.clip.index] == np.float32(top.activation)
