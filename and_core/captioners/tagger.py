"""Captions from the classes of any network that this package can load: what stands out in a clip, and when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import groupby
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from and_core.captioners.base import CAPTIONERS, Listen, ListeningCaptioner
from and_core.classifier import ClassifierNetwork, ClassifierSettings
from and_core.errors import ConfigError, first_line
from and_core.labels.hierarchy import parents, spelling
from and_core.names import readable
from and_core.reply import Reply

DIGITS = 2  # of a logit that is kept
LIKELY = 10  # classes of a clip that may be named, by their logits
PARTS = 8  # windows of a clip at most


class TaggerSettings(ClassifierSettings):
    """`target`: the network, as in the section `target`; `device` that it runs on.

    `classes`: patterns of those that may be named; the fewer that can't be there, the surer the rest. `above`: standard
    deviations over the collection's clips from which a class stands out; `most` classes a clip; `seconds` of a window,
    by which it is told what comes first.
    """

    classes: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    above: Annotated[float, Field(ge=0, le=10)] = 0.5
    most: Annotated[int, Field(ge=1, le=20)] = 3
    seconds: Annotated[float, Field(gt=0.1, le=60)] = 2.0


@CAPTIONERS.register
class Tagger(ListeningCaptioner[TaggerSettings]):
    """Names classes that are likely and stand out among all clips, in the order in which they come: "Dog, bark; then
    rain."

    Of a clip's ten most likely classes those are named whose logits lie furthest above their mean over the collection,
    so that a class that is always likely says nothing; one is left out where a narrower one is named.
    """

    kind = "tagger"

    @cached_property
    def _network(self) -> ClassifierNetwork:
        return ClassifierNetwork(self.settings, "captions", self.recorded)

    def network_fingerprint(self) -> str:
        """Return the identity of the network, which may not be the one that is dissected."""
        return self._network.fingerprint()

    def identifying_settings(self) -> dict[str, Any]:
        """Return settings, of the network those that change what it says."""
        made = {name: value for name, value in super().identifying_settings().items() if name != "device"}
        return {**made, "target": self._network.identifying_settings()}

    def identity(self) -> str:
        """Return network and windows; thresholds only choose among what it says."""
        return json.dumps([self.network_fingerprint(), self.settings.seconds])

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"tags by {self._network.describe()}"

    def replies(self, waves: Iterable[np.ndarray]) -> Iterator[tuple[int, Reply]]:
        """Yield the logits of each clip and of its windows, as JSON."""
        self.sample_rate = self._network.sample_rate
        for number, wave in enumerate(waves):
            try:
                yield number, Reply(json.dumps(self._logits(wave), separators=(",", ":")), None)
            except (RuntimeError, ValueError, IndexError) as error:
                yield number, Reply(None, f"the tagger fails on this clip: {first_line(error)}")

    def _logits(self, wave: np.ndarray) -> dict[str, Any]:
        network = self._network
        length = round(self.settings.seconds * network.sample_rate)
        count = min(PARTS, max(1, round(len(wave) / length)))
        whole = network.logits(wave)
        parts = [network.logits(part) for part in np.array_split(wave, count)] if count > 1 else []
        return {"clip": whole.round(DIGITS).tolist(), "windows": [part.round(DIGITS).tolist() for part in parts]}

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return what stands out in each clip, compared with all of them."""
        heard = [None if reply.text is None else json.loads(reply.text) for reply in listen(self)]
        names = [readable(name) for name in self._network.classes]
        table = np.array([one["clip"] for one in heard if one is not None])
        if not len(table):
            return [None] * len(heard)
        mean, spread = table.mean(0), np.maximum(table.std(0), 1e-6)
        allowed = self._allowed(self._network.classes)
        return [None if one is None else self._caption(one, names, mean, spread, allowed) for one in heard]

    def _allowed(self, classes: list[str]) -> np.ndarray:
        """Return (n,) numbers of the classes that may be named."""
        patterns = self.settings.classes
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in classes):
                raise ConfigError(f"captions.classes={pattern!r} matches no class; there are: {', '.join(classes[:8])}")
        return np.array([i for i, name in enumerate(classes) if any(fnmatchcase(name, p) for p in patterns)])

    def _caption(
        self, one: dict[str, Any], names: list[str], mean: np.ndarray, spread: np.ndarray, allowed: np.ndarray
    ) -> str | None:
        logits = np.array(one["clip"])
        likely = allowed[np.argsort(-logits[allowed], kind="stable")[:LIKELY]]
        lift = logits - mean
        likely = likely[np.argsort(-lift[likely], kind="stable")]
        chosen = [int(c) for c in likely if lift[c] > 0 and lift[c] >= self.settings.above * spread[c]]
        broader = {parent for c in chosen for parent in parents(names[c])}
        chosen = [c for c in chosen if spelling(names[c]) not in broader][: self.settings.most]
        if not chosen:
            return None
        windows = (np.array(one["windows"]) - mean) / spread if one["windows"] else np.zeros((1, len(names)))
        first = {c: int(windows[:, c].argmax()) for c in chosen}
        ordered = sorted(chosen, key=first.__getitem__)
        groups = [", ".join(names[c].lower() for c in group) for _, group in groupby(ordered, key=first.__getitem__)]
        text = "; then ".join(groups)
        return f"{text[0].upper()}{text[1:]}."
