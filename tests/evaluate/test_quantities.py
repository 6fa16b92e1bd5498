"""Neurons against acoustic measures: rank correlations, correction, what is said to be followed, and the stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from and_core import open_dissection
from and_core.audio.measures import MEASURES
from and_core.audio.quantities import ENERGY_CENTROID, QUANTITIES, clip_measures, energy_centroid, in_words
from and_core.evaluate.planted_fit import FOLLOWS, fit_units
from and_core.evaluate.planted_quantities import quantity_findings, quantity_rows
from and_core.evaluate.planted_units import Unit, choose_quantities
from and_core.evaluate.quantities import (
    FLOOR,
    Followed,
    bin_indicators,
    corrected,
    correlate,
    followed,
    halves,
    likeness,
    p_values,
    recordings,
    spearman,
)
from and_core.store.headline import Headline
from and_core.store.manifest import Manifest
from and_core.store.writer import adopt
from tests.conftest import command
from tests.dashboard import app, page_html


def measured(clips: int = 80, seed: int = 0) -> np.ndarray:
    """Five measures: two whole, one that misses clips, one that is known for few, one that never varies."""
    m = np.random.default_rng(seed).standard_normal((clips, 5)).round(1)
    m[: clips // 4, 1], m[clips // 3 :, 2], m[:, 3] = np.nan, np.nan, 2.0
    return m


def test_correlations_and_p_are_scipys_with_ties_and_missing_values() -> None:
    u = np.maximum(np.random.default_rng(1).standard_normal((30, 80)), -0.3).astype(np.float32)
    u[:10] = u[:10].round(1)
    u[10:15] = np.random.default_rng(2).permuted(np.tile(np.linspace(-1, 1, 80), (5, 1)), axis=1)  # no two are equal
    u[3] = 0.0
    m = measured()
    clips = np.random.default_rng(3).random(80) < 0.7
    for used in (np.ones(80, bool), clips):
        found = spearman(u, m, used)
        p = p_values(found, recordings(m, np.arange(80), used))
        for i in range(len(u)):
            for q in range(m.shape[1]):
                known = np.isfinite(m[:, q]) & used
                with np.testing.suppress_warnings() as quiet:
                    quiet.filter(stats.ConstantInputWarning)
                    expected = stats.spearmanr(u[i, known], m[known, q])
                assert found[i, q] == pytest.approx(expected.statistic, abs=1e-6, nan_ok=True), (i, q)
                assert p[i, q] == pytest.approx(expected.pvalue, rel=1e-3, nan_ok=True), (i, q)
    assert np.isnan(spearman(u, m)[3]).all() and np.isnan(spearman(u, m)[:, 3]).all(), (
        "constants correlate with nothing"
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 79))
def test_only_the_order_counts(seed: int, last: int) -> None:
    rng = np.random.default_rng(seed)
    u, m = rng.integers(-4, 5, (3, 80)).astype(np.float32), measured(seed=seed)
    found = spearman(u, m)
    assert np.allclose(spearman(np.exp(u) * 7 - 2, m), found, atol=1e-6, equal_nan=True), "any rising transform"
    assert np.allclose(spearman(-u, m), -found, atol=1e-6, equal_nan=True), "the sign turns"
    assert np.allclose(spearman(u, -(m**3)), -found, atol=1e-6, equal_nan=True)
    order = rng.permutation(80)
    assert np.allclose(spearman(u[:, order], m[order]), found, atol=1e-6, equal_nan=True)
    m[last] = np.nan
    kept = np.arange(80) != last
    assert np.allclose(spearman(u, m), spearman(u[:, kept], m[kept]), atol=1e-6, equal_nan=True), "as if not there"


def test_the_correction_is_over_all_tests_and_recordings_count_once() -> None:
    p = np.array([[0.001, 0.2], [np.nan, 0.04]])
    assert corrected(p)[0, 0] == pytest.approx(0.001 * 3 * (1 + 1 / 2 + 1 / 3)) and np.isnan(corrected(p)[1, 0])
    m, sources = measured(), np.repeat(np.arange(20), 4)
    every = np.ones(80, bool)
    assert recordings(m, sources, every).tolist() == [20, 15, 7, 20, 20]
    r = np.full((1, 5), 0.5)
    assert (p_values(r, recordings(m, sources, every)) > p_values(r, recordings(m, np.arange(80), every))).all()
    assert np.isnan(p_values(r, np.full(5, 2))).all() and p_values(np.ones((1, 1)), np.array([9]))[0, 0] == 0


def judged(u: np.ndarray, m: np.ndarray, concepts: np.ndarray) -> Followed:
    """What neurons follow, with every other clip in the first half."""
    used, first = np.ones(len(m), bool), np.arange(len(m)) % 2 == 0
    c = correlate(u.astype(np.float32), halves(m, concepts, first, used))
    return followed(c, likeness(m, used), recordings(m, np.arange(len(m)), used))


def test_followers_are_told_and_noise_and_classes_are_not() -> None:
    rng = np.random.default_rng(0)
    clips = 240
    m = rng.standard_normal((clips, 4))
    m[:100, 2] = np.nan
    m[:, 3] = m[:, 0] ** 3 + 0.01 * rng.standard_normal(clips)  # the same thing as the first
    classes = rng.integers(0, 6, clips)
    m[:, 1] += 3 * (classes == 0)  # the first class has more of the second measure
    concepts = (classes[:, None] == np.arange(6)).astype(float)
    noise = rng.standard_normal((400, clips))
    follower = m[:, 1] + 0.3 * noise[0]
    u = np.stack([
        np.exp(m[:, 0] + 0.2 * noise[1]),  # bent, but it rises with the first
        -m[:, 0] + 0.2 * noise[2],
        follower,
        np.where(np.isfinite(m[:, 2]), m[:, 2], 0) + 0.1 * noise[3],
        10.0 * (classes == 0) + m[:, 1] * 0.5,  # a neuron of a class, which goes with the measure as well
        np.zeros(clips),
    ])  # fmt: skip
    f = judged(u, m, concepts)
    assert f.follows.tolist() == [True, True, True, True, False, False]
    assert (
        f.measure[0] in (0, 3) and f.measure[1] in (0, 3) and f.measure[2:4].tolist() == [1, 2] and f.measure[5] == -1
    )
    assert (f.spearman[[0, 2, 3]] > FLOOR).all() and f.spearman[1] < -FLOOR and np.isnan(f.spearman[5])
    assert f.by_concept[4] > f.by_measure[4] and abs(f.spearman[4]) > FLOOR, "its class explains it better"
    assert not judged(noise, m, concepts).follows.any() and not judged(np.maximum(noise, 1), m, concepts).follows.any()
    few = judged(u[:, :30], m[:30], concepts[:30])
    assert not few.follows[3], "too few recordings have the third measure"
    assert judged(u, m, concepts[:, :0]).follows[4], "without concepts there is nothing better"


def test_bins_are_equally_full() -> None:
    m = measured()
    bins = bin_indicators(m, np.ones(80, bool), 4)
    assert bins.shape == (80, 5, 4) and np.array_equal(bins.sum(2) > 0, np.isfinite(m))
    assert bins[:, 0].sum(0).min() >= 10 and bins[:, 3].sum(0).max() == 80


def test_every_measure_has_words_and_energy_lies_in_time() -> None:
    assert tuple(QUANTITIES) == (*MEASURES, ENERGY_CENTROID)
    assert (
        in_words("centroid", 1) == "the brighter, the higher" and in_words("centroid", -1) == "the duller, the higher"
    )
    assert len({in_words(name, sign) for name in QUANTITIES for sign in (1, -1)}) == 2 * len(QUANTITIES)
    wave = np.zeros(1000)
    wave[[899, 900]] = 1, -1
    assert energy_centroid(wave) == pytest.approx(0.9) and energy_centroid(wave[::-1]) == pytest.approx(0.1)
    assert energy_centroid(0.01 * wave) == pytest.approx(0.9) and np.isnan(energy_centroid(np.zeros(10)))


def test_units_are_fitted_to_ranks() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 12)).astype(np.float32)
    measures = {"level": np.exp(3 * x[:, 1]).astype(float), "glide": np.where(x[:, 2] > 0, x[:, 3], np.nan)}
    measures |= {"duration": np.ones(200), "slope": np.where(np.arange(200) < 30, x[:, 0], np.nan)}
    units = choose_quantities(measures)
    assert [(u.measure, u.sign) for u in units] == [("level", 1), ("level", -1), ("glide", 1), ("glide", -1)]
    labels, words = [("dog",)] * 200, [frozenset[str]()] * 200
    fitted = fit_units(x, [*units, Unit("random")], labels, words, 0, measures)
    found = spearman(fitted.of(x).T, np.stack([measures["level"], measures["glide"]], 1))
    assert found[0, 0] > 0.95 and found[1, 0] < -0.95 and found[2, 1] > 0.95 and found[3, 1] < -0.95
    alone = fit_units(x, [Unit("random")], labels, words, 0).weight
    assert np.allclose(alone[0], fitted.weight[4]), "random directions stay what they were"
    assert fitted.valid.all(), "the layer holds each of them"
    measures["level"] = rng.standard_normal(200)
    valid = fit_units(x, units, labels, words, 0, measures).valid
    assert valid.tolist() == [False, False, True, True], f"no read-out follows noise at {FOLLOWS} on left-out clips"
    assert Unit(**{"kind": "concept", "concept": "dog", "word": ""}).measure == "", (
        "on record before there were measures"
    )


def test_the_headline_says_it() -> None:
    bright = "brightness: the brighter, the higher (Spearman .87)"
    alone = Headline("dog", "DB", 0.3, {}, True, quantity=bright)
    assert alone.text == f"Follows {bright}."
    both = Headline("dog", "DB", 0.9, {"loud": 0.8}, True, quantity=bright)
    assert both.text.startswith("Fires on loud sounds such as dog") and both.text.endswith(f" Follows {bright}.")
    assert "Follows" not in Headline(None, None, None, {}, True, True, bright).text
    assert "Follows" not in Headline("dog", "DB", 0.9, {}, True).text


def test_the_stage_and_its_readers(dissection, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    d, table = dissection, dissection.quantities.to_pandas()
    assert len(table) == d.neuron_count and d.quantity_correlations.shape == (d.neuron_count, len(d.quantity_names))
    assert table.loc[d.dead, "measure"].isna().all() and not table.loc[d.dead, "follows"].any()
    by_name = clip_measures(d)
    for name in ("level", "glide", ENERGY_CENTROID):
        kept = d.quantity_clips[name].to_numpy(zero_copy_only=False).astype(float)
        assert np.array_equal(kept, by_name[name], equal_nan=True)
    index = int(np.flatnonzero(~d.dead)[7])
    level = d.quantity_names.index("level")
    own = stats.spearmanr(d.activations(d.neuron_id(index)), by_name["level"]).statistic
    assert d.quantity_correlations[index, level] == pytest.approx(own, abs=1e-6)
    strong = table[table["follows"]]
    assert len(strong) and (strong["spearman"].abs() >= FLOOR).all() and (strong["p"] < 0.01).all()
    assert (np.sign(strong["spearman"]) == strong["sign"]).all()
    assert (strong["by_measure"] >= strong["by_concept"]).all()
    first = int(strong["neuron"].iloc[0])
    neuron = d.neuron_id(first)
    assert "Follows " in d.headline(neuron).text
    answer = command("table", "quantities", "small", "--format", "csv")
    assert answer.startswith("0 layer,unit,measure") and "follow one of" in command("table", "quantities", "small")
    test = app(dissection="small", layer=neuron.layer, unit=str(neuron.unit)).run()
    assert not test.exception
    text = page_html(test)
    assert "Acoustic measures" in text and "Follows " in text and "Activation by " in text
    quiet = d.neuron_id(int(table.loc[~table["follows"] & ~d.dead, "neuron"].iloc[0]))
    other = page_html(app(dissection="small", layer=quiet.layer, unit=str(quiet.unit)).run())
    assert "Acoustic measures" in other and "Activation by " not in other


def test_a_dissection_without_the_stage_opens(own, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest.load(own.folder)
    adopt(manifest, "quantities", None, {})
    manifest.save(own.folder)
    monkeypatch.setenv("AND_CACHE", str(own.folder.parent))
    d = open_dissection("small", root=own.folder.parent)
    assert d.headline("fc/0").quantity is None
    test = app(dissection="small").run()
    assert not test.exception and "Not compared yet" in page_html(test)
    assert "has not been run yet" in command("table", "quantities", "small")


def test_what_is_told_of_planted_units(dissection) -> None:
    d, table = dissection, dissection.quantities.to_pandas()
    strong = table[table["follows"]].iloc[0]
    units = [Unit("random")] * d.neuron_count
    units[int(strong["neuron"])] = Unit("quantity", measure=strong["measure"], sign=int(strong["sign"]))
    found = quantity_findings(d, units, np.ones(len(d.clips), bool))
    row = found.iloc[int(strong["neuron"])]
    assert row["right"] and row["told"] == strong["measure"] and row["own"] > 0 and found["right"].sum() == 1
    units[int(strong["neuron"])] = Unit("quantity", measure=strong["measure"], sign=-int(strong["sign"]))
    assert not quantity_findings(d, units, np.ones(len(d.clips), bool))["right"].any(), "the wrong sign is wrong"
    found.insert(0, "kind", ["quantity" if i == strong["neuron"] else "random" for i in range(d.neuron_count)])
    by_kind = {(r["planted"], r["units"]): r for r in quantity_rows(found)}
    assert by_kind["quantity", "all"]["right %"] == 100 and by_kind["random", "all"]["right %"] is None
