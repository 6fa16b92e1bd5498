"""What comes from the clips that a streamed pass keeps, against the same from all 20,000 of a simulated world.

The world: 200 concepts, as frequent as the rank's inverse, one to three a clip; similarities of captions to concepts
with noise, spread by a softmax; 2,048 neurons that follow one concept, two, or none, beside 16 shared factors and
noise, half of them rectified.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from and_core.dissect.similarity import SIMILARITIES
from and_core.dissect.streamed.sample import drawn
from benchmarks.report import Row, alone, finish

CLIPS, NEURONS, CONCEPTS, FACTORS = 20_000, 2_048, 200, 16
KEPT = (2_500, 5_000, 10_000)
FROM_KEPT = ("cos", "cos_cubed", "rank_reorder")
ALIKE = 6


class World(NamedTuple):
    """Activations (N, R), features (N, M), truth (N, M) and the concept that each neuron follows most."""

    activations: np.ndarray
    features: np.ndarray
    truth: np.ndarray
    concept: np.ndarray


def world() -> World:
    """Make the world."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, CONCEPTS + 1)
    truth = np.zeros((CLIPS, CONCEPTS), bool)
    for clip, count in enumerate(rng.integers(1, 4, CLIPS)):
        truth[clip, rng.choice(CONCEPTS, count, replace=False, p=share / share.sum())] = True
    near = 0.2 + 0.06 * rng.standard_normal((CLIPS, CONCEPTS)) + 0.25 * truth
    features = torch.softmax(torch.from_numpy(20 * near), 1).numpy().astype(np.float32)
    factors = rng.standard_normal((CLIPS, FACTORS))
    first, second = rng.integers(0, CONCEPTS, (2, NEURONS))
    weights = rng.choice([0.0, 1.0, 2.0, 4.0], (2, NEURONS), p=[0.2, 0.3, 0.3, 0.2]) * np.array([[1.0], [0.5]])
    u = truth[:, first] * weights[0] + truth[:, second] * weights[1]
    u += factors @ (0.3 * rng.standard_normal((FACTORS, NEURONS))) + rng.standard_normal((CLIPS, NEURONS))
    u[:, ::2] = np.maximum(u[:, ::2], 0)
    return World(u.astype(np.float32), features, truth, np.where(weights[0] > 0, first, -1))


def areas(w: World, rows: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each neuron that follows a concept, for that concept."""
    out = np.full(NEURONS, np.nan)
    for r in np.flatnonzero(w.concept >= 0):
        positive = w.truth[rows, w.concept[r]]
        if 0 < positive.sum() < len(rows):
            values = w.activations[rows, r]
            order = np.unique(values, return_inverse=True, return_counts=True)
            ranks = np.cumsum(order[2]) - (order[2] - 1) / 2
            total = ranks[order[1]][positive].sum()
            n = int(positive.sum())
            out[r] = (total - n * (n + 1) / 2) / (n * (len(rows) - n))
    return out


def correlations(w: World, rows: np.ndarray) -> np.ndarray:
    """(R, R) correlation of neurons; a neuron with itself does not count."""
    u = w.activations[rows]
    u = u - u.mean(0)
    u /= np.linalg.norm(u, axis=0)
    made = u.T @ u
    np.fill_diagonal(made, -2)
    return made


def compare() -> None:
    """Everything from the clips that are kept, and from all."""
    w = world()
    names, every = [f"clip {i}" for i in range(CLIPS)], np.arange(CLIPS)
    exact = {name: SIMILARITIES[name](w.activations, w.features) for name in FROM_KEPT}
    area, alike = areas(w, every), correlations(w, every)
    nearest = np.argsort(-alike, 1, kind="stable")[:, :ALIKE]
    told = w.concept >= 0
    out: dict[str, Any] = {}
    for kept in KEPT:
        rows = np.flatnonzero(drawn(names, kept, seed=0))
        of: dict[str, Any] = {}
        for name, scores in exact.items():
            made = SIMILARITIES[name](w.activations[rows], w.features[rows])
            best, true = made.argmax(1), scores.argmax(1)
            of[name] = float((best == true)[told].mean()), float((best == w.concept)[told].mean())
            of[f"{name} of all"] = float((true == w.concept)[told].mean())
        off = np.abs(areas(w, rows) - area)[told]
        near = correlations(w, rows)
        some = np.argsort(-near, 1, kind="stable")[:, :ALIKE]
        pairs = np.take_along_axis(near, nearest, 1) - np.take_along_axis(alike, nearest, 1)
        of["area"] = float(np.nanmedian(off)), float(np.nanpercentile(off, 95))
        of["alike"] = float(np.mean([len(set(a) & set(b)) / ALIKE for a, b in zip(some, nearest, strict=True)]))
        of["correlation"] = float(np.median(np.abs(pairs)))
        out[str(kept)] = of
    finish(**out)


def rows() -> Iterator[Row]:
    """One row a number of clips that are kept."""
    r = alone("benchmarks.kept_clips", "compare")
    for kept in KEPT:
        of = r[str(kept)]
        same = "; ".join(
            f"{name} {100 * of[name][0]:.1f} % (right {100 * of[name][1]:.1f}, of all {100 * of[f'{name} of all']:.1f})"
            for name in FROM_KEPT
        )
        yield Row(
            f"from {kept:,} clips that are kept, against all {CLIPS:,} (simulated): {NEURONS:,} neurons, {CONCEPTS} "
            "concepts",
            f"first concept the same: {same}; AUROC off by {of['area'][0]:.4f} (95 %: {of['area'][1]:.4f}); of the "
            f"{ALIKE} most alike {100 * of['alike']:.0f} % the same, correlations off by {of['correlation']:.4f}",
            "-",
            None,
        )


if __name__ == "__main__":
    {"compare": compare}[sys.argv[1]]()
