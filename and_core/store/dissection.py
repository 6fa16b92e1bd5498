"""Reading a dissection: the pages', notebooks' and other tools' only door to the data. Never imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.errors import ArtifactError, DataError, NotComputed, one_of
from and_core.records import Concept, Layer, NeuronId, Point, Side, TopClip
from and_core.store.artifacts import VIEWS, layer_artifact
from and_core.store.clips import Clips
from and_core.store.drawn import DrawnActivations
from and_core.store.files import SAFE_NAME, cache_root, inside, safe_name
from and_core.store.headline import Headline, Headlines, headline, headlines
from and_core.store.manifest import FILE
from and_core.store.results import SCORED, Results, ScoredMethod
from and_core.store.steering_results import SteeringResults
from and_core.store.traces import Trace, TraceResults
from and_core.store.tuning_results import TuningResults


def list_dissections(root: Path | None = None) -> list[str]:
    """Return names of the dissections in the cache, sorted."""
    root = root or cache_root()
    return (
        sorted(path.parent.name for path in root.glob(f"*/{FILE}") if SAFE_NAME.fullmatch(path.parent.name))
        if root.exists()
        else []
    )


def open_dissection(path_or_name: str | Path, root: Path | None = None) -> Dissection:
    """Open a dissection for reading.

    Parameters
    ----------
    path_or_name : str or Path
        A folder, or the name of a dissection in the cache.

    Raises
    ------
    ArtifactError
        Nothing there, or the manifest is damaged.
    """
    path = Path(path_or_name)
    if isinstance(path_or_name, str) and (len(path.parts) <= 1 or not path.is_dir()):
        path = (root or cache_root()) / safe_name(path_or_name, "dissection")
    if not (path / FILE).exists():
        raise ArtifactError(f"no dissection at {path}; there are: {', '.join(list_dissections(root)) or 'none'}")
    return Dissection(path)


class Dissection(Clips, Results, TraceResults, TuningResults, SteeringResults):
    """One dissection, read-only."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._neuron_columns: dict[str, np.ndarray] = {}
        self._views: dict[str, Dissection] = {}

    def view(self, name: str) -> Dissection:
        """Return a view: the same neurons, explained from some of the clips alone.

        Raises
        ------
        NotComputed
            There is no such view.
        """
        if name not in self._views:
            folder = inside(self.folder, VIEWS, safe_name(name, "view"))
            if not (folder / FILE).exists():
                raise NotComputed(f"{self.name!r} has no view {name!r}; run: and-dissect run CONFIG.yaml")
            self._views[name] = Dissection(folder)
        return self._views[name]

    # -- layers and neurons ------------------------------------------------------------------------------------------

    @cached_property
    def layers(self) -> list[Layer]:
        """Layers in network order."""
        return [Layer(**row) for row in self.document("activations/layers")]

    @cached_property
    def neuron_count(self) -> int:
        """Number of neurons over all layers."""
        return sum(layer.size for layer in self.layers)

    def layer(self, name: str) -> Layer:
        """Return the layer by name.

        Raises
        ------
        DataError
            No such layer; the message names those there are.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise one_of("layer", name, [layer.name for layer in self.layers], DataError)

    def index(self, neuron: NeuronId | str) -> int:
        """Return the position of a neuron among all neurons of the dissection."""
        if isinstance(neuron, str):
            try:
                neuron = NeuronId.parse(neuron)
            except ValueError as error:
                raise DataError(str(error)) from None
        layer = self.layer(neuron.layer)
        if not 0 <= neuron.unit < layer.size:
            raise DataError(f"unit={neuron.unit} is out of range; {layer.name} has neurons 0 to {layer.size - 1}")
        return layer.offset + neuron.unit

    def neuron_id(self, index: int) -> NeuronId:
        """Return the inverse of :meth:`index`."""
        for layer in self.layers:
            if layer.offset <= index < layer.offset + layer.size:
                return NeuronId(layer.name, index - layer.offset)
        raise DataError(f"neuron={index} is out of range; there are {self.neuron_count}")

    def activations(self, neuron: NeuronId | str) -> np.ndarray:
        """Return (N,) activations of one neuron on every clip of :attr:`activation_clips`, in the target's own unit."""
        index = self.index(neuron)
        name = self.neuron_id(index)
        return self._zarr(name.layer)[:, name.unit]

    @property
    def drawn_clips(self) -> np.ndarray:
        """(n,) clips that pages draw: all whose activations are kept, of very many some, in even steps."""
        return self._drawn.clips

    def drawn_activations(self, neuron: NeuronId | str) -> np.ndarray:
        """Return (n,) activations of one neuron on :attr:`drawn_clips`."""
        return self._drawn.read(self.neuron_id(self.index(neuron)))

    @cached_property
    def _drawn(self) -> DrawnActivations:
        return DrawnActivations(self)

    def known_activations(self, neuron: NeuronId | str) -> np.ndarray:
        """Return (N,) activations of one neuron on every clip; after a streamed pass NaN on those that are neither kept
        whole nor among its extreme clips."""
        kept = np.asarray(self.activations(neuron))
        if self.streamed is None:
            return kept
        values = np.full(len(self.clips), np.nan, np.float32)
        values[: len(kept)] = kept
        for side in ("high", "low"):
            clips, of_side = (self.array(f"neurons/{side}_{x}")[self.index(neuron)] for x in ("clips", "values"))
            values[clips[clips >= 0]] = of_side[clips >= 0]
        return values

    def clip_activations(self, clip: int, layer: str) -> np.ndarray:
        """Return (R,) activations of a layer's neurons on one clip.

        Raises
        ------
        DataError
            There is no such clip, or its activations are not kept.
        """
        self.clip_row(clip)
        if not self.with_activations[clip]:
            raise DataError(f"clip={clip} is among the extreme clips alone; activations are kept of others")
        return self._zarr(self.layer(layer).name)[clip, :]

    def traces(self, neuron: NeuronId | str) -> dict[int, Trace]:
        """Return clip index -> activation over time, of the neuron's ten highest and ten lowest clips of all; empty
        where no traces were kept or the layer has none."""
        return self.stored_traces(self.index(neuron))

    def layer_activations(self, layer: str, units: slice = slice(None)) -> np.ndarray:
        """Return (N, R) activations of a layer, or of some of its units, on every clip of :attr:`activation_clips`."""
        return self._zarr(self.layer(layer).name)[:, units]

    def activation_rows(self, most: int) -> Iterator[np.ndarray]:
        """Yield (n, R) activations of all neurons on at most so many clips at once, in order."""
        arrays = [self._zarr(layer.name) for layer in self.layers]
        for start in range(0, int(self.with_activations.sum()), most):
            yield np.concatenate([np.asarray(x[start : start + most], np.float32) for x in arrays], 1)

    def _activations_artifact(self, layer: str) -> str:
        name = f"activations/{layer_artifact(layer)}"
        older = name not in self.manifest.artifacts  # made before layers and documents had names of their own
        return f"activations/{layer}" if older else name

    def _zarr(self, layer: str) -> Any:
        name = self._activations_artifact(layer)
        array = self.zarr_array(name)
        if array.shape != (int(self.with_activations.sum()), self.layer(layer).size):
            raise ArtifactError(
                f"artifact {name!r} has shape {array.shape}, not one row a clip and one column a neuron"
            )
        return array

    def extreme_clips(self, neuron: NeuronId | str, side: Side = "high", k: int | None = None) -> list[TopClip]:
        """Return the neuron's `k` highest or lowest clips (default: the run's K), most extreme first."""
        index = self.index(neuron)
        k = k or self.k
        clips = self.array(f"neurons/{side}_clips")[index, :k]
        values = self.array(f"neurons/{side}_values")[index, :k]
        return [
            TopClip.model_construct(
                rank=rank, clip=self.clips[int(c)], activation=float(v), caption=self.caption(int(c))
            )
            for rank, (c, v) in enumerate(zip(clips, values, strict=True), 1)
            if c >= 0
        ]

    @property
    def k(self) -> int:
        """K of the run: clips that stand behind summaries."""
        summaries = self.manifest.stages.get("summaries")
        return int(summaries.parameters["k"] if summaries else self.manifest.config.get("k", 5))

    def statistics(self, neuron: NeuronId | str) -> dict[str, Any]:
        """Return moments, range, and whether the neuron is dead (constant over the probing set)."""
        row = self.index(neuron)
        table = self.table("neurons/statistics")
        return {name: table.column(name)[row].as_py() for name in table.column_names}

    def histogram(self, neuron: NeuronId | str) -> tuple[np.ndarray, np.ndarray]:
        """Return counts of clips (bins,) and the bins' edges (bins + 1,) from the neuron's lowest to its highest
        activation.

        After a streamed pass the bins are of equal width but for the first and the last, which are open.
        """
        index = self.index(neuron)
        counts = np.asarray(self.array("neurons/histograms")[index])
        statistics = self.statistics(neuron)
        if "neurons/bins" in self.manifest.artifacts:
            low, high = np.asarray(self.array("neurons/bins")[index], float)
            inner = np.linspace(low, high, len(counts) - 1)
            return counts, np.array([min(statistics["minimum"], low), *inner, max(statistics["maximum"], high)])
        return counts, np.linspace(statistics["minimum"], statistics["maximum"], len(counts) + 1)

    @cached_property
    def explained_concepts(self) -> list[str]:
        """Closed concepts that any neuron's headline names, sorted."""
        return sorted(
            set(self.document("texts/concepts")) & {concept for concept in self.headlines.concept.tolist() if concept}
        )

    @cached_property
    def explained_adjectives(self) -> list[str]:
        """Acoustic adjectives that any neuron has, sorted."""
        words = self.table("open/words")
        return sorted(words.filter(words["acoustic"])["word"].unique().to_pylist())

    def class_means(self, neuron: NeuronId | str) -> dict[str, float]:
        """Return the mean activation of each class."""
        stage = "labels" if self.has("labels") else "neurons"
        values = self.array(f"{stage}/class_means")[self.index(neuron)]
        return dict(zip(self.classes, (float(v) for v in values), strict=True))

    def words_of(self, neuron: NeuronId | str) -> pa.Table:
        """Return the rows of one neuron in :attr:`scored_words`."""
        neurons = self.scored_words["neuron"].to_numpy()
        start, stop = np.searchsorted(neurons, [self.index(neuron), self.index(neuron) + 1])
        return self.scored_words.slice(int(start), int(stop - start))

    def judged_of(self, neuron: NeuronId | str) -> pa.Table:
        """Return what a language model as judge makes of one neuron's explanations."""
        return self.rows("judged/scores", self.index(neuron))

    def rows(self, name: str, index: int) -> pa.Table:
        """Return the rows of one neuron in a table sorted by `neuron`."""
        if name not in self._neuron_columns:
            self._neuron_columns[name] = self.table(name)["neuron"].to_numpy()
        start, stop = np.searchsorted(self._neuron_columns[name], [index, index + 1])
        return self.table(name).slice(int(start), int(stop - start))

    def summary(self, neuron: NeuronId | str, side: Side = "high") -> list[Point]:
        """Return points of the raw summary of one side; on the high side each says whether calibration kept it."""
        index = self.index(neuron)
        name = "calibration/points" if side == "high" and self.has("calibration") else "summaries/points"
        rows = self.rows(name, index)
        rows = rows.filter(pc.equal(rows["side"], side)) if "side" in rows.column_names else rows
        return [_point(row) for row in rows.to_pylist()]

    @property
    def similarity(self) -> str:
        """Similarity function that is shown first: the configuration's where it could be used, else the first that
        could."""
        names, wanted = self.notes("closed")["similarities"], self.manifest.config.get("closed", {}).get("similarity")
        return str(wanted if wanted in names or not names else names[0])

    def failed_summary(self, neuron: NeuronId | str, side: Side = "high") -> str | None:
        """Return why there is no summary of a side, where the summariser gave none."""
        rows = self.rows("summaries/remarks", self.index(neuron)).to_pylist()
        return next((row["failed"] for row in rows if row["side"] == side and row["failed"]), None)

    def agreement(self, neuron: NeuronId | str, side: Side = "high") -> float | None:
        """Return the mean cosine similarity between several samples of a summary; None where one was taken."""
        rows = self.rows("summaries/remarks", self.index(neuron)).to_pylist()
        value = next((row["agreement"] for row in rows if row["side"] == side), None)
        return None if value is None or value != value else float(value)

    def closed_concepts(
        self, neuron: NeuronId | str, similarity: str | None = None, method: ScoredMethod = "DB"
    ) -> list[Concept]:
        """Return the best concepts of module A by a method that scores (DB, TAB) under a similarity function, best
        first."""
        stage = SCORED[method]
        notes = self.notes(stage)
        similarity = similarity or self.similarity
        if similarity not in notes["similarities"]:
            raise one_of("similarity", similarity, notes["similarities"], DataError)
        index = self.index(neuron)
        names = self.document("texts/concepts")
        best = self.array(f"{stage}/{similarity}_concepts")[index]
        scores = self.array(f"{stage}/{similarity}_scores")[index]
        return [Concept(name=names[int(c)], score=float(s)) for c, s in zip(best, scores, strict=True) if c >= 0]

    def icl_answers(
        self, neuron: NeuronId | str, question: Literal["top1", "top5"] = "top5"
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return what the language model named, best first (said, concept or None, how it was matched, similarity), and
        why there is nothing."""
        index = self.index(neuron)
        names = self.document("texts/concepts")
        rows = [row for row in self.rows("icl/answers", index).to_pylist() if row["question"] == question]
        why = [row["reason"] for row in self.rows("icl/unanswered", index).to_pylist() if row["question"] == question]
        return [{**row, "concept": names[row["concept"]] if row["concept"] >= 0 else None} for row in rows], why[
            0
        ] if why else None

    def words(self, neuron: NeuronId | str) -> list[dict[str, Any]]:
        """Return words of the calibrated summary: word, part of speech, count, and for adjectives whether they describe
        sound."""
        self.require("open")
        return self.rows("open/words", self.index(neuron)).to_pylist()

    def open_concepts(self, neuron: NeuronId | str) -> list[str]:
        """Return module C: acoustic adjectives of the calibrated summary."""
        return [row["word"] for row in self.words(neuron) if row["pos"] == "adjective" and row["acoustic"]]

    def similar(self, neuron: NeuronId | str) -> list[tuple[NeuronId, float]]:
        """Return neurons whose activations correlate most with this one's, with the correlation."""
        self.require("similar")
        index = self.index(neuron)
        pairs = zip(self.array("similar/neurons")[index], self.array("similar/correlations")[index], strict=True)
        return [(self.neuron_id(int(n)), float(r)) for n, r in pairs if n >= 0]

    @cached_property
    def headlines(self) -> Headlines:
        """What is said of every neuron, by which method, and how probably it holds, as columns."""
        self.require("explanations")
        return headlines(self)

    def headline(self, neuron: NeuronId | str) -> Headline:
        """Return what is said of a neuron: concept, adjectives, method, probability, and the sentence that pages and
        commands show."""
        return headline(self, self.index(neuron), self.headlines)

    def explanation(self, neuron: NeuronId | str) -> dict[str, Any]:
        """Return everything that is said of a neuron, the headline first.

        Returns
        -------
        dict
            ``headline`` (the sentence), ``concept``, ``by`` and ``probability`` (of the headline, whether or not it
            ``holds``), and the neuron's row of the explanations: summary, thing, adjectives, share of the leading class
            among the top K,
            ...
        """
        headline = self.headline(neuron)
        table, row = self.table("explanations/explanations"), self.index(neuron)
        columns = {name: table.column(name)[row].as_py() for name in table.column_names if name != "concept"}
        return {
            "headline": headline.text,
            "concept": headline.concept,
            "by": headline.by,
            "probability": headline.probability,
            "holds": headline.holds,
            **columns,
        }

    # -- provenance --------------------------------------------------------------------------------------------------

    @property
    def provenance(self) -> dict[str, Any]:
        """What this dissection rests on, for showing beside every figure."""
        stages, config = self.manifest.stages, self.manifest.config
        lines: dict[str, Any] = {
            "dissection": self.name,
            "version": self.manifest.package,
            "K": self.k,
            "seed": config.get("seed"),
        }
        wanted = (
            ("clips", "dataset"),
            ("activations", "target"),
            ("activations", "checkpoint"),
            ("activations", "pooling"),
            ("activations", "precision"),
            ("captions", "captioner"),
            ("texts", "encoder"),
            ("texts", "closed_encoder"),
            ("tab", "encoder"),
            ("icl", "llm"),
            ("summaries", "summarizer"),
        )
        for stage, key in wanted:
            if stage in stages:
                lines["audio_encoder" if stage == "tab" else key] = stages[stage].notes.get(key)
        if "calibration" in stages:
            lines["t"] = stages["calibration"].parameters.get("t")
        if lines.get("closed_encoder") == lines.get("encoder"):
            lines.pop("closed_encoder", None)
        if self.has("activations") and self.multi_label:
            lines["outputs"] = "several classes at once (sigmoid)"
        if self.streamed is not None:
            lines["clips"] = f"statistics over {self.streamed['counted']:,}, activations of {self.streamed['kept']:,}"
        lines["synthetic"] = any(a.provenance == "synthetic" for a in self.manifest.artifacts.values())
        return lines


def _point(row: dict[str, Any]) -> Point:
    """Return a row of a table of points; empty texts and NaN stand for what there is not."""
    similarity = row["similarity"]
    return Point(
        text=row["text"], count=row["count"], of=row["of"], attribute=row["attribute"] or None, kept=row["kept"],
        removed_by=row["removed_by"] or None, similarity=None if similarity != similarity else similarity,
    )  # fmt: skip
