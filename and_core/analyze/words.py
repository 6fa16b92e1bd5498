"""Words of a network's calibrated summaries: which, how many by layer,
and how that changes with depth (AND section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from and_core.records import Layer

KINDS = ("adjective", "noun", "verb", "preposition")
DRAWS = 1000


def counts_per_neuron(words: pa.Table, neurons: int) -> dict[str, np.ndarray]:
    """Return words of each kind in each neuron's summary.

    Parameters
    ----------
    words : pyarrow.Table
        As the stage `open` leaves it: neuron, pos, word, count, acoustic.
    neurons : int
        Number of neurons, R.

    Returns
    -------
    dict of str to (R,) int
        ``adjective`` counts distinct words for sound, the others every occurrence.
    """
    counts = {}
    for kind in KINDS:
        rows = words.filter(
            pc.and_(pc.equal(words["pos"], kind), words["acoustic"])
            if kind == "adjective"
            else pc.equal(words["pos"], kind)
        )
        weights = None if kind == "adjective" else rows["count"].to_numpy()
        counts[kind] = np.bincount(rows["neuron"].to_numpy(), weights, neurons).astype(np.int64)
    return counts


def summary_tokens(points: pa.Table, neurons: int) -> np.ndarray:
    """Return (R,) words of each calibrated summary, from the points that calibration kept."""
    kept = points.filter(points["kept"])
    counts = pc.list_value_length(pc.utf8_split_whitespace(kept["text"]))
    return np.bincount(kept["neuron"].to_numpy(), counts.to_numpy(), neurons)


def distribution(words: pa.Table, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Return acoustic adjectives of the network, most frequent first (Figs. 3 and 9): neurons that have each, in all
    and by layer."""
    rows = words.filter(pc.and_(pc.equal(words["pos"], "adjective"), words["acoustic"]))
    encoded = rows["word"].combine_chunks().dictionary_encode()
    names, codes, neurons = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), rows["neuron"].to_numpy()
    bounds = np.array([layer.offset for layer in layers])
    layer = np.searchsorted(bounds, neurons, side="right") - 1
    table = np.bincount(codes * len(layers) + layer, minlength=len(names) * len(layers)).reshape(-1, len(layers))
    total = table.sum(1)
    order = sorted(range(len(names)), key=lambda i: (-total[i], names[i]))
    return [
        {
            "word": names[i],
            "neurons": int(total[i]),
            "layers": {x.name: int(n) for x, n in zip(layers, table[i], strict=True) if n},
        }
        for i in order
    ]


def by_layer(counts: dict[str, np.ndarray], alive: np.ndarray, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Return the mean of each count over a layer's neurons, layer by layer.

    Dead neurons are not counted, and a layer of dead ones has no mean (None).
    """
    rows = []
    for layer in layers:
        units = slice(layer.offset, layer.offset + layer.size)
        counted = int(alive[units].sum())
        means = {
            kind: float(values[units][alive[units]].mean()) if counted else None for kind, values in counts.items()
        }
        rows.append({"layer": layer.name, "block": layer.block, "kind": layer.kind, "neurons": counted, **means})
    return rows


def by_block(values: np.ndarray, layers: Sequence[Layer], seed: int = 0) -> dict[str, Any]:
    """Return the mean of a value over the neurons of each block, with a linear fit (Fig. 5); the classifier and neurons
    without a value (NaN) are left out.

    Returns
    -------
    dict
        ``blocks``, ``means``, ``low``, ``high`` (95 % bootstrap over neurons); ``slope`` a block, with ``slope_low``
        and ``slope_high``,
        ``intercept``, and ``p`` of the slope over neurons, which counts them as independent. Empty lists and None where
        the network has fewer than two blocks, no interval where a line fits its two points exactly.
    """
    inside = [layer for layer in layers if layer.block is not None]
    block = np.concatenate([np.full(layer.size, layer.block) for layer in inside]) if inside else np.zeros(0, int)
    value = (
        np.concatenate([values[layer.offset : layer.offset + layer.size] for layer in inside]).astype(float)
        if inside
        else np.zeros(0)
    )
    block, value = block[np.isfinite(value)], value[np.isfinite(value)]
    blocks = sorted({int(b) for b in block})
    rng = np.random.default_rng(seed)
    means, low, high = [], [], []
    for b in blocks:
        counts = value[block == b]
        drawn = rng.choice(counts, (DRAWS, len(counts))).mean(1) if len(counts) * DRAWS < 2e7 else _normal(counts, rng)
        means.append(float(counts.mean()))
        low.append(float(np.percentile(drawn, 2.5)))
        high.append(float(np.percentile(drawn, 97.5)))
    summary: dict[str, Any] = {"blocks": blocks, "means": means, "low": low, "high": high}
    if len(blocks) < 2:
        return {**summary, "slope": None, "intercept": None, "slope_low": None, "slope_high": None, "p": None}
    fit = stats.linregress(block, value)
    wide = float(stats.t.ppf(0.975, len(value) - 2) * fit.stderr) if len(value) > 2 else float("nan")
    figures = {
        "slope": fit.slope,
        "intercept": fit.intercept,
        "slope_low": fit.slope - wide,
        "slope_high": fit.slope + wide,
        "p": fit.pvalue if len(value) > 2 else float("nan"),
    }
    return {**summary, **{name: float(v) if np.isfinite(v) else None for name, v in figures.items()}}


def _normal(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return draws of a mean over very many values, by the central limit."""
    return rng.normal(values.mean(), values.std(ddof=1) / np.sqrt(len(values)), DRAWS)
