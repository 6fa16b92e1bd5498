"""From dissections to items: which neurons, which clips, which descriptions, and what the answer to a control should
be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from and_core.errors import StudyError
from and_core.labels.truth import class_truth
from and_core.names import readable
from and_core.query.scores import neuron_scores
from and_core.records import NeuronId, Skipped
from and_core.store.dissection import Dissection
from and_core.study.plan import WRITTEN, StudyConfig, Task
from and_core.study.texts import Own, description, read_texts

PER_NEURON: tuple[Task, ...] = (
    "write",
    "intruder",
    "choose",
    "captions",
)  # one item a neuron; `present` and `fit`: one a description


@dataclass(frozen=True)
class Item:
    """One thing to answer.

    Attributes
    ----------
    task : str
    clips : list of int
        Clips of the dissection, in the item's own order; an intruder stands first. Raters see another order.
    description : str or None
    options : list of str
        Descriptions to choose from, in the order of ``truth["methods"]``.
    captions : list of str
        One per clip, for the task that checks them.
    control : str or None
        ``mismatched``, ``known``, ``attention``; with ``training-`` before it where it comes with feedback.
    truth : dict
        What raters never see: dissection, neuron, layer, block, method, activations, automatic scores, what is
        expected.
    """

    task: Task
    dissection: str
    clips: list[int]
    description: str | None = None
    options: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    control: str | None = None
    truth: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A drawn neuron with what is said of it."""

    d: Dissection
    neuron: NeuronId
    block: int | None
    texts: dict[str, str]

    @property
    def high(self) -> list[int]:
        """Its highest clips, most active first."""
        return [top.clip.index for top in self.d.extreme_clips(self.neuron, "high")]

    def truth(self, clips: list[int], **more: Any) -> dict[str, Any]:
        """Return what is behind an item on these clips."""
        values = self.d.known_activations(self.neuron)
        truth = {
            "dissection": self.d.name, "neuron": str(self.neuron), "layer": self.neuron.layer, "block": self.block,
            "activations": [round(float(values[c]), 6) for c in clips],
        }  # fmt: skip
        return truth | more


def draw_neurons(config: StudyConfig, d: Dissection, rng: np.random.Generator) -> dict[int | None, list[NeuronId]]:
    """Return neurons of one dissection by block; dead ones are never drawn.

    Raises
    ------
    StudyError
        A chosen neuron is dead, or no layer is of the kinds wanted.
    """
    dead = np.asarray(d.dead)
    if config.neurons.chosen is not None:
        drawn: dict[int | None, list[NeuronId]] = {}
        for name in config.neurons.chosen:
            index = d.index(name)
            if dead[index]:
                raise StudyError(f"neurons.chosen: {name} of {d.name!r} is dead: it has no highest clips")
            neuron = d.neuron_id(index)
            drawn.setdefault(d.layer(neuron.layer).block, []).append(neuron)
        return drawn
    blocks: dict[int | None, list[int]] = {}
    has_blocks = any(layer.block is not None for layer in d.layers)
    for layer in d.layers:
        if (layer.block is None and has_blocks) or (
            config.neurons.kinds is not None and layer.kind not in config.neurons.kinds
        ):
            continue
        blocks.setdefault(layer.block, []).extend(
            i for i in range(layer.offset, layer.offset + layer.size) if not dead[i]
        )
    if not blocks:
        raise StudyError(
            f"neurons.kinds={config.neurons.kinds!r}: {d.name!r} has layers of the kinds "
            f"{', '.join(sorted({x.kind for x in d.layers}))}"
        )
    return {
        block: [d.neuron_id(int(i)) for i in sorted(rng.permutation(neurons)[: config.neurons.per_block])]
        for block, neurons in blocks.items()
    }


def draw_items(
    config: StudyConfig, dissections: list[Dissection], progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[Item], list[Skipped]]:
    """Return every item of a study, controls last, and what had to be left out.

    Raises
    ------
    StudyError
        Nothing is left to rate.
    """
    own = {name: read_texts(path, dissections) for name, path in config.texts.items() if name in config.methods}
    items: list[Item] = []
    skipped: list[Skipped] = []
    for number, d in enumerate(dissections):
        rng = np.random.default_rng([config.seed, number])
        subjects = [
            _subject(config, d, neuron, block, own, skipped)
            for block, neurons in draw_neurons(config, d, rng).items()
            for neuron in neurons
        ]
        for done, subject in enumerate(subjects, 1):
            _items_of(config, subject, rng, items, skipped)
            progress(number * len(subjects) + done, len(dissections) * len(subjects))
        items += _controls(config, d, subjects, rng, skipped, share=(number, len(dissections)))
    if not any(item.control is None for item in items):
        raise StudyError("nothing is left to rate: " + "; ".join(f"{s.name}: {s.reason}" for s in skipped[:5]))
    return items, skipped


