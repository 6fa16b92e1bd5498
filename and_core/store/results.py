"""What each stage left, by names of the field: everything outside the store and the pipeline reads results here."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from and_core.store.score_results import ScoreResults

LISTENERS = ("post-hoc", "by-design")
ScoredMethod = Literal["DB", "TAB"]
SCORED: dict[ScoredMethod, str] = {"DB": "closed", "TAB": "tab"}


class Results(ScoreResults):
    """Typed names for tables, arrays and documents.

    Each raises :class:`NotComputed` where its stage has not been run.
    """

    # -- clips ---------------------------------------------------------------------------------------------------------

    @property
    def uncaptioned(self) -> list[str]:
        """Names of the clips without a caption."""
        return self.table("captions/missing")["name"].to_pylist()

    # -- neurons -------------------------------------------------------------------------------------------------------

    @property
    def statistics_table(self) -> pa.Table:
        """One row a neuron: moments, range, `dead`."""
        return self.table("neurons/statistics")

    @property
    def target_classes(self) -> Any:
        """Classes of the target's classifier by unit; None where it has none."""
        return self.document("activations/classes")

    @property
    def class_pairs(self) -> list[tuple[str, str]] | None:
        """Pairs of a class of the network and a label that it stands for; None where names are compared."""
        return [tuple(pair) for pair in self.document("class_map/pairs")] if self.has("class_map") else None

    @property
    def multi_label(self) -> bool:
        """Whether the network takes a clip to have several classes at once: a sigmoid, not a softmax."""
        return bool(self.notes("activations").get("multi_label", False))

    @cached_property
    def dead(self) -> np.ndarray:
        """(R,) bool: neurons whose activation is the same on every clip."""
        return self.statistics_table["dead"].to_numpy(zero_copy_only=False)

    @property
    def activation_mean(self) -> np.ndarray:
        """(R,) mean activation over the probing set."""
        return self.statistics_table["mean"].to_numpy()

    @property
    def activation_std(self) -> np.ndarray:
        """(R,) standard deviation of the activation over the probing set."""
        return self.statistics_table["std"].to_numpy()

    def extreme_indices(self, side: Literal["high", "low"] = "high") -> np.ndarray:
        """Return (R, K) clips of the highest or lowest activation of each neuron, most extreme first.

        -1 where there are fewer.
        """
        return self.array(f"neurons/{side}_clips")

    # -- texts ---------------------------------------------------------------------------------------------------------

    @property
    def concept_set(self) -> Any:
        """The concepts of module A, M of them."""
        return self.document("texts/concepts")

    @property
    def concept_classes(self) -> pa.Table | None:
        """One row a concept and class by which the audio encoder hears it: weight, how, similarity; None where it does
        not hear by classes."""
        there = self.has("sounds") and "sounds/concept_classes" in self.manifest.artifacts
        return self.table("sounds/concept_classes") if there else None

    @property
    def caption_values(self) -> Any:
        """Distinct (attribute, value) pairs that captions say, V of them."""
        return self.document("texts/values")

    @property
    def caption_value_mask(self) -> np.ndarray:
        """(N, V) bool: which clip's caption says which."""
        return self.array("texts/clip_values")

    @property
    def calibrated_points(self) -> pa.Table:
        """One row a point of a high-side summary: neuron, text, attribute, whether calibration kept it."""
        return self.table("calibration/points")

    @property
    def word_table(self) -> pa.Table:
        """One row a neuron and word of its calibrated summary:
        part of speech, count, whether it is a word for sound."""
        return self.table("open/words")

    @property
    def icl_table(self) -> pa.Table:
        """One row an answer of the language model in ICL: neuron, question, rank, concept."""
        return self.table("icl/answers")

    @property
    def explanation_table(self) -> pa.Table:
        """One row a neuron: layer, unit, summary, concept, adjectives, leading class, `dead`."""
        return self.table("explanations/explanations")

    @property
    def explanation_vectors(self) -> np.ndarray:
        """(R, D) unit vector of each neuron's explanation, zeros where there is none."""
        return self.array("explanations/vectors")

    def best_concepts(self, method: ScoredMethod, similarity: str) -> np.ndarray:
        """Return (R, ranks) concepts of each neuron by a method of module A, best first; -1 where there are fewer."""
        return self.array(f"{SCORED[method]}/{similarity}_concepts")

    def best_concept_scores(self, method: ScoredMethod, similarity: str) -> np.ndarray:
        """Return (R, ranks) scores of :meth:`best_concepts`."""
        return self.array(f"{SCORED[method]}/{similarity}_scores")

    # -- analysis ------------------------------------------------------------------------------------------------------

    @property
    def last_layer_scores(self) -> Any:
        """Table 7 of this network: method, similarity, top1, top5 (percent), cos."""
        return self.document("last_layer/scores")

    @property
    def layer_word_counts(self) -> Any:
        """Mean counts of words a neuron, by layer (Fig. 5)."""
        return self.document("word_counts/layers")

    @property
    def block_word_counts(self) -> Any:
        """Mean counts of words a neuron, by block."""
        return self.document("word_counts/blocks")

    @property
    def adjective_counts(self) -> Any:
        """Each acoustic adjective with the neurons that have it, the most frequent first (Fig. 3)."""
        return self.document("word_counts/adjectives")

    @property
    def acoustic_tests(self) -> Any:
        """Tests of adjectives against acoustic measures (Fig. 8), the largest effects first."""
        return self.document("acoustics/tests")

    @property
    def acoustic_disagreements(self) -> Any:
        """Adjectives whose measures say otherwise."""
        return self.document("acoustics/disagreements")

    @property
    def acoustic_means(self) -> pa.Table:
        """Mean acoustic measures of each neuron's highest clips."""
        return self.table("acoustics/means")

    @property
    def cluster_sentences(self) -> pa.Table:
        """One row a caption sentence: clip, text, cluster, distance to its centre (Table 8)."""
        return self.table("clusters/sentences")

    @property
    def cluster_elbow(self) -> Any:
        """Inertia by number of clusters, and how the number was chosen."""
        return self.document("clusters/elbow")

    @property
    def cluster_clouds(self) -> Any:
        """Words of each cluster with their weights."""
        return self.document("clusters/clouds")

    @property
    def interpretability_table(self) -> pa.Table:
        """Percentage of uninterpretable neurons by layer, K and tau (Figs. 6, 11 to 14)."""
        return self.table("interpretability/layers")

    @property
    def interpretability_chance(self) -> Any:
        """The same percentage for clips drawn by chance."""
        return self.document("interpretability/chance")

    @property
    def interpretability_depth(self) -> Any:
        """Its trend with depth."""
        return self.document("interpretability/depth")

    @property
    def interpretability_by_seed(self) -> pa.Table:
        """:attr:`interpretability_table` under each seed of K-means, which stands in the column ``seed``."""
        return self.table("interpretability_seeds/layers")

    @property
    def interpretability_chance_by_seed(self) -> Any:
        """:attr:`interpretability_chance` under each seed of K-means."""
        return self.document("interpretability_seeds/chance")

    def most_in_one_cluster(self, k: int) -> np.ndarray:
        """Return (R,) how many of each neuron's K highest clips share a cluster of captions (AND section 8)."""
        return self.array(f"interpretability/most_{k}")

    def shared_cluster(self, k: int) -> np.ndarray:
        """Return (R,) that cluster."""
        return self.array(f"interpretability/cluster_{k}")

    def map_places(self, name: str) -> np.ndarray:
        """Return (R, 2) places of all neurons on a map."""
        return self.array(f"map/{name}")

    @property
    def quantities(self) -> pa.Table:
        """One row a neuron: the acoustic measure it goes with, held-out Spearman correlation and its sign, corrected p,
        what the measure and the best concept predict, and whether it ``follows`` the measure."""
        return self.table("quantities/neurons")

    @property
    def quantity_correlations(self) -> np.ndarray:
        """(R, Q) Spearman correlation of each neuron with each measure over the clips that count."""
        return self.array("quantities/correlations")

    @property
    def quantity_names(self) -> list[str]:
        """The measures, Q of them, in the order of :attr:`quantity_correlations`."""
        return list(self.notes("quantities")["measures"])

    @property
    def quantity_words(self) -> Any:
        """Measure -> its ``name``, its ``unit``, and what clips with ``more`` and ``less`` of it are called."""
        return self.document("quantities/words")

    @property
    def quantity_clips(self) -> pa.Table:
        """One row a clip: every measure that neurons are compared with."""
        return self.table("quantities/clips")

    # -- unlearning ----------------------------------------------------------------------------------------------------

    @property
    def tested_clips(self) -> np.ndarray:
        """(n,) clips of the test split."""
        return self.array("split/clips")

    @property
    def tested_truth(self) -> np.ndarray:
        """(n, C) bool: which classes each tested clip has, by the network's own numbering."""
        labels = np.asarray(self.array("split/labels"))
        if labels.ndim == 2:
            return labels.astype(bool)
        return labels[:, None] == np.arange(len(self.network_classes))

    @property
    def tested_logits(self) -> np.ndarray:
        """(n, C) logits of the whole network on the tested clips."""
        return self.array("split/logits")

    @property
    def network_classes(self) -> Any:
        """Classes of the network by unit, as the test split numbers them."""
        return self.document("split/classes")

    @property
    def concept_terms(self) -> Any:
        """Concept -> ``words`` of its name, those ``shared`` with other concepts, and ``synonyms`` (noun, cosine)."""
        return self.document("split/words")

    @property
    def unlearning_runs(self) -> pa.Table:
        """One row an ablation: concept, strategy, control, changes with intervals (Table 4)."""
        return self.table("unlearning/runs")

    @property
    def unlearning_by_class(self) -> np.ndarray:
        """(ablations, 2, C) change of each class's own output, in logits and in probabilities."""
        return self.array("unlearning/by_class")

    @property
    def unlearning_logits(self) -> np.ndarray:
        """Logits on the tested clips under each ablation that is kept."""
        return self.array("unlearning/logits")

    @property
    def unlearning_averages(self) -> Any:
        """Means over concepts, by strategy and number, and strategies in pairs (Table 4)."""
        return self.document("unlearning/averages")

    @property
    def unlearning_notes(self) -> Any:
        """Concept -> remarks on its ablations."""
        return self.document("unlearning/notes")

    @property
    def importance_curves(self) -> pa.Table:
        """Accuracy under ablation by kinds of words (Fig. 4)."""
        return self.table("importance/curves")

    @property
    def unlearning_by_layer(self) -> np.ndarray:
        """(ablations, layers) neurons that each silences."""
        return self.array("unlearning/per_layer")

    def kept_run(self, key: str) -> pa.Table:
        """Return rows of an ablation that a user kept, as :attr:`unlearning_runs` has them."""
        return self.table(f"kept-{key}/rows")

    def kept_arrays(self, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return, of an ablation that a user kept, changes by class, neurons by layer, logits, as
        :attr:`unlearning_by_class` and its like have them."""
        by_class, by_layer, logits = (
            np.asarray(self.array(f"kept-{key}/{part}")) for part in ("by_class", "per_layer", "logits")
        )
        return by_class, by_layer, logits

    # -- listening -----------------------------------------------------------------------------------------------------

    @property
    def listening_report(self) -> Any:
        """How faithful what is heard is: thresholds, metrics of the field, fidelity, training."""
        return self.document("listening/report")

    @property
    def decisions(self) -> pa.Table:
        """One row a mode and clip that nothing was learned on: the predicted class and its probability on the whole
        clip, on what is kept, on what is left, and without random components of as much energy."""
        return self.table("decisions/rows")

    @property
    def explained_variance(self) -> np.ndarray:
        """(R,) held-out R² of each neuron by the dictionary's components; NaN for one that never changes."""
        return self.array("listening/explained")

    @property
    def listener_modes(self) -> list[str]:
        """Modes that a listener was trained in: ``post-hoc``, ``by-design``."""
        return [mode for mode in LISTENERS if f"listening/{mode}" in self.manifest.artifacts]

    def listener_folder(self, mode: str) -> Path:
        """Return the folder of a trained listener's files."""
        return self.paths(f"listening/{mode}")[0].parent
