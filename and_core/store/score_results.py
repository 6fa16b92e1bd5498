"""What the stages on scores and confidence left, by names of the field."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.store.artifacts import Artifacts

OUTCOMES = ("fully", "partly", "unclear", "wrong")  # how much of what a unit was planted to mean its headline says
HOME = ("clips", "activations", "captions", "texts", "sounds", "scores")  # stages that a calibration belongs to


class ScoreResults(Artifacts):
    """Typed names for scores of explanations, and how probably they hold."""

    @property
    def scored_methods(self) -> Any:
        """Methods whose explanations were scored, in the order of the arrays below."""
        return self.document("scores/methods")

    @property
    def confidence(self) -> np.ndarray:
        """(methods, R) probability that each scored explanation holds; NaN where there is none or it can't be told."""
        scored = self.scored_methods
        if self.calibration_fault is not None:
            return np.full((len(scored), self.table("neurons/statistics").num_rows), np.nan, np.float32)
        methods = self.calibrated_methods
        return self.calibrated[[methods.index(method) for method in scored]]

    @property
    def calibrated_methods(self) -> list[str]:
        """Methods whose concepts have a probability, in the order of :attr:`calibrated`; none where none can be
        told."""
        return list(self.document("confidence/methods")) if self.calibration_fault is None else []

    @property
    def calibrated(self) -> np.ndarray:
        """(methods, R) probability that each method's concept is what the neuron fires on best."""
        return np.asarray(self.array("confidence/probability"))

    @property
    def presence_concepts(self) -> np.ndarray:
        """(R,) number of the concept whose presence goes with each neuron's activation most closely; -1 for none."""
        return np.asarray(self.array("confidence/presence_concepts"))

    @cached_property
    def calibration_fault(self) -> str | None:
        """Why no probability of a concept can be told: nothing was calibrated, or what was belongs to other data,
        captions, encoders or another network than are here now; None where it can."""
        if not self.has("confidence"):
            return "confidence has not been calibrated; run: and-dissect run CONFIG.yaml"
        notes = self.notes("confidence")
        here = {name: self.manifest.stages[name].key for name in HOME if name in self.manifest.stages}
        other = sorted({name for name in (*here, *notes["home"]) if here.get(name) != notes["home"].get(name)})
        if other:
            return (
                f"confidence was calibrated on other {', '.join(other)} than are here; run: and-dissect run CONFIG.yaml"
            )
        return str(notes["reason"]) if "reason" in notes else None

    @property
    def words_calibrated(self) -> bool:
        """Whether the probability of adjectives can be told."""
        return bool(np.isfinite(self.word_confidence).any())

    @cached_property
    def word_confidence(self) -> np.ndarray:
        """(rows of ``scores/words``,) probability that each adjective holds; NaN where it can't be told."""
        rows = self.table("scores/words").num_rows if self.has("scores") and self.scored_methods else 0
        if (
            not self.has("confidence")
            or self.notes("confidence")["home"].get("scores") != self.manifest.stages["scores"].key
        ):
            return np.full(rows, np.nan, np.float32)
        return np.asarray(self.array("confidence/words"))

    @property
    def confidence_reliability(self) -> dict[str, list[dict[str, float]]]:
        """Stated probability beside the share that holds, on units that were not fitted on: of concepts, adjectives."""
        return dict(self.document("confidence/reliability"))

    @property
    def ears_table(self) -> list[dict[str, Any]]:
        """How reliable the ears are on their home, by concept; empty where the clips' labels were taken."""
        return list(self.document("confidence/ears")) if "confidence/ears" in self.manifest.artifacts else []

    @property
    def score_values(self) -> np.ndarray:
        """(methods, predictors, metrics, R) held-out scores."""
        return self.array("scores/values")

    @cached_property
    def scored_words(self) -> pa.Table:
        """One row a neuron and adjective: halves that say it, held-out correlation, probability that it holds."""
        table, sure = self.table("scores/words"), pa.array(self.word_confidence, pa.float32())
        if "confidence" in table.column_names:  # of an earlier version, which calibrated elsewhere
            table = table.drop_columns(["confidence"])
        return table.append_column("confidence", pc.if_else(pc.is_nan(sure), None, sure))

    @property
    def score_layers(self) -> pa.Table:
        """Means of the scores by layer and method."""
        return self.table("scores/layers")

    @property
    def score_sanity(self) -> Any:
        """What the scores give where they must give nothing."""
        return self.document("scores/sanity")

    @property
    def planted_rows(self) -> Any:
        """What was found of planted units, by kind and method."""
        return self.document("planted/rows")

    @property
    def planted_confident(self) -> Any:
        """The same above thresholds of confidence."""
        return self.document("planted/confident")

    @property
    def planted_lost(self) -> Any:
        """At which step planted words are lost."""
        return self.document("planted/lost")

    @property
    def planted_reliability(self) -> Any:
        """Stated probability beside the share that holds."""
        return self.document("planted/reliability")

    @property
    def planted_adjectives(self) -> pa.Table:
        """One row a planted unit and adjective."""
        return self.table("planted/adjectives")

    @property
    def planted_quantity_rows(self) -> Any:
        """How many planted units are told to follow a measure, by kind; none where they were planted before."""
        return self.document("planted/quantity_rows") if "planted/quantity_rows" in self.manifest.artifacts else []

    @property
    def planted_form_rows(self) -> Any:
        """How many planted units get which composition, by kind; none where they were planted before."""
        return self.document("planted/form_rows") if "planted/form_rows" in self.manifest.artifacts else []

    @property
    def planted_findings(self) -> pa.Table:
        """One row a planted unit: what it means and what each method says."""
        return self.table("planted/findings")

    def score_bound(self, side: Literal["low", "high"]) -> np.ndarray:
        """Return (methods, headline metrics, R) ends of the 95 % interval of each score."""
        return self.array(f"scores/{side}")

    @property
    def score_baselines(self) -> np.ndarray:
        """(methods, baselines, headline metrics, R) scores of what says nothing of the neuron."""
        return self.array("scores/baselines")

    def wrong_clips_of_all(self, side: Literal["missed", "false"]) -> np.ndarray:
        """Return (methods, R, clips) held-out clips that an explanation gets most wrong; -1 where there are fewer."""
        return self.array(f"scores/{side}")

    @property
    def compositions(self) -> pa.Table:
        """One row a neuron: the ``form`` of what it means beyond one concept (see
        :class:`and_core.store.composition.Composed`), none where one says it; ``first`` and ``second``, ``share``,
        held-out ``score``, and the score of the best single concept ``alone``."""
        return self.table("compositions/neurons")

    @cached_property
    def intruder(self) -> dict[str, np.ndarray]:
        """Whether each neuron's high clips can be told from its low ones by sound alone, on recordings it was not
        looked up in.

        Arrays (R,) by name, NaN where a neuron could not be tested, none where no neuron could: ``auroc`` (chance .5);
        ``found``, how often one low clip is found among four high ones (chance .2); ``p``, the p-value of ``auroc``;
        ``neighbours_fire``, the share of the clips nearest to its high ones that fires, and ``neighbours_chance``, the
        share of all clips that does.
        """
        table = self.table("intruder/tests")
        names = [name for name in table.column_names if name != "neuron" and table.num_rows]
        return {name: table[name].to_numpy() for name in names}

    @property
    def hard_negatives(self) -> np.ndarray:
        """(R, clips) clips at or below each neuron's median that sound most like its high ones, nearest first; -1 where
        there are fewer."""
        return self.array("intruder/negatives")
