"""Pages draw some of very many clips: evenly spaced, the same each time, with the activations that they have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from and_core.records import Layer
from and_core.store import drawn as drawn_module
from and_core.store.dissection import Dissection


@pytest.mark.parametrize(("clips", "most", "expected"), [(40, 40, 40), (41, 40, 16), (400, 40, 24), (1000, 100, 56)])
def test_of_many_clips_evenly_spaced_stretches_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: int, most: int, expected: int
) -> None:
    values = np.random.default_rng(0).standard_normal((clips, 3)).astype(np.float32)
    array = zarr.create_array(str(tmp_path / "a"), shape=values.shape, dtype="float32", chunks=(8, 3), shards=(8, 3))
    array[:] = values
    monkeypatch.setattr(drawn_module, "MOST_DRAWN", most)
    made = object.__new__(Dissection)
    made.__dict__ |= {"layers": [Layer(name="a", kind="other", block=0, size=3)], "neuron_count": 3}
    monkeypatch.setattr(Dissection, "_zarr", lambda self, layer: array)
    monkeypatch.setattr(Dissection, "with_activations", np.ones(clips, bool))
    files = [
        SimpleNamespace(path=f"a/{p.relative_to(tmp_path / 'a')}") for p in (tmp_path / "a").rglob("*") if p.is_file()
    ]
    checked: list[str] = []
    monkeypatch.setattr(Dissection, "_activations_artifact", lambda self, layer: layer)
    monkeypatch.setattr(Dissection, "artifact", lambda self, name: SimpleNamespace(files=files))
    monkeypatch.setattr(Dissection, "_check", lambda self, name, i: checked.append(files[i].path))
    drawn = made.drawn_clips
    assert len(drawn) == expected <= most and drawn[0] == 0
    assert (np.diff(drawn) > 0).all() and drawn[-1] >= clips - 8 * -(-2 * clips // most)
    assert np.array_equal(made.drawn_activations("a/2"), values[drawn, 2])
    rows = {int(path.split("/")[-2]) for path in checked if not path.endswith("zarr.json")}
    assert rows == (set() if expected == clips else set((drawn // 8).tolist()))  # what is read is checked