def _subject(
    config: StudyConfig, d: Dissection, neuron: NeuronId, block: int | None, own: dict[str, Own], skipped: list[Skipped]
) -> Subject:
    texts = {}
    for method in config.methods:
        text = description(d, neuron, method) if method in WRITTEN else own[method].get((d.name, str(neuron)))
        if text is None:
            skipped.append(Skipped(name=f"{d.name} {neuron}", reason=f"{method} says nothing of it"))
        else:
            texts[method] = text
    return Subject(d, neuron, block, texts)


def _items_of(
    config: StudyConfig, s: Subject, rng: np.random.Generator, items: list[Item], skipped: list[Skipped]
) -> None:
    high = s.high[: config.clips]
    if len(high) < config.clips:
        skipped.append(
            Skipped(
                name=f"{s.d.name} {s.neuron}",
                reason=f"it has {len(high)} high clips, {config.clips} are asked for; run with a larger k",
            )
        )
        return
    scores = _scores(s)
    for task in config.tasks:
        if task == "write":
            items.append(Item(task, s.d.name, high, truth=s.truth(high, texts=s.texts)))
        elif task == "intruder":
            clips = [_intruder(s, high, rng), *high[: config.clips - 1]]
            items.append(Item(task, s.d.name, clips, truth=s.truth(clips, expected=0)))
        elif task == "captions":
            captions = [s.d.caption(c) for c in high]
            if all(captions):
                items.append(Item(task, s.d.name, high, captions=[str(c) for c in captions], truth=s.truth(high)))
            else:
                skipped.append(Skipped(name=f"{s.d.name} {s.neuron}", reason="a high clip has no caption to check"))
        elif task == "choose":
            if len(set(s.texts.values())) == len(s.texts) > 1:
                items.append(
                    Item(
                        task, s.d.name, high, options=list(s.texts.values()), truth=s.truth(high, methods=list(s.texts))
                    )
                )
            else:
                skipped.append(
                    Skipped(
                        name=f"{s.d.name} {s.neuron}",
                        reason="choose: methods say the same, or fewer than two say anything",
                    )
                )
        elif task == "present":
            clips = _range(s, config.present_clips, rng)
            items += [
                Item(task, s.d.name, clips, text, truth=s.truth(clips, method=m, scores=scores.get(m, {})))
                for m, text in s.texts.items()
            ]
        else:
            items += [
                Item(task, s.d.name, high, text, truth=s.truth(high, method=m, scores=scores.get(m, {})))
                for m, text in s.texts.items()
            ]


def _scores(s: Subject) -> dict[str, dict[str, float]]:
    """Return automatic scores as they stood when the study was drawn."""
    if not s.d.has("scores"):
        return {}
    scores: dict[str, dict[str, float]] = {}
    for row in neuron_scores(s.d, s.neuron):
        values = {"pearson": row["pearson"], "auprc": row["auprc"], "confidence": row["confidence"], **row["others"]}
        values |= {f"pearson by {name}": value for name, value in row["by"].items() if name != "text"}
        scores[row["method"]] = {name: round(float(v), 6) for name, v in values.items() if v is not None}
    return scores


