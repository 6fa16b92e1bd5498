"""Typed names for what the stage `tuning` left: the stimuli, what every neuron answered, and statistics of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from and_core.store.artifacts import Artifacts

RESPONSES = "tuning/responses"


class TuningResults(Artifacts):
    """Each raises :class:`NotComputed` where the stage has not been run."""

    @property
    def stimuli(self) -> pa.Table:
        """One row a presentation: condition, repeat, seed, and every parameter of the stimulus."""
        return self.table("tuning/stimuli")

    @property
    def tuning(self) -> pa.Table:
        """One row a neuron: best frequency, bandwidth, level function, modulation, direction, time, reliability, and
        what it is tuned to."""
        return self.table("tuning/neurons")

    @property
    def receptive_fields(self) -> np.ndarray:
        """(R, lags, bands) weights of each neuron's receptive field; lags that a layer does not have are 0."""
        return self.array("tuning/fields")

    @property
    def receptive_fields_about(self) -> Any:
        """Hertz of the bands, and by layer the number of lags and seconds of one (0: no map over time)."""
        return self.document("tuning/fields_about")

    def stimulus_activations(self, start: int, stop: int) -> np.ndarray:
        """Return (S, n) activations of the neurons at positions `start` to `stop` on every presentation."""
        return np.asarray(self.zarr_array(RESPONSES)[:, start:stop], np.float32)
