"""Text and sound by the classes of any network that this package can load: a concept is weights over its classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from and_core.classifier import ClassifierNetwork, ClassifierSettings
from and_core.encoders.base import ENCODERS, TextAudioEncoder, TextEncoder
from and_core.errors import DataError, first_line
from and_core.labels.concept_classes import RULES, ConceptClass, check_classes, read_concept_classes, weigh_classes
from and_core.names import plain_name, readable
from and_core.registry import FilePath, PluginConfig
from and_core.store.files import sha256_file

BEYOND = 2  # dimensions beside the classes: what brings a clip to unit norm, and what no clip has


class TaggerEncoderSettings(ClassifierSettings):
    """`target`: the network, as in the section `target`; `device` that it runs on.

    `encoder`: of the names of concepts and classes, for concepts that no class matches. `map`: CSV of the weights of
    classes for concepts, see `and-dissect concepts`; concepts that it does not name keep what is proposed. `least`:
    probability below which a class is not there.
    """

    encoder: PluginConfig = PluginConfig(kind="minilm", model="bundled")
    map: FilePath | None = None
    least: Annotated[float, Field(gt=0, lt=0.5)] = 1e-4

    def reaches(self) -> list[str]:
        """Return what loading the network and the text encoder does."""
        return [*super().reaches(), *ENCODERS.reaches(self.encoder)]

    @classmethod
    def absolute(cls, raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """Return the paths of the map, the network and the text encoder."""
        made = super().absolute(raw, base)
        encoder = made.get("encoder")
        return {**made, "encoder": ENCODERS.absolute(encoder, base)} if isinstance(encoder, dict) else made


@ENCODERS.register
class TaggerEncoder(TextAudioEncoder[TaggerEncoderSettings]):
    """Hears a clip as the log probabilities of a network's classes, and reads a text as weights over these classes.

    The cosine of a clip and a text is the weighted sum of the clip's log probabilities, up to a factor and an offset
    that are the same for all clips; a text that stands for nothing has cosine 0 with each.
    """

    kind = "tagger"
    features = "standardized"
    by_class = True

    @cached_property
    def _network(self) -> ClassifierNetwork:
        return ClassifierNetwork(self.settings, "audio_encoder", self.recorded)

    @cached_property
    def _names(self) -> TextEncoder[Any]:
        return ENCODERS.create(self.settings.encoder, self.recorded)

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Rate of the network, in Hz."""
        return self._network.sample_rate

    def network_fingerprint(self) -> str:
        """Return the identity of the network, which may not be the one that is dissected."""
        return self._network.fingerprint()

    def fingerprint(self) -> str:
        """Return the network, the encoder of names, the map, and the rules by which weights are proposed.

        Raises
        ------
        DataError
            The map is wrong.
        """
        path = self.settings.map
        mapped = None if path is None else (self._rows, sha256_file(path))[1]
        return json.dumps([self.network_fingerprint(), self._names.fingerprint(), mapped, RULES])

    def identifying_settings(self) -> dict[str, Any]:
        """Return settings; of the network and the encoder of names those that change what they say."""
        made = {name: value for name, value in super().identifying_settings().items() if name != "device"}
        names = self._names.identifying_settings()
        return {**made, "target": self._network.identifying_settings(), "encoder": names}

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"classes of {self._network.describe()}"

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return weights over classes; a text that stands for none is the dimension that no clip has."""
        classes = self._network.classes
        number = {name: n for n, name in enumerate(classes)}
        vectors = np.zeros((len(texts), len(classes) + BEYOND), np.float32)
        for vector, rows in zip(vectors, self._weighed(texts), strict=True):
            for row in rows:
                vector[number[row.class_name]] = row.weight
            if not rows:
                vector[-1] = 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)

    def encode_audio(self, waves: list[np.ndarray]) -> np.ndarray:
        """Return log probabilities above `least`, over the norm that a clip with all classes would have.

        One dimension beside them brings each clip to unit norm without changing its cosine with any text (Bachrach et
        al. 2014).

        Raises
        ------
        DataError
            The network fails on a clip.
        """
        floor = np.log(self.settings.least)
        rows = np.zeros((len(waves), len(self._network.classes) + BEYOND), np.float64)
        for row, wave in zip(rows, waves, strict=True):
            row[:-BEYOND] = np.maximum(self._log_probabilities(wave), floor) - floor
        rows /= -floor * np.sqrt(rows.shape[1] - BEYOND)
        rows[:, -BEYOND] = np.sqrt((1 - np.square(rows).sum(1)).clip(0))
        return rows.astype(np.float32)

    def concept_classes(self, concepts: list[str]) -> list[ConceptClass]:
        """Return the classes by which each concept is heard, with their weights."""
        return [
            row._replace(concept=concept)
            for concept, rows in zip(concepts, self._weighed(concepts), strict=True)
            for row in rows
        ]

    def _log_probabilities(self, wave: np.ndarray) -> np.ndarray:
        try:
            logits = self._network.logits(wave).astype(np.float64)
        except (RuntimeError, ValueError, IndexError) as error:
            raise DataError(f"audio_encoder: {self.describe()} fails on a clip: {first_line(error)}") from error
        if self._network.multi_label:
            return -np.logaddexp(0, -logits)
        return logits - np.logaddexp.reduce(logits)

    @cached_property
    def _rows(self) -> list[tuple[str, str, float]]:
        return [] if self.settings.map is None else read_concept_classes(self.settings.map)

    @cached_property
    def _mapped(self) -> dict[str, dict[str, float]]:
        """Plain name of a concept -> class -> weight, as the map says."""
        classes = self._network.classes
        if self.settings.map is not None:
            check_classes(self.settings.map, self._rows, classes)
        mapped: dict[str, dict[str, float]] = {}
        spelled: dict[str, list[str]] = {}
        for name in classes:
            spelled.setdefault(plain_name(name), []).append(name)
        for concept, class_name, weight in self._rows:
            if weight:
                weights = mapped.setdefault(plain_name(concept), {})
                weights |= dict.fromkeys(spelled[plain_name(class_name)], weight)
        return mapped

    @cached_property
    def _class_vectors(self) -> np.ndarray:
        return self._names.encode([readable(name) for name in self._network.classes])

    @cached_property
    def _known(self) -> dict[str, list[ConceptClass]]:
        return {}

    def _weighed(self, texts: list[str]) -> list[list[ConceptClass]]:
        """Return the classes of each text; each text is weighed once."""
        classes = self._network.classes
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            cosines = self._names.encode([readable(text) for text in new]) @ self._class_vectors.T
            for text, row in zip(new, cosines, strict=True):
                given = self._mapped.get(plain_name(text))
                self._known[text] = (
                    weigh_classes(text, classes, row)
                    if given is None
                    else [ConceptClass(text, c, w, "file", float(row[classes.index(c)])) for c, w in given.items()]
                )
        return [self._known[text] for text in texts]
