"""Clusters of caption sentences by name: the words that set each apart from all others."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

import numpy as np

from and_core.store.dissection import Dissection

KEPT = 8
WORDS, FLOOR = 3, 1e-3  # words in a name; a share of sentences below which a word counts as absent
WORD = re.compile(r"[^\W\d_]{3,40}(?:-[^\W\d_]+)*")
# fmt: off
STOP = frozenset({
    "about", "above", "after", "again", "all", "also", "and", "another", "any", "are", "audio", "away", "been",
    "before", "being", "both", "but", "can", "captures", "character", "clip", "could", "does", "down", "during",
    "each", "else", "ever", "every", "feature", "features", "for", "from", "goes", "had", "hard", "has", "have",
    "having", "hear", "heard", "hears", "here", "how", "into", "its", "itself", "just", "kind", "less", "lies",
    "like", "made", "make", "makes", "might", "more", "most", "much", "near", "nor", "not", "nothing", "now", "off",
    "once", "one", "only", "other", "others", "our", "out", "over", "overall", "own", "perhaps", "possibly",
    "probably", "rather", "recorded", "recording", "recordings", "same", "seems", "several", "she", "should",
    "some", "someone", "something", "sound", "sounding", "sounds", "such", "tell", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "those", "through", "time", "too", "two", "under", "until",
    "upon", "very", "was", "way", "were", "what", "when", "where", "which", "while", "who", "whom", "why", "will",
    "with", "within", "without", "would", "you", "your"
})  # words of no meaning of their own, and those that any caption may use
# fmt: on


@lru_cache(maxsize=KEPT)
def cluster_words(d: Dissection) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return for each cluster the words that more of its sentences hold than others do, without stop words: each with
    how far it sets the cluster apart (its share of the sentences times the logarithm of how many times as frequent it
    is there), the furthest first.

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
    known: dict[str, set[str]] = {}
    for text, number in zip(table["text"].to_pylist(), numbers.tolist(), strict=True):
        if number >= 0:
            if text not in known:
                known[text] = {word for word in WORD.findall(text.lower()) if word not in STOP}
            inside[number].update(known[text])
    every: Counter[str] = Counter()
    for counter in inside:
        every.update(counter)
    clusters = []
    for size, counter in zip(sizes.tolist(), inside, strict=True):
        others, weights = max(1, int(sizes.sum()) - size), {}
        for word, n in counter.items():
            share, outside = n / max(1, size), (every[word] - n) / others
            if share > outside:
                weights[word] = float(share * np.log((share + FLOOR) / (outside + FLOOR)))
        clusters.append(tuple(sorted(weights.items(), key=lambda item: (-item[1], item[0]))))
    return tuple(clusters)


def cluster_names(d: Dissection) -> tuple[str, ...]:
    """Return a name for each cluster: the first words of :func:`cluster_words`; ``cluster 3`` where there are none.

    Raises
    ------
    NotComputed
        The stage `clusters` has not been run.
    """
    words = enumerate(cluster_words(d))
    return tuple(", ".join(word for word, _ in most[:WORDS]) or f"cluster {number}" for number, most in words)
