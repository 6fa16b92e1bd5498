"""Typed names for what the stage `steering` left: which class every neuron pushes, and whether headlines name it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from and_core.store.artifacts import Artifacts


class SteeringResults(Artifacts):
    """Each raises :class:`NotComputed` where the stage has not been run."""

    @property
    def pushes(self) -> np.ndarray:
        """(R, C) change of each class's logit by one standard deviation more of each neuron; NaN where not known."""
        return self.array("steering/pushes")

    @property
    def pushed(self) -> pa.Table:
        """One row a neuron: the classes it moves up and down most, by how much, and whether it moves any further than
        random directions do."""
        return self.table("steering/neurons")

    @property
    def steering_layers(self) -> Any:
        """One row a layer: confident headlines whose class is the one moved up most, chance, and the check by dials."""
        return self.document("steering/layers")
