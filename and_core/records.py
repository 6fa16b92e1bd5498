"""The words of the field as records. Plain, frozen, free of heavy imports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, model_validator

NAME_LENGTH = 200  # of a layer
Side = Literal["high", "low"]
LayerKind = Literal["attention_output", "intermediate", "output", "fc1", "fc2", "fc", "other"]
Provenance = Literal["computed", "imported", "synthetic"]
How = Literal[
    "weights", "mean", "zero"
]  # neurons are silenced: parameters to zero, output patched to its mean or to zero


class Record(BaseModel):
    """Base: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Layer(Record):
    """A linear layer of the target network; `offset` is the index of its first neuron among all neurons."""

    name: str
    kind: LayerKind
    block: int | None
    size: int
    offset: int = 0

    @property
    def title(self) -> str:
        """Readable name: ``layer 2 / intermediate``."""
        return (
            f"layer {self.block} / {self.kind.replace('_', ' ')}"
            if self.block is not None and self.kind != "other"
            else self.name
        )


def is_layer_name(name: str) -> bool:
    """Return whether a layer can go by a name: PyTorch allows every character but a dot within a part, a dissection
    those that can be printed."""
    return 1 <= len(name) <= NAME_LENGTH and name.isprintable() and name == name.strip()


class NeuronId(NamedTuple):
    """One output unit of a linear layer."""

    layer: str
    unit: int

    def __str__(self) -> str:
        return f"{self.layer}/{self.unit}"

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """Parse ``layer2_intermediate/412``.

        Raises
        ------
        ValueError
            `text` isn't of that form.

        Examples
        --------
        >>> NeuronId.parse("layer2_intermediate/412").unit
        412
        """
        layer, _, unit = text.rpartition("/")
        if not is_layer_name(layer) or not re.fullmatch(r"[0-9]{1,7}", unit):
            raise ValueError(f"neuron={text[:300]!r} is not of the form layer/unit, e.g. layer2_intermediate/412")
        return cls(layer, int(unit))


def joined_labels(labels: Iterable[str]) -> str | None:
    """Return the labels of a clip as one text, None where there are none.

    Examples
    --------
    >>> joined_labels(["dog", "rain"])
    'dog; rain'
    """
    return "; ".join(labels) or None


def settled_labels(label: str | None, labels: Iterable[str] | None) -> tuple[str | None, tuple[str, ...]]:
    """Return a clip's labels as one text and one by one, from either."""
    several = tuple(dict.fromkeys(labels or ())) or (() if label is None else (label,))
    return joined_labels(several), several


class Clip(Record):
    """A clip of the probing dataset; `label` is its `labels` as one text.

    `original_label` is the label before somebody corrected it, empty where it had none; None where nobody did.
    """

    index: int
    name: str
    label: str | None = None
    labels: tuple[str, ...] = ()
    fold: int | None = None
    source: str | None = None
    seconds: float = 0.0
    trained: bool | None = None
    original_label: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_truth(cls, values: Any) -> Any:
        label, labels = settled_labels(values.get("label"), values.get("labels"))
        return {**values, "label": label, "labels": labels}

    @property
    def drawn_by(self) -> str:
        """The label that splits are drawn by: the dataset's own, so that a correction moves no clip between halves."""
        return (self.label or "") if self.original_label is None else self.original_label

    @property
    def source_name(self) -> str:
        """The recording that the clip was cut from; the clip itself where that is not known."""
        return self.source if self.source is not None else f"clip {self.index}"


class TopClip(Record):
    """One of a neuron's highest or lowest clips; rank 1 is the most extreme."""

    rank: int
    clip: Clip
    activation: float
    caption: str | None = None


class Point(Record):
    """One point of a summary: what `count` of the `of` clips have in common.

    None where nobody counted (a language model).
    """

    text: str
    count: int | None
    of: int
    attribute: str | None = None
    kept: bool = True
    removed_by: str | None = None
    similarity: float | None = None

    @property
    def reach(self) -> str:
        """``4 of 5 clips: ``, or nothing where nobody counted."""
        return "" if self.count is None else f"{self.count} of {self.of} clips: "


class Concept(Record):
    """A concept with its score under one similarity function."""

    name: str
    score: float


class Skipped(Record):
    """Something left out of a run, and why."""

    name: str
    reason: str


def direction(more: str, less: str, sign: float) -> str:
    """Return in words which way a neuron follows a measure.

    Parameters
    ----------
    more, less : str
        What clips with more, and with less, of the measure are called.
    sign : float
        Of the correlation.

    Examples
    --------
    >>> direction("the louder", "the quieter", -0.7)
    'the quieter, the higher'
    """
    return f"{more if sign > 0 else less}, the higher"