def _intruder(s: Subject, high: list[int], rng: np.random.Generator) -> int:
    """Return a clip of the lower half of the neuron's activations, of a class that none of the high clips has where
    there is one."""
    values = s.d.activations(s.neuron)
    lower = [int(c) for c in np.argsort(values, kind="stable")[: max(1, len(values) // 2)] if int(c) not in high]
    classes = {label for c in high for label in s.d.clips[c].labels}
    other = [c for c in lower if not classes & set(s.d.clips[c].labels)]
    return int(rng.choice(other or lower))


def _range(s: Subject, count: int, rng: np.random.Generator) -> list[int]:
    """Return one clip from each of `count` equal parts of the neuron's ranking, so that recall and false alarms both
    show."""
    order = np.argsort(-s.d.activations(s.neuron), kind="stable")
    return [int(rng.choice(part)) for part in np.array_split(order, count)]


def _controls(
    config: StudyConfig,
    d: Dissection,
    subjects: list[Subject],
    rng: np.random.Generator,
    skipped: list[Skipped],
    share: tuple[int, int],
) -> list[Item]:
    """Return controls drawn from one dissection: its share of those that the study has."""
    number, of = share
    kinds = ("mismatched", "known", "attention", "training")
    rated = "fit" in config.tasks  # controls are ratings: where nothing is rated, they would stand out and say nothing
    wanted = {k: len(range(number, getattr(config.controls, k), of)) if rated else 0 for k in kinds}
    able = [s for s in subjects if len(s.high) >= config.clips and s.texts]
    made = _known(config, d, rng, wanted["known"] + (wanted["training"] + 1) // 2)
    off = _mismatched(config, able, rng, wanted["mismatched"] + wanted["training"] // 2)
    items = made[: wanted["known"]] + off[: wanted["mismatched"]]
    items += [_training(item) for item in (*made[wanted["known"] :], *off[wanted["mismatched"] :])]
    for _ in range(wanted["attention"] if able else 0):
        s = able[int(rng.integers(len(able)))]
        answer = str(int(rng.integers(1, 6)))
        sentence = f"This one checks that descriptions are read. Please choose {answer}, whatever you hear."
        items.append(
            Item(
                "fit",
                d.name,
                s.high[: config.clips],
                sentence,
                control="attention",
                truth=s.truth(s.high[: config.clips], expected=[answer]),
            )
        )
    short = wanted["known"] + wanted["mismatched"] + wanted["training"] + wanted["attention"] - len(items)
    if short:
        skipped.append(
            Skipped(
                name=d.name,
                reason=f"{short} controls fewer than asked for: too few classes, or descriptions that differ",
            )
        )
    return items


def _training(item: Item) -> Item:
    return Item(
        item.task, item.dissection, item.clips, item.description, control=f"training-{item.control}", truth=item.truth
    )


def _known(config: StudyConfig, d: Dissection, rng: np.random.Generator, count: int) -> list[Item]:
    """Return high anchors: units of the last layer under their class where the network is right about their clips.

    Else clips of one class.
    """
    fc = next((layer for layer in d.layers if layer.kind == "fc"), None)
    names = list(d.target_classes or []) if fc is not None else []
    items: list[Item] = []
    if count == 0:
        return items
    if fc is not None and len(names) == fc.size:
        of_class = class_truth(d)
        for unit in rng.permutation(fc.size):
            neuron = NeuronId(fc.name, int(unit))
            s = Subject(d, neuron, None, {})
            high = s.high[: config.clips]
            if len(high) == config.clips and all(of_class[c, unit] for c in high):
                items.append(_anchor(s, high, readable(names[unit]), "known"))
            if len(items) == count:
                return items
    by_class: dict[str, list[int]] = {}
    for clip in d.clips:
        for label in clip.labels:
            by_class.setdefault(label, []).append(clip.index)
    used = {item.description for item in items}
    for label in rng.permutation(
        sorted(
            name for name, members in by_class.items() if len(members) >= config.clips and readable(name) not in used
        )
    ):
        if len(items) == count:
            break
        clips = [int(c) for c in rng.permutation(by_class[str(label)])[: config.clips]]
        truth = {"dissection": d.name, "neuron": None, "layer": None, "block": None, "expected": ["4", "5"]}
        items.append(Item("fit", d.name, clips, readable(str(label)), control="known", truth=truth))
    return items


def _mismatched(config: StudyConfig, able: list[Subject], rng: np.random.Generator, count: int) -> list[Item]:
    """Return low anchors: a neuron's clips under the description of another, whose clips share no class with them and
    which no method gives it."""
    items: list[Item] = []
    pairs = [(i, j) for i in rng.permutation(len(able)) for j in rng.permutation(len(able)) if i != j]
    used: set[int] = set()
    for i, j in pairs:
        if len(items) == count:
            break
        here, there = able[i], able[j]
        text = next(iter(there.texts.values()))
        classes = [{label for c in s.high for label in here.d.clips[c].labels} for s in (here, there)]
        if int(i) in used or text in here.texts.values() or classes[0] & classes[1]:
            continue
        used.add(int(i))
        items.append(_anchor(here, here.high[: config.clips], text, "mismatched"))
    return items


def _anchor(s: Subject, clips: list[int], text: str, control: str) -> Item:
    expected = ["4", "5"] if control == "known" else ["1", "2"]
    return Item("fit", s.d.name, clips, text, control=control, truth=s.truth(clips, expected=expected))
