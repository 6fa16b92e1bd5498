"""The stages of a dissection in order: the only place that joins computing to the store."""

from and_core.pipeline.run import STAGE_NAMES, STAGES, TITLES, run, status
from and_core.pipeline.runner import Outcome

__all__ = ["STAGES", "STAGE_NAMES", "TITLES", "Outcome", "run", "status"]
