"""A dissection of which only the headlines are known, for what is chosen from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from and_core.evaluate.metrics import METRICS
from and_core.records import Layer, NeuronId
from and_core.store.headline import Headlines


class HeadlinesOnly:
    """Two hidden layers and a classifier; of each neuron its concept with a probability, and what goes with that."""

    similarity, concept_set, adjective_counts = "wpmi", ["dog", "rain"], [{"word": "loud", "neurons": 3}]
    explained_adjectives = ("loud", "quiet")

    def __init__(self, concept: list[str | None], probability: list[float], **columns: Any) -> None:
        n = len(concept)
        sizes = {"a": n // 2, "b": n - n // 2 - 1, "fc": 1}
        self.layers: list[Layer] = []
        self.neuron_count = n
        for name, size in sizes.items():
            offset = sum(layer.size for layer in self.layers)
            kind: Any = "fc" if name == "fc" else "other"
            self.layers.append(Layer(name=name, size=size, kind=kind, block=None, offset=offset))
        known = np.array([*concept, None], object)[:-1]
        p = np.array(probability, float)
        self.headlines = Headlines(known, np.where(p == p, "PC", None), p, bool(np.isfinite(p).any()))
        self.dead = np.array(columns.get("dead", [False] * n))
        self.follows = columns.get("follows", [False] * n)
        self.forms = columns.get("forms", [None] * n)
        self.tab = columns.get("tab", [-1] * n)
        self.words_calibrated = "words" in columns
        words = columns.get("words", [])
        self.scored_words = pa.table(
            {"neuron": pa.array([w[0] for w in words], pa.int64()), "confidence": pa.array([w[1] for w in words])}
        )
        self.explanation_table = pa.table(
            {
                "concept": columns.get("db", [None] * n),
                "thing": columns.get("thing", [None] * n),
                "adjectives": columns.get("adjectives", [""] * n),
                "class_share": pa.array(columns.get("share", [0.5] * n), pa.float64()),
            }
        )
        self.scored_methods = ["DB", "TAB"]
        self.score_values = np.full((2, 1, len(METRICS), n), np.nan)
        self.score_values[0, 0, METRICS.index("pearson")] = columns.get("score", [0.1] * n)
        self.score_values[1, 0, METRICS.index("pearson")] = columns.get("other_score", [0.0] * n)

    def require(self, stage: str) -> None:
        assert self.has(stage)

    def has(self, stage: str) -> bool:
        return stage in ("explanations", "tab", "scores", "quantities", "compositions", "word_counts")

    def notes(self, stage: str) -> dict[str, Any]:
        return {"similarities": ["wpmi"]}

    @property
    def compositions(self) -> pa.Table:
        return pa.table({"form": pa.array(self.forms, pa.string())})

    @property
    def quantities(self) -> pa.Table:
        return pa.table({"follows": self.follows})

    def best_concepts(self, method: str, similarity: str) -> np.ndarray:
        return np.array(self.tab)[:, None]

    def index(self, neuron: NeuronId | str) -> int:
        name = NeuronId.parse(neuron) if isinstance(neuron, str) else neuron
        return next(layer.offset for layer in self.layers if layer.name == name.layer) + name.unit

    def neuron_id(self, index: int) -> NeuronId:
        layer = next(x for x in self.layers if x.offset <= index < x.offset + x.size)
        return NeuronId(layer.name, index - layer.offset)
