"""Clusters of caption sentences: K-means, and the number of clusters by the elbow (AND section 8)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
from threadpoolctl import threadpool_limits

from and_core.dissect.attributes import split_sentences
from and_core.dissect.points import CHAT
from and_core.errors import DataError

LEAST_WORDS = 2
LONGEST_WORD = 40  # letters; what is longer is no word, and fits into no cloud
FILLER = re.compile(  # what a chat model says around a description; "I can hear a dog" is one of the sound and stays
    r"^(?:(?:sure|certainly|of course|okay|ok|hello|hi|hey|thanks|thank you|great|absolutely)(?:\s+there)?"
    r"(?:$|\s*[,:!]\s*(?:here|let me|happy)\b)|(?:as an ai|i hope|i'm (?:happy|glad))\b|"
    r"here(?:'s| is| are)\b[^.]*\b(?:descriptions?|captions?|summary|analysis)\b)",
    re.IGNORECASE,
)
STARTS = 4  # of K-means, the best taken
MOST_FITTED = 10_000  # distinct sentences that centres are fitted to; of more, so many are drawn, and all find theirs


def sentences_of(caption: str) -> list[str]:
    """Return sentences of a caption that say something of the sound, in order; chat and single words left out."""
    sentences = (" ".join(s.split()) for s in split_sentences(caption))
    return [
        s
        for s in sentences
        if len(s.split()) >= LEAST_WORDS and not FILLER.match(s.rstrip(" .!:,")) and not CHAT.search(s)
    ]


def elbow(vectors: np.ndarray, times: np.ndarray, most: int, seed: int) -> Iterator[tuple[int, float]]:
    """Yield (number of clusters, inertia) for 1 to `most` clusters, or as many as there are distinct vectors.

    Parameters
    ----------
    vectors : (S, D) float32
        Distinct sentences.
    times : (S,) int
        How often each is said.
    """
    if len(vectors) > MOST_FITTED:
        drawn = _drawn(len(vectors), seed)
        vectors, times = vectors[drawn], times[drawn]
    for count in range(1, min(most, len(vectors)) + 1):
        yield count, fit(vectors, times, count, seed)[1]


def bend(counts: Sequence[int], inertia: Sequence[float]) -> int:
    """Return the number of clusters where the curve lies farthest below the straight line between its ends.

    Raises
    ------
    DataError
        No curve.
    """
    if not counts:
        raise DataError("there is no sentence to make clusters of")
    if len(counts) < 3:
        return int(counts[-1])
    x = (np.asarray(counts, float) - counts[0]) / (counts[-1] - counts[0])
    y = np.asarray(inertia, float)
    y = (y - y[-1]) / max(y[0] - y[-1], 1e-12)
    return int(counts[int(np.argmax(1 - x - y))])


def _drawn(count: int, seed: int) -> np.ndarray:
    """Return :data:`MOST_FITTED` places of so many, in order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:MOST_FITTED])


def fit(vectors: np.ndarray, times: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Return K-means over all sentences, each distinct one as often as it is said.

    Among more than :data:`MOST_FITTED` distinct ones, centres are fitted to so many of them, drawn by `seed`.

    Returns
    -------
    cluster : (S,) int32
        Clusters are numbered by sentences, the largest 0.
    inertia : float
    distance : (S,) float32
        To the own centre.
    """
    from sklearn.cluster import KMeans  # heavy: half a second to import

    with threadpool_limits(1):  # sums in one order, whatever the number of cores
        drawn = _drawn(len(vectors), seed) if len(vectors) > MOST_FITTED else slice(None)
        made = KMeans(count, n_init=STARTS, random_state=seed).fit(vectors[drawn], sample_weight=times[drawn])
        labels = made.predict(vectors) if len(vectors) > MOST_FITTED else made.labels_
    order = np.argsort(-np.bincount(labels, times, minlength=count), kind="stable")
    number = np.empty(count, np.int32)
    number[order] = np.arange(count, dtype=np.int32)
    distance = np.linalg.norm(vectors - made.cluster_centers_[labels], axis=1).astype(np.float32)
    inertia = made.inertia_ if labels is made.labels_ else (distance.astype(np.float64) ** 2) @ times
    return number[labels], float(inertia), distance


def related(clip: np.ndarray, cluster: np.ndarray, clips: int, count: int) -> np.ndarray:
    """Return (N, C) bool: a clip is related to a cluster where at least one of its sentences falls in it."""
    mask = np.zeros((clips, count), bool)
    mask[clip, cluster] = True
    return mask


def cloud(sentences: Sequence[str], seed: int, width: int = 360, height: int = 200) -> bytes | None:
    """Return a word cloud as PNG; None where the sentences hold no word that tells anything (Table 8)."""
    from wordcloud import WordCloud  # draws with matplotlib's colours, which takes a second to import

    made = WordCloud(
        width=width,
        height=height,
        background_color="white",
        color_func=_ink,
        random_state=seed,
        collocations=False,
        max_words=60,
    )
    words = {word: n for word, n in made.process_text(" ".join(sentences)).items() if len(word) <= LONGEST_WORD}
    if not words:
        return None
    sink = io.BytesIO()
    made.generate_from_frequencies(words).to_image().save(sink, "PNG")
    return sink.getvalue()


def _ink(
    word: str, font_size: int, position: object, orientation: object, random_state: Random | None = None, **more: object
) -> str:
    """Return one of the dashboard's inks."""
    return (random_state or Random(0)).choice(("#1b2430", "#0072b2", "#5d6672", "#00795a"))
