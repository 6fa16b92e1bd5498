"""Statistics of a stream of clips: those of all clips at once, whatever the parts they were made in."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.dissect import statistics
from and_core.dissect.similarity import SIMILARITIES, TOP_ALONE
from and_core.dissect.streamed.block_sums import BlockSums
from and_core.dissect.streamed.histograms import Bins
from and_core.dissect.streamed.sample import drawn
from and_core.dissect.streamed.similarity import score_top
from and_core.dissect.streamed.statistics import HIGH, LOW, StreamedStatistics
from and_core.errors import DataError

BLOCK = 16
GOLDEN_CLIPS = [[11, 162, 197, 13], [21, 17, 127, 27], [8, 74, 58, 103]]
GOLDEN_COUNTS = [[0, 27, 31, 23, 30, 45, 44, 0], [0, 39, 29, 41, 38, 28, 25, 0], [0, 32, 32, 28, 30, 34, 44, 0]]
GOLDEN_MEANS = [0.629375, -0.51375, 0.30375]
GOLDEN_DIGEST = "796f1dbb38a0c907"


def made_activations(seed: int, clips: int, neurons: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    u = (rng.integers(-9, 9, (clips, neurons)) * np.float32(0.37)).astype(np.float32)  # many ties
    u[:, 1] = 2.5  # dead
    u[:, 2] = rng.standard_normal(clips) * 1e-3 + 100  # far from zero
    return u


def streamed(u: np.ndarray, blocks: list[int], mask: np.ndarray, sources: np.ndarray | None, bins: Bins):
    made = StreamedStatistics(bins, mask.shape[1])
    for block in blocks:
        rows = np.arange(block * BLOCK, min(len(u), (block + 1) * BLOCK))
        made.update(block, u[rows], rows, mask[rows], None if sources is None else sources[rows])
    return made


def as_bytes(made: StreamedStatistics) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in made.finish().items()}


@given(seed=st.integers(0, 999), clips=st.integers(1, 300), of=st.sampled_from([0, 9, 150]), data=st.data())
@settings(max_examples=40, deadline=None)
def test_parts_merge_to_the_bytes_of_the_whole(seed: int, clips: int, of: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    u = made_activations(seed, clips)
    mask = rng.random((clips, 3)) < 0.3
    sources = rng.integers(0, of, clips) if of else None
    bins, blocks = Bins.of(u[:40], 8), list(range(-(-clips // BLOCK)))
    whole = streamed(u, blocks, mask, sources, bins)
    part_of = data.draw(st.lists(st.integers(0, 3), min_size=len(blocks), max_size=len(blocks)))
    parts = [
        streamed(u, data.draw(st.permutations([b for b in blocks if part_of[b] == p])), mask, sources, bins)
        for p in range(4)
    ]
    order = data.draw(st.permutations(range(4)))
    merged = StreamedStatistics(bins, 3)
    for p in order:
        merged.merge(StreamedStatistics.restored(parts[p].state()))
    assert as_bytes(merged) == as_bytes(whole)


@given(seed=st.integers(0, 999), clips=st.integers(1, 260), of=st.sampled_from([0, 20]))
@settings(max_examples=40, deadline=None)
def test_statistics_are_those_of_all_clips_at_once(seed: int, clips: int, of: int) -> None:
    rng = np.random.default_rng(seed)
    u = made_activations(seed, clips)
    mask = rng.random((clips, 4)) < 0.3
    mask[:, 3] = False  # a class that no clip has
    sources = rng.integers(0, of, clips) if of else None
    made = streamed(u, list(range(-(-clips // BLOCK))), mask, sources, Bins.of(u[:40], 8)).finish()
    for side, sign, k in (("high", 1, HIGH), ("low", -1, LOW)):
        best, values = statistics.extreme(sign * u, sources, k)
        assert np.array_equal(made[f"{side}_clips"], best)
        assert np.array_equal(made[f"{side}_values"], sign * values, equal_nan=True)
    expected = statistics.moments(u)
    for name in ("minimum", "maximum", "dead"):
        assert np.array_equal(made[name], expected[name])
    assert np.allclose(made["mean"], expected["mean"], rtol=1e-12)
    assert np.allclose(made["std"], expected["std"], rtol=1e-9, atol=1e-9)
    live = expected["std"] > 1e-6
    assert np.allclose(made["skewness"][live], expected["skewness"][live], atol=1e-6)
    assert np.allclose(made["kurtosis"][live], expected["kurtosis"][live], atol=1e-6)
    means = np.array(
        [u[mask[:, c]].astype(np.float64).mean(0) if mask[:, c].any() else np.full(7, np.nan) for c in range(4)]
    )
    assert np.allclose(made["class_means"], means.T, rtol=1e-6, equal_nan=True)
    assert made["histograms"].sum(1).tolist() == [clips] * 7


def test_bins_of_the_first_clips_are_todays_and_open_ends_are_counted() -> None:
    u = np.random.default_rng(1).standard_normal((500, 5)).astype(np.float32)
    u[:, 4] = 1
    first = statistics.histograms(u, 10)
    made = StreamedStatistics(Bins.of(u, 10))
    made.update(0, u, np.arange(500))
    assert np.array_equal(made.finish()["histograms"][:, 1:-1], first)
    made.update(1, np.array([[9, -9, 0, 0, 1], [9, 9, 0, 0, 2]], np.float32), np.array([500, 501]))
    counts = made.finish()["histograms"]
    assert counts[0, -1] == 2 and counts[1, [0, -1]].tolist() == [1, 1]
    assert counts[4].tolist() == [0, 501, *[0] * 9, 1]


def test_the_same_numbers_as_ever() -> None:
    u = np.random.default_rng(7).integers(-50, 50, (200, 3)).astype(np.float32) / 8
    mask = np.eye(2, dtype=bool)[np.arange(200) % 2]
    made = streamed(u, list(range(13)), mask, None, Bins.of(u[:100], 6)).finish()
    assert made["high_clips"][:, :4].tolist() == GOLDEN_CLIPS
    assert made["histograms"].tolist() == GOLDEN_COUNTS
    assert made["mean"].tolist() == GOLDEN_MEANS
    digest = hashlib.sha256(made["high_clips"].tobytes() + made["low_clips"].tobytes() + made["class_means"].tobytes())
    assert digest.hexdigest()[:16] == GOLDEN_DIGEST


def test_what_can_not_be_added_is_refused() -> None:
    u = np.zeros((4, 2), np.float32)
    made = StreamedStatistics(Bins.of(u, 4))
    with pytest.raises(DataError, match="no clip"):
        made.finish()
    made.update(0, u, np.arange(4))
    with pytest.raises(DataError, match="block=0 has been added before"):
        made.update(0, u, np.arange(4))
    with pytest.raises(DataError, match="block=0 has been added before"):
        made.merge(made)
    with pytest.raises(DataError, match="same bins"):
        made.merge(StreamedStatistics(Bins.of(u + 1, 4)))
    with pytest.raises(DataError, match="shape"):
        made.update(1, u[:, :1], np.arange(4))
    sums: BlockSums[int] = BlockSums(lambda a, b: a + b)
    for block in (5, 0, 3, 1, 2):
        sums.add(block, 1 << block)
    assert sums.total() == 0b101111 and set(sums.nodes) == {(2, 0), (0, 5)}
    with pytest.raises(DataError, match="block=2"):
        sums.add(2, 1)


@pytest.mark.parametrize("name", TOP_ALONE)
@pytest.mark.parametrize("clips", [60, 300])
def test_scores_by_top_clips_alone_are_those_of_all_activations(name: str, clips: int) -> None:
    rng = np.random.default_rng(clips)
    t, p = rng.standard_normal((clips, 6)).astype(np.float32), rng.random((clips, 5)).astype(np.float32)
    best = statistics.extreme(t, None, HIGH)[0]
    assert np.array_equal(score_top(name, best, p, np.ones(clips, bool)), SIMILARITIES[name](t, p))
    some = np.ones(clips, bool)
    some[rng.permutation(clips)[:20]] = False  # clips without a caption
    made = score_top(name, best, np.where(some[:, None], p, 0), some)
    if name == "wpmi" or clips == 60:  # of the 100 highest, 28 have captions; of 300 clips, not all 100
        assert np.array_equal(made, SIMILARITIES[name](t[some], p[some]))
    else:
        assert np.abs(made - SIMILARITIES[name](t[some], p[some])).max() > 0
        assert np.isfinite(made).all()


def test_the_clips_that_are_kept_whole_do_not_depend_on_the_others() -> None:
    names = [f"clip{i:04d}.wav" for i in range(900)]
    whole = drawn(names, 90, seed=3)
    assert whole.sum() == 90 and not np.array_equal(whole, drawn(names, 90, seed=4))
    halves = np.concatenate([drawn(names[:400], 90, seed=3), drawn(names[400:], 90, seed=3)])
    assert not (whole & ~halves).any()
    assert 25 < whole[:450].sum() < 65  # as many early as late
    assert drawn(names[:5], 90, seed=3).all()
