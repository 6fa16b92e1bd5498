"""Quantities that a neuron can follow: the acoustic measures of a clip, and what more and less of each is called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from and_core.audio.measures import MEASURES, UNITS
from and_core.audio.media import read_flac
from and_core.records import direction
from and_core.store.dissection import Dissection


@dataclass(frozen=True)
class Quantity:
    """What people call a measure, and clips with more and with less of it ("the brighter")."""

    name: str
    more: str
    less: str
    unit: str


ENERGY_CENTROID = "energy_centroid"
_WORDS: dict[str, tuple[str, str, str]] = {
    "duration": ("length", "the longer", "the shorter"),
    "level": ("loudness", "the louder", "the quieter"),
    "amplitude": ("mean amplitude", "the louder on average", "the quieter on average"),
    "median_frequency": ("median frequency", "the higher its spectrum lies", "the lower its spectrum lies"),
    "centroid": ("brightness", "the brighter", "the duller"),
    "flatness": ("noisiness", "the noisier", "the less noisy"),
    "periodicity": ("tonality", "the more tonal", "the less tonal"),
    "fundamental": ("pitch", "the higher its pitch", "the lower its pitch"),
    "dominant_frequency": ("strongest frequency", "the higher its loudest tone", "the lower its loudest tone"),
    "glide": ("glide", "the more its pitch rises", "the more its pitch falls"),
    "onset_rate": ("event rate", "the more events a second", "the fewer events a second"),
    "irregularity": ("irregularity", "the less regular its rhythm", "the more regular its rhythm"),
    "active_share": ("continuity", "the more continuous", "the more intermittent"),
    "longest_active": ("longest sound", "the longer its longest sound", "the shorter its longest sound"),
    "slope": ("growth", "the more it grows louder", "the more it fades"),
    "floor": ("background", "the louder its pauses", "the quieter its pauses"),
    ENERGY_CENTROID: ("time of the energy", "the later its energy lies", "the earlier its energy lies"),
}  # fmt: skip
ENERGY_CENTROID_UNIT = "0 (start of the clip) to 1 (its end), mean time weighted by power"
QUANTITIES: dict[str, Quantity] = {
    measure: Quantity(*_WORDS[measure], {**UNITS, ENERGY_CENTROID: ENERGY_CENTROID_UNIT}[measure])
    for measure in (*MEASURES, ENERGY_CENTROID)
}


def in_words(measure: str, sign: int) -> str:
    """Return how the activation goes with a measure, in words.

    Parameters
    ----------
    measure : str
        A key of :data:`QUANTITIES`.
    sign : int
        Of the correlation.

    Examples
    --------
    >>> in_words("centroid", 1), in_words("level", -1)
    ('the brighter, the higher', 'the quieter, the higher')
    """
    quantity = QUANTITIES[measure]
    return direction(quantity.more, quantity.less, sign)


def energy_centroid(wave: np.ndarray) -> float:
    """Return where the energy of a clip lies in time: 0 for its start, 1 for its end; NaN for silence.

    Parameters
    ----------
    wave : (samples,) float array
        At any rate.
    """
    power = np.square(np.asarray(wave, np.float64) - np.mean(wave)) if len(wave) else np.zeros(0)
    total = power.sum()
    if not total > 0:
        return float("nan")
    # summed by NumPy and not as a product of vectors, which comes out otherwise on another number of threads
    return float((power * ((np.arange(len(power)) + 0.5) / len(power))).sum() / total)


def clip_measures(d: Dissection) -> dict[str, np.ndarray]:
    """Return every measure of the probing clips by name.

    What the clips' table lacks is taken from their sound.

    Returns
    -------
    dict of str to (N,) float64
        NaN where a measure has no meaning for a clip. Measures that an older dissection was not given are left out.
    """
    centroids = [energy_centroid(read_flac(d.audio(clip))[0]) for clip in range(len(d.clips))]
    return {**d.measures(QUANTITIES), ENERGY_CENTROID: np.array(centroids)}
