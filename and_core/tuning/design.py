"""Where each family's stimuli stand among the presentations: rows by their parameters."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from and_core.tuning.stimulus import LEVEL


class Design:
    """Index of a battery.

    Parameters
    ----------
    table : pa.Table
        One row a presentation, as :func:`and_core.tuning.battery.stimulus_table` makes it.

    Attributes
    ----------
    conditions : int
        Number of stimuli, C.
    repeats : int
        How often each is played, n.
    """

    def __init__(self, table: pa.Table) -> None:
        self.columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
        self.condition = self.columns["condition"]
        self.first = np.flatnonzero(self.columns["repeat"] == 0)  # row of each condition's first presentation
        self.conditions = len(self.first)
        counts = np.bincount(self.condition)
        tones = self.columns["family"][self.first] == "tone"
        self.repeats = int(counts[tones][0]) if tones.any() else 1

    def of(self, name: str) -> np.ndarray:
        """Return (C,) a parameter of every stimulus."""
        return self.columns[name][self.first]

    def chosen(self, family: str, **kinds: object) -> np.ndarray:
        """Return (A,) conditions of a family, those whose other columns hold the given values."""
        mask = self.of("family") == family
        for name, value in kinds.items():
            mask = mask & (self.of(name) == value)
        return np.flatnonzero(mask)

    def rows(self, conditions: np.ndarray) -> np.ndarray:
        """Return (..., n) rows of the presentations of conditions (...)."""
        return self.first[conditions][..., None] + np.arange(self.repeats)

    @cached_property
    def silence(self) -> np.ndarray:
        """Rows of silence."""
        return np.flatnonzero(self.columns["family"] == "silence")

    @cached_property
    def chords(self) -> np.ndarray:
        """Rows of random chords."""
        return np.flatnonzero(self.columns["family"] == "chord")

    @cached_property
    def played(self) -> np.ndarray:
        """(A,) conditions that are repeated: all but silence and chords."""
        return np.flatnonzero(~np.isin(self.of("family"), ("silence", "chord")))

    @cached_property
    def levels(self) -> np.ndarray:
        """(L,) dB of the tones."""
        return np.unique(self.of("level")[self.chosen("tone")])

    @cached_property
    def frequencies(self) -> np.ndarray:
        """(F,) Hz of the tones."""
        return np.unique(self.of("frequency")[self.chosen("tone")])

    @cached_property
    def tones(self) -> np.ndarray:
        """(L, F) conditions of the tones."""
        return self.chosen("tone").reshape(len(self.levels), len(self.frequencies))

    @property
    def reference(self) -> int:
        """Place of the level of all other stimuli among :attr:`levels`."""
        return int(np.flatnonzero(self.levels == LEVEL)[0])

    @cached_property
    def carriers(self) -> list[float]:
        """Hz of the carriers of amplitude modulation, NaN for noise."""
        values = self.of("frequency")[self.chosen("am")]
        return [float("nan"), *np.unique(values[np.isfinite(values)]).tolist()]

    def modulated(self, carrier: int) -> np.ndarray:
        """Return (A,) conditions of one carrier, by rising rate."""
        every = self.chosen("am")
        hertz, own = self.carriers[carrier], self.of("frequency")[every]
        return every[np.isnan(own) if np.isnan(hertz) else own == hertz]

    def nearest_carrier(self, frequency: np.ndarray) -> np.ndarray:
        """Return (R,) the carrier nearest to each frequency in Hz; 0, noise, where there is none."""
        tones = np.log2(self.carriers[1:])
        if not len(tones):
            return np.zeros(len(frequency), int)
        away = np.abs(np.log2(np.where(np.isfinite(frequency), frequency, 1.0))[:, None] - tones)
        return np.where(np.isfinite(frequency), 1 + away.argmin(1), 0)

    @cached_property
    def sweeps(self) -> tuple[np.ndarray, np.ndarray]:
        """(V,) speeds in octaves a second, and (V, 2) conditions, rising then falling."""
        up, down = (self.chosen("sweep", kind="sweep", direction=way) for way in (1, -1))
        return self.of("speed")[up], np.stack([up, down], 1)

    @cached_property
    def durations(self) -> tuple[np.ndarray, np.ndarray]:
        """(A,) seconds, and (A,) conditions of bursts that begin at once, without a gap."""
        every = self.chosen("time", kind="burst", onset=0.0)
        every = every[np.isfinite(self.of("sounding")[every]) & np.isnan(self.of("gap")[every])]
        return self._sorted(every[1:], "sounding")  # the first is one of the onsets

    def _sorted(self, conditions: np.ndarray, by: str) -> tuple[np.ndarray, np.ndarray]:
        values = self.of(by)[conditions]
        order = np.argsort(values, kind="stable")
        return values[order], conditions[order]

    @cached_property
    def onsets(self) -> tuple[np.ndarray, np.ndarray]:
        """(A,) shares of the duration, and (A,) conditions of bursts of a quarter of it."""
        every = self.chosen("time", kind="burst")
        quarter = self.of("sounding")[every[0]] if len(every) else np.nan
        first = every[(self.of("sounding")[every] == quarter) & np.isnan(self.of("gap")[every])]
        unique = [int(np.flatnonzero(self.of("onset")[first] == x)[0]) for x in np.unique(self.of("onset")[first])]
        return self._sorted(first[unique], "onset")
