"""What takes another way among many clips: it agrees with the exact one, and comes out the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.analyze import clusters
from and_core.analyze.interpretability import PERMUTED_CLIPS, random_sets
from and_core.analyze.map import components, gram, leading_axes
from and_core.dissect import neighbours
from and_core.dissect.statistics import extreme


@given(seed=st.integers(0, 500), clips=st.integers(1, 60), k=st.integers(1, 12), of=st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_selected_clips_are_those_of_a_full_sort(seed: int, clips: int, k: int, of: int) -> None:
    rng = np.random.default_rng(seed)
    u = rng.integers(-3, 3, (clips, 4)).astype(np.float32) * np.float32(0.5)
    sources = rng.integers(0, of, clips) if of else None
    made, values = extreme(u, sources, k)
    for r in range(4):
        order = np.argsort(-u[:, r], kind="stable").tolist()
        if sources is not None:
            order = [c for i, c in enumerate(order) if sources[c] not in {sources[x] for x in order[:i]}]
        expected = (order + [-1] * k)[:k]
        assert made[r].tolist() == expected
        assert np.array_equal(values[r], [u[c, r] if c >= 0 else np.nan for c in expected], equal_nan=True)


def test_axes_without_a_matrix_of_clips_by_clips() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 12)) * 2.0 ** -np.arange(12) @ rng.standard_normal((12, 300))
    x = (x + 1e-3 * rng.standard_normal(x.shape)).astype(np.float32)
    calls = []

    def blocks():
        calls.append(1)
        return (x[i : i + 70] for i in range(0, 600, 70))

    made, exact = leading_axes(blocks, 300, 0, 8), components(gram([x]), 8)
    assert made.shape == (300, 8) and len(calls) == 5
    assert np.allclose((made * exact).sum(0), 1, atol=1e-3)  # the same directions, with the same signs
    assert np.array_equal(made, leading_axes(blocks, 300, 0, 8))
    assert not np.array_equal(made, leading_axes(blocks, 300, 1, 8))


def fired(neurons: int, clips: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((clips, 40)) @ rng.standard_normal((40, neurons)) + 2 * rng.standard_normal(
        (clips, neurons)
    )
    return (x + 5 * rng.standard_normal(neurons)).astype(np.float32)


def test_neurons_that_fire_alike_by_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    x = fired(900, 1500)
    x[:, 7] = 3.0
    dead = np.arange(900) == 7
    rows = lambda: (x[i : i + 256] for i in range(0, len(x), 256))  # noqa: E731
    made, correlations = neighbours.alike(rows, dead, x.mean(0).round(1), 6)
    with np.errstate(invalid="ignore"):
        true = np.corrcoef(x.T)
    true[np.arange(900), np.arange(900)] = true[:, 7] = true[7] = -2
    best = np.argsort(-true, axis=1)[:, :6]
    alive = ~dead
    recall = np.mean([len({*a} & {*b}) / 6 for a, b in zip(made[alive], best[alive], strict=True)])
    assert recall >= 0.95
    assert np.allclose(correlations[alive], np.take_along_axis(true, made.astype(np.int64), 1)[alive], atol=1e-4)
    assert (made[7] == -1).all() and np.isnan(correlations[7]).all() and not (made[alive] == 7).any()
    again, _ = neighbours.alike(rows, dead, x.mean(0).round(1), 6)
    assert np.array_equal(made, again)
    few, none = neighbours.alike(lambda: [x[:, 6:8]], dead[6:8], x[:, 6:8].mean(0), 1)
    assert (few == -1).all() and np.isnan(none).all()


@given(seed=st.integers(0, 200), k=st.integers(1, 6), grouped=st.booleans())
@settings(max_examples=20, deadline=None)
def test_random_sets_of_many_clips_hold_no_clip_and_no_source_twice(seed: int, k: int, grouped: bool) -> None:
    allowed = np.arange(0, 2 * (PERMUTED_CLIPS + 1), 2)
    sources = np.random.default_rng(seed).integers(0, 8, len(allowed)) if grouped else None
    sets = random_sets(allowed, k, seed, sources, 50)
    assert sets.shape == (50, k) and np.isin(sets, allowed).all()
    assert np.array_equal(sets, random_sets(allowed, k, seed, sources, 50))
    of = sets if sources is None else sources[sets // 2]
    assert all(len(set(row)) == k for row in of.tolist())


def test_random_sets_take_sources_as_often_as_they_have_clips() -> None:
    sources = np.repeat([0, 1, 2], [3000, 1500, 500])
    sets = random_sets(np.arange(5000), 1, 0, sources, 20_000)
    assert np.allclose(np.bincount(sources[sets[:, 0]]) / 20_000, [0.6, 0.3, 0.1], atol=0.015)


def test_clusters_of_many_sentences_are_fitted_to_some_and_given_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    vectors = (3 * np.eye(3, 8)[truth] + 0.1 * rng.standard_normal((900, 8))).astype(np.float32)
    times = rng.integers(1, 4, 900)
    whole, inertia, distance = clusters.fit(vectors, times, 3, 0)
    monkeypatch.setattr(clusters, "MOST_FITTED", 200)
    some, near, close = clusters.fit(vectors, times, 3, 0)
    assert np.array_equal(some, whole)  # numbered by size over all, not over those that were drawn
    assert np.isclose(near, inertia, rtol=0.05) and np.allclose(close, distance, atol=0.2)
    counts = [count for count, _ in clusters.elbow(vectors, times, 4, 0)]
    assert counts == [1, 2, 3, 4]
