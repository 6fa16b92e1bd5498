"""Clusters of caption sentences by name: the words that set each apart from all others."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

import numpy as np

from and_core.store.dissection import Dissection

KEPT = 8
WORDS = 3  # in a name
WORD = re.compile(r"[^\W\d_]{3,40}(?:-[^\W\d_]+)*")
# fmt: off
STOP = frozenset({
    "about", "above", "after", "again", "all", "also", "and", "another", "any", "are", "audio", "away", "been",
    "before", "being", "both", "but", "can", "captures", "character", "clip", "could", "does", "down", "during",
    "each", "else", "ever", "every", "for", "from", "goes", "had", "hard", "has", "have", "having", "hear", "heard",
    "hears", "here", "how", "into", "its", "itself", "just", "kind", "less", "lies", "like", "made", "make",
    "makes", "might", "more", "most", "much", "near", "nor", "not", "now", "off", "once", "one", "only", "other",
    "others", "our", "out", "over", "overall", "own", "perhaps", "possibly", "probably", "rather", "recorded",
    "recording", "recordings", "same", "seems", "several", "she", "should", "some", "someone", "something", "sound",
    "sounding", "sounds", "such", "tell", "than", "that", "the", "their", "them", "then", "there", "these", "they",
    "this", "those", "through", "time", "too", "two", "under", "until", "upon", "very", "was", "way", "were",
    "what", "when", "where", "which", "while", "who", "whom", "why", "will", "with", "within", "without", "would",
    "you", "your"
})  # words of no meaning of their own, and those that any caption may use
# fmt: on


@lru_cache(maxsize=KEPT)
def cluster_names(d: Dissection) -> tuple[str, ...]:
    """Return a name for each cluster: up to three words that more of its sentences hold than others do, without stop
    words; ``cluster 3`` where no word sets it apart.

    Raises
    ------
    NotComputed
        The stage `clusters` has not been run.
    """
    d.require("clusters")
    table, count = d.cluster_sentences, int(d.notes("clusters")["clusters"])
    numbers = table["cluster"].to_numpy()
    inside: list[Counter[str]] = [Counter() for _ in range(count)]
    sizes = np.bincount(numbers[numbers >= 0], minlength=count)
    known: dict[str, list[str]] = {}
    for text, number in zip(table["text"].to_pylist(), numbers.tolist(), strict=True):
        if number >= 0:
            words = known.setdefault(text, sorted({w for w in WORD.findall(text.lower()) if w not in STOP}))
            inside[number].update(words)
    every: Counter[str] = Counter()
    for counter in inside:
        every.update(counter)
    total = int(sizes.sum())
    names = []
    for number, counter in enumerate(inside):
        size, others = max(1, int(sizes[number])), max(1, total - int(sizes[number]))
        weight = {}
        for word, n in counter.items():
            share, outside = n / size, (every[word] - n) / others
            if share > outside:
                weight[word] = share * np.log((share + 1e-3) / (outside + 1e-3))
        best = sorted(weight, key=lambda word: (-weight[word], word))[:WORDS]
        names.append(", ".join(best) or f"cluster {number}")
    return tuple(names)
