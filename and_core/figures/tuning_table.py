"""The table of tuning: layer by layer what neurons are tuned to, and every neuron's statistics as rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from and_core.figures.paper_table import PaperTable, Part
from and_core.figures.tuning import kinds
from and_core.query.tuning import NAMES, column, hertz, in_words, stimulus_of
from and_core.query.word_tuning import word_cells
from and_core.store.dissection import Dissection

NOTE = (
    "A neuron is tuned to a family of stimuli where its responses come out the same with other phases and noise "
    "(reliability of {reliable} or more), differ by half a standard deviation of the probing set or more, and differ "
    "more than shuffled ones (permutation test, false discovery rate {q}). Layers of random weights are tuned too, "
    "since sums of frequency bands are; the second table says how many are distinctly so."
)
ABOUT_WORDS = (
    "Neurons with an adjective against those without, on the property that it names. Cliff's \u03b4 is the probability "
    "that one with the word lies higher, less that it lies lower; q is corrected over words; layers: in how many it "
    "lies on the side that the word says, of those with ten neurons of either kind."
)


def tuning_table(d: Dissection) -> PaperTable:
    """Return how many neurons of each layer are tuned to what, and every neuron's statistics."""
    d.require("tuning")
    notes = d.notes("tuning")
    distinct = kinds(d)
    layers = []
    for layer in d.layers:
        units = slice(layer.offset, layer.offset + layer.size)
        row = {"layer": layer.name, "neurons": str(layer.size)}
        for name, label in NAMES.items():
            row[label] = f"{100 * np.mean(np.asarray(column(d, f'tuned_to_{name}'), bool)[units]):.0f} %"
        layers.append(row)
    sharp = []
    best, width = column(d, "best_frequency"), column(d, "bandwidth")
    for layer in d.layers:
        units = slice(layer.offset, layer.offset + layer.size)
        tuned = np.asarray(column(d, "tuned_to_frequency"), bool)[units]
        row = {
            "layer": layer.name,
            "median best frequency": hertz(float(np.median(best[units][tuned]))) if tuned.any() else "-",
            "median bandwidth": f"{np.median(width[units][tuned]):.2f} octaves" if tuned.any() else "-",
        }
        row |= {name: f"{100 * mask[units].mean():.0f} %" for name, mask in distinct.items()}
        sharp.append(row)
    about = (
        f"{notes['presentation']} {notes['stimuli']} stimuli, {notes['presentations']} presentations, seed "
        f"{notes['seed']}. {notes['tuned']} of {notes['neurons']} neurons are tuned to something; "
        f"{100 * notes['reach']:.0f} % answer one of the stimuli as strongly as a twentieth of the probing clips. "
    )
    parts = [Part("Tuned neurons by layer", layers, about + NOTE.format(**notes)), Part("Distinctly tuned", sharp)]
    if d.has("explanations"):
        parts.append(Part("Words against tuning", word_cells(d), ABOUT_WORDS))
    return PaperTable(parts, rows(d))


def rows(d: Dissection) -> list[dict[str, Any]]:
    """Return every neuron's statistics, a row each."""
    made = d.tuning.to_pylist()
    texts: dict[int, str] = {}
    for index, row in enumerate(made):
        neuron = d.neuron_id(index)
        for name in ("strongest", "weakest"):
            condition = row[name]
            texts.setdefault(condition, in_words(stimulus_of(d, condition)))
            row[name] = texts[condition]
        made[index] = {"layer": neuron.layer, "unit": neuron.unit, **row}
    return made
