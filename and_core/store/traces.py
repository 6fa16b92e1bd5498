"""Traces as they are stored: a neuron's activation over the time of a clip, in eight bits, and the reader of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from and_core.store.artifacts import Artifacts

LEVELS = 254  # steps from a trace's lowest value to its highest
UNHEARD = 255  # level of a frame that the network does not hear, of a clip that is longer than it takes
LEAST_SECONDS = 0.5  # of a stretch that is played


def quantise(traces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantise traces (n, F) to eight bits, each on its own range; NaN stands for frames that are not heard.

    Returns
    -------
    levels : (n, F) uint8
        0 at the lowest value, 254 at the highest, 255 where the clip is not heard.
    low, high : (n,) float32
        The range, in the target's own unit.

    Examples
    --------
    >>> quantise(np.array([[0.0, 1.0, 2.0, np.nan]], np.float32))[0].tolist()
    [[0, 127, 254, 255]]
    """
    unheard = np.isnan(traces)
    cut = bool(unheard.any())
    low = (np.where(unheard, np.inf, traces) if cut else traces).min(1)
    high = (np.where(unheard, -np.inf, traces) if cut else traces).max(1)
    nothing = low > high  # no frame is heard
    low, high = np.where(nothing, 0, low).astype(np.float32), np.where(nothing, 0, high).astype(np.float32)
    share = traces - low[:, None]
    share /= np.where(high > low, high - low, 1)[:, None]
    share *= LEVELS
    share += 0.5
    if not cut:
        return share.astype(np.uint8), low, high
    share[unheard] = UNHEARD
    return share.astype(np.uint8), low, high


def dequantise(levels: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return traces (n, F) float32 from their levels and ranges (n,); NaN where the clip is not heard."""
    share = levels.astype(np.float64) / LEVELS
    values = low[:, None] + share * (high.astype(np.float64) - low)[:, None]
    return np.where(levels == UNHEARD, np.nan, values).astype(np.float32)


def firing_stretch(trace: np.ndarray, seconds: float, least: float = 0.5) -> tuple[float, float] | None:
    """Return where a neuron fires in a clip, in seconds: the stretch around the trace's maximum that stays above half
    way from its median; at least so many seconds, None where nothing is heard or nothing changes.

    Examples
    --------
    >>> firing_stretch(np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 0], np.float32), 10.0)
    (4.0, 6.0)
    """
    if not np.isfinite(trace).any():
        return None
    peak = int(np.nanargmax(trace))
    middle = float(np.nanmedian(trace))
    if not trace[peak] > middle:
        return None
    above = np.nan_to_num(trace, nan=-np.inf) >= middle + (trace[peak] - middle) / 2
    first = last = peak
    while first > 0 and above[first - 1]:
        first -= 1
    while last < len(trace) - 1 and above[last + 1]:
        last += 1
    width = seconds / len(trace)
    start, stop = first * width, (last + 1) * width
    missing = max(0.0, min(least, seconds) - (stop - start)) / 2
    start = min(max(0.0, start - missing), max(0.0, seconds - (stop - start) - 2 * missing))
    return start, min(seconds, max(stop + missing, start + min(least, seconds)))


@dataclass(frozen=True)
class Trace:
    """A neuron's activation over the time of one clip.

    Attributes
    ----------
    values : (F,) float32
        In the target's own unit, in frames of equal length from the beginning of the clip to its end; NaN where the
        network does not hear the clip.
    """

    values: np.ndarray

    def stretch(self, seconds: float) -> tuple[float, float] | None:
        """Return where the neuron fires in a clip of this length, in seconds."""
        return firing_stretch(self.values, seconds)


class TraceResults(Artifacts):
    """Typed names for the traces that the pass over the clips left."""

    @property
    def has_traces(self) -> bool:
        """Whether traces were kept; not so in dissections that are older than they are."""
        return self.has("activations") and "activations/trace_levels" in self.manifest.artifacts

    def trace_of_layer(self, layer: str) -> str | None:
        """Return what the traces of a layer are, as a sentence; None where it has none."""
        about = self.document("activations/traces").get(layer) if self.has_traces else None
        if about is None:
            return None
        over = "the highest" if about["over_frequency"] == "highest" else "averaged"
        if about["pooling"] in ("cls", "reference", "first"):
            return (
                f"The trace is the activation on the patches, {over} over frequency; the clip's activation is that on "
                f"one token ({about['pooling']}), so the two need not rise together."
            )
        return (
            f"The trace is the activation over time, {over} over frequency; pooled ({about['pooling']}) it is the "
            "clip's activation."
        )

    def stored_traces(self, index: int) -> dict[int, Trace]:
        """Return clip -> trace, of the highest and lowest clips of the neuron at a position among all."""
        if not self.has_traces:
            return {}
        clips = np.asarray(self.array("activations/trace_clips")[index]).ravel()
        ranges = np.asarray(self.array("activations/trace_ranges")[index]).reshape(-1, 2)
        levels = np.asarray(self.array("activations/trace_levels")[index]).reshape(len(clips), -1)
        values = dequantise(levels, ranges[:, 0], ranges[:, 1])
        return {int(clip): Trace(trace) for clip, trace in zip(clips, values, strict=True) if clip >= 0}
