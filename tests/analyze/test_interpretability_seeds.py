"""What the seed of K-means makes of Figures 6 and 11 to 14: percentages, chance, intervals, figure, table and page."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core import open_dissection, pipeline
from and_core.figures.catalogue import TABLES
from and_core.figures.interpretability import (
    by_depth,
    by_seed,
    over_seeds,
    seed_remarks,
    seed_table,
    uninterpretable_curves,
)
from tests.conftest import small_config
from tests.dashboard import app, page_html


def row(seed: int, low: int, of: int) -> dict[str, int]:
    return {"seed": seed, "uninterpretable": low, "neurons": of}


def test_intervals_by_hand() -> None:
    rows = [row(0, 1, 10), row(0, 2, 20), row(1, 3, 10), row(1, 6, 20), row(2, 0, 10), row(2, 6, 20)]
    found = over_seeds(rows, [{"seed": s, "percent": p} for s, p in ((0, 20.0), (1, 25.0), (2, 30.0))])
    assert found["neurons"] == pytest.approx((10, 20, 10, 30))
    assert found["chance"] == pytest.approx((20, 25, 20, 30))
    assert found["difference"] == pytest.approx((-10, -5, -10, 5)), "seed by seed, not interval by interval"
    assert over_seeds([row(0, 0, 0)], [{"seed": 0, "percent": 1.0}]) == {}


@given(seed=st.integers(0, 200), seeds=st.integers(1, 10))
@settings(max_examples=25, deadline=None)
def test_an_interval_holds_every_seed_and_their_order_changes_nothing(seed: int, seeds: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [row(s, int(rng.integers(0, 9)), 8) for s in range(seeds)]
    chance = [{"seed": s, "percent": float(rng.uniform(0, 100))} for s in range(seeds)]
    found = over_seeds(rows, chance)
    for _, mean, low, high in found.values():
        assert low <= mean + 1e-9 and mean <= high + 1e-9
    neurons, null, difference = (np.array(found[name]) for name in ("neurons", "chance", "difference"))
    assert difference[:2] == pytest.approx(neurons[:2] - null[:2])
    mixed = over_seeds(rows, [chance[i] for i in rng.permutation(seeds)])
    assert all(mixed[name] == pytest.approx(found[name]) for name in found)


def test_the_first_seed_is_the_stage_interpretability(dissection) -> None:
    d = dissection
    seeds = d.notes("interpretability_seeds")["seeds"]
    assert seeds == list(range(10))
    rows = d.interpretability_by_seed.to_pylist()
    first = [{k: v for k, v in r.items() if k != "seed"} for r in rows if r["seed"] == 0]
    assert first == d.interpretability_table.to_pylist() and len(rows) == 10 * len(first)
    chance = [{k: v for k, v in r.items() if k != "seed"} for r in d.interpretability_chance_by_seed if r["seed"] == 0]
    assert sorted(chance, key=str) == sorted(d.interpretability_chance, key=str)
    by = {s: [r["uninterpretable"] for r in rows if r["seed"] == s] for s in seeds}
    assert len({tuple(counts) for counts in by.values()}) > 1, "another seed is another clustering"


def test_vectors_of_sentences_are_kept_or_made_again(own) -> None:
    """Clusters made before they left their vectors give the same numbers."""
    root, before = own.folder.parent, own.interpretability_by_seed
    assert own.array("clusters/vectors").shape[0] == own.notes("clusters")["distinct"]
    from and_core.store.manifest import Manifest

    manifest = Manifest.load(own.folder)
    del manifest.artifacts["clusters/vectors"]
    manifest.save(own.folder)
    done = pipeline.run(small_config(), root=root, only=["interpretability_seeds"], force=True, reuse=["small"])
    assert done.computed == ["interpretability_seeds"]
    assert open_dissection("small", root=root).interpretability_by_seed.equals(before)


def test_figure_table_and_page(dissection, cache, monkeypatch: pytest.MonkeyPatch) -> None:
    d = dissection
    rows, chance = by_depth([d], 5, 4)
    seeds = by_seed([d], 5, 4)
    figure = uninterpretable_curves(rows, chance, seeds=seeds)
    line, band, dotted = figure.data
    ups, downs = np.array(line.error_y.array), np.array(line.error_y.arrayminus)
    assert (ups >= -1e-9).all() and (downs >= -1e-9).all() and (ups + downs).max() > 0
    assert min(band.y) <= dotted.y[0] <= max(band.y)
    plain = uninterpretable_curves(rows, chance)
    assert len(plain.data) == 2 and plain.data[0].error_y.array is None, "without other seeds, as it was"
    assert list(plain.data[0].y) == list(line.y)
    table = TABLES["interpretability"](d)
    assert [part.title for part in table.parts][1].startswith("Uninterpretable neurons over seeds")
    assert all(r["low"] <= r["percent"] <= r["high"] for r in table.rows if r["percent"] == r["percent"])
    assert len(seed_table([d])) == len(d.interpretability_chance)
    assert "over 10 seeds of K-means" in seed_remarks(seeds)[0]
    monkeypatch.setenv("AND_CACHE", str(cache))
    test = app(dissection="small").run().switch_page("pages/layers.py").run()
    assert not test.exception and "over 10 seeds of K-means" in page_html(test)


def test_a_dissection_without_other_seeds_opens(own, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_core.store.manifest import Manifest

    manifest = Manifest.load(own.folder)
    for stage in ("interpretability_seeds", "intruder"):
        del manifest.stages[stage]
    manifest.artifacts = {k: v for k, v in manifest.artifacts.items() if k.split("/")[0] in manifest.stages}
    manifest.save(own.folder)
    d = open_dissection("small", root=own.folder.parent)
    assert by_seed([d], 5, 4) == {} and len(TABLES["interpretability"](d).parts) == 1
    monkeypatch.setenv("AND_CACHE", str(own.folder.parent))
    test = app(dissection="small").run()
    assert not test.exception and "By sound alone" not in page_html(test)
    layers = test.switch_page("pages/layers.py").run()
    assert not layers.exception and "captions do not agree, by depth" in page_html(layers)
    assert "seeds of K-means" not in page_html(layers)
