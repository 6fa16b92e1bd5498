"""How reliable a pair of ears is, measured once on a collection of real sound whose labels are known.

The measurement travels with the ears: a file holds what they heard of that collection (vectors of its clips, not its
sound), its labels and its name, so that it can be asked for any concept set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from and_core.errors import ConfigError
from and_core.evaluate import confidence
from and_core.evaluate.ears import LEAST, Hearing, best_concepts, drawn_truths, fit_hearing, log_odds
from and_core.evaluate.readouts import cross_fitted, standardised
from and_core.evaluate.verdict import DRAWS, evidence, named_by_presence, pair_of_halves
from and_core.names import plain_name

FORMAT = 1
AXES = 24  # principal components of the ears' vectors that simulated neurons read
RIDGE = 20.0
DIRECTIONS, MIXED = 400, 200  # simulated neurons: random directions; of each strength below
STRENGTHS = (0.95, 0.8, 0.6, 0.4, 0.2)
STEADY = 60.0  # simulated neurons a concept is taken to have had that are as right as was said
MOST_STEADY, SUREST = 1.2, 0.99
LEAST_LABELS = 2


@dataclass(frozen=True)
class Home:
    """What ears heard of a labelled collection.

    Attributes
    ----------
    vectors : dict of str to (N, D) array
        By pair of ears, see :data:`and_core.evaluate.ears.EARS`.
    truth : (N, L) bool
        Labels of each clip.
    labels : list of str, L
    sources : (N,) int
        Number of each clip's recording.
    about : dict
        ``home``, the collection's name; ``ears``, the identity of each pair; how many clips and recordings.
    """

    vectors: dict[str, np.ndarray]
    truth: np.ndarray
    labels: list[str]
    sources: np.ndarray
    about: dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What a home says of one pair of ears for one concept set.

    Attributes
    ----------
    hearing : Hearing
    calibrator : Calibrator
        Turns evidence (see :func:`and_core.evaluate.verdict.evidence`) into the probability of being right.
    error : float
        Expected calibration error on simulated neurons of labels that the calibrator was not fitted on.
    steadiness : (M,) float
        What the probability of each concept is multiplied by: neurons of the home that were given this name were right
        that many times as often as was said; 1 where none was.
    right : float
        Share of the clips with a label in the concept set whose likeliest concept is that label.
    rows : list of dict
        The table: label, clips, AUROC of its concept's score, the concept that its clips are taken for, and the share
        of simulated neurons with this best label that are named right.
    """

    hearing: Hearing
    calibrator: confidence.Calibrator
    error: float
    steadiness: np.ndarray
    right: float
    rows: list[dict[str, Any]]

    def probability(self, features: Mapping[str, np.ndarray], concept: np.ndarray) -> np.ndarray:
        """Return the probability that neurons with this evidence are named right; NaN where nothing is said."""
        steady = np.where(concept >= 0, self.steadiness[np.maximum(concept, 0)], np.nan)
        return np.minimum(self.calibrator(features) * steady, SUREST)


def save(path: Path, home: Home) -> None:
    """Write a home to one file.

    Raises
    ------
    ConfigError
        The file can't be written.
    """
    from safetensors.numpy import save as packed

    from and_core.store.files import write_atomic

    arrays = {name: np.ascontiguousarray(values, np.float16) for name, values in home.vectors.items()}
    arrays |= {"truth": home.truth.astype(np.uint8), "sources": home.sources.astype(np.int32)}
    about = json.dumps({"format": FORMAT, "labels": home.labels, **home.about}, sort_keys=True)
    try:
        write_atomic(Path(path), packed(arrays, {"about": about}))
    except OSError as error:
        raise ConfigError(f"ears={str(path)!r} can't be written: {error.strerror}") from None


def load(path: Path) -> Home:
    """Read a home.

    Raises
    ------
    ConfigError
        The file can't be read, is of another form, or holds no labels.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "numpy") as opened:
            about = json.loads((opened.metadata() or {}).get("about", "null"))
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        if about["format"] != FORMAT:
            raise ConfigError(f"scores.ears={str(path)!r} has format {about['format']}; this version reads {FORMAT}")
        truth, sources = arrays.pop("truth").astype(bool), arrays.pop("sources").astype(int)
        labels = [str(label) for label in about["labels"]]
        vectors = {name: values.astype(np.float32) for name, values in arrays.items()}
        if truth.shape != (len(sources), len(labels)) or any(len(v) != len(sources) for v in vectors.values()):
            raise ValueError("its arrays do not fit each other")
        if not all(np.isfinite(v).all() for v in vectors.values()) or not isinstance(about["ears"], dict):
            raise ValueError("its values are not finite")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"scores.ears={str(path)!r} can't be read as ears measured by and-dissect: {error}") from None
    if len(labels) < LEAST_LABELS or not truth.any():
        raise ConfigError(
            f"scores.ears={str(path)!r} was made from a collection without labels; nothing is known by it"
        )
    return Home(vectors, truth, labels, sources, {k: v for k, v in about.items() if k not in ("format", "labels")})


def truth_of_concepts(labels: Sequence[str], truth: np.ndarray, concepts: Sequence[str]) -> np.ndarray:
    """Return (N, M) bool: clips that have a label called like each concept."""
    place = {plain_name(label): i for i, label in enumerate(labels)}
    columns = [place.get(plain_name(concept), -1) for concept in concepts]
    made = np.zeros((len(truth), len(concepts)), bool)
    for m, column in enumerate(columns):
        if column >= 0:
            made[:, m] = truth[:, column]
    return made


def halves_by_label(truth: np.ndarray, sources: np.ndarray, seed: int) -> np.ndarray:
    """Return (N,) bool: the first of two halves of the recordings, label by label, so that both hold each alike."""
    recordings, first_clip = np.unique(sources, return_index=True)
    label = np.where(truth[first_clip].any(1), truth[first_clip].argmax(1), -1)
    order = np.random.default_rng(seed).permutation(len(recordings))
    order = order[np.argsort(label[order], kind="stable")]
    return np.isin(sources, recordings[order[::2]])


def measured(
    home: Home,
    ears: str,
    concept_vectors: np.ndarray,
    concepts: Sequence[str],
    seed: int,
    here: tuple[np.ndarray, np.ndarray] | None = None,
) -> Measured | None:
    """Measure a pair of ears on their home for a concept set; None where fewer than two of its labels are in the set.

    Neurons are simulated that read the ears' own vectors: linear read-outs of labels mixed with random directions, and,
    where a network is at hand, twins of its neurons. What the ears say of them is compared with the label that is truly
    each one's best by area under the ROC curve.

    Parameters
    ----------
    here : pair of arrays, optional
        Vectors (n, D) of the clips at hand by these ears, and activations (R, n) of some neurons on them.
    """
    truth = truth_of_concepts(home.labels, home.truth, concepts)
    clips = np.flatnonzero(truth.any(1))
    if (truth.sum(0) >= 2 * LEAST).sum() < LEAST_LABELS:
        return None
    vectors, truth, sources = home.vectors[ears][clips], truth[clips], home.sources[clips]
    scores = vectors @ concept_vectors.T
    hearing = fit_hearing(scores, truth)
    odds, first = log_odds(scores, hearing), halves_by_label(truth, sources, seed)
    if not first.any() or first.all():
        return None
    u = simulated(vectors, truth, first, seed)
    if here is not None:
        u = np.concatenate([u, twins(vectors, *here, seed)])
    draws = [
        drawn_truths(odds[half], None, hearing.bias, sources[half], DRAWS, seed + i)
        for i, half in enumerate((first, ~first))
    ]
    halves = pair_of_halves(np.arange(len(clips)), first, odds, draws)
    named = named_by_presence(u, halves)
    features = evidence(u, halves, {"": named})[""]
    best, area = best_concepts(u, truth)
    right = (best == named.shown) & (area >= confidence.BORNE_OUT)
    calibrator = confidence.fit(features, right)
    stated = calibrator(features)
    checked = confidence.cross_checked(features, right, np.asarray(best) % 2 == 0)
    steadiness = np.array(
        [
            min(MOST_STEADY, (right[mine].sum() + STEADY) / (stated[mine].sum() + STEADY))
            for mine in (named.shown == m for m in range(len(concepts)))
        ]
    )
    likeliest = odds.argmax(1)
    rows = _rows(odds, likeliest, truth, concepts, best, right)
    hits = float(truth[np.arange(len(clips)), likeliest].mean())
    error = confidence.expected_error(checked, right)
    return Measured(hearing, calibrator, error, steadiness, hits, rows)


def simulated(vectors: np.ndarray, truth: np.ndarray, first: np.ndarray, seed: int) -> np.ndarray:
    """Return (R, N) float32 activations of neurons that read vectors of clips: random directions, and read-outs of each
    label that occurs, mixed with them."""
    rng = np.random.default_rng(seed)
    centred = vectors.astype(np.float64) - vectors.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    axes = standardised(left[:, :AXES]) * (sizes[:AXES] / max(sizes[0], 1e-12))
    directions = standardised(axes @ rng.standard_normal((axes.shape[1], DIRECTIONS)))
    labelled = np.flatnonzero(truth.any(0))
    signal = cross_fitted(axes, truth[:, labelled].astype(float), first, RIDGE)
    units = [directions]
    for strength in STRENGTHS:
        own, beside = rng.integers(0, signal.shape[1], MIXED), rng.integers(0, DIRECTIONS, MIXED)
        units.append(strength * signal[:, own] + np.sqrt(1 - strength**2) * directions[:, beside])
    return np.ascontiguousarray(np.concatenate(units, 1).T, np.float32)


def twins(vectors: np.ndarray, vectors_here: np.ndarray, u: np.ndarray, seed: int) -> np.ndarray:
    """Return (R, N) float32: what neurons would do on the clips of a home, as far as vectors of clips tell; the rest of
    each one's variance is noise.

    Parameters
    ----------
    vectors : (N, D)
        Of the home's clips.
    vectors_here : (n, D)
        Of the clips at hand.
    u : (R, n)
        Activations of neurons on the clips at hand.
    """
    middle = vectors_here.mean(0)
    _, sizes, axes = np.linalg.svd(vectors_here.astype(np.float64) - middle, full_matrices=False)
    axes = axes[:AXES].T / np.maximum(sizes[:AXES], 1e-9) * np.sqrt(len(vectors_here))
    x, wanted = (vectors_here - middle) @ axes, standardised(u.T)
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ wanted)
    left = np.sqrt(np.maximum(((wanted - x @ weights) ** 2).mean(0), 0))
    noise = np.random.default_rng(seed).standard_normal((len(vectors), len(u)))
    return np.ascontiguousarray(((vectors - middle) @ axes @ weights + left * noise).T, np.float32)


def _rows(
    odds: np.ndarray, likeliest: np.ndarray, truth: np.ndarray, concepts: Sequence[str], best: np.ndarray,
    right: np.ndarray,
) -> list[dict[str, Any]]:  # fmt: skip
    from sklearn.metrics import roc_auc_score

    rows = []
    for m in np.flatnonzero(truth.any(0)).tolist():
        taken = np.bincount(likeliest[truth[:, m]], minlength=len(concepts))
        mine = best == m
        rows.append(
            {
                "concept": concepts[m],
                "clips": int(truth[:, m].sum()),
                "auroc": round(float(roc_auc_score(truth[:, m], odds[:, m])), 4) if not truth[:, m].all() else None,
                "taken_for": concepts[int(taken.argmax())],
                "taken_share": round(float(taken.max() / taken.sum()), 4),
                "named_right": round(float(right[mine].mean()), 4) if mine.any() else None,
            }
        )
    return rows


def fingerprint(home: Home) -> Mapping[str, Any]:
    """Return what decides a measurement, for a stage's key."""
    return {"home": home.about.get("home"), "ears": home.about["ears"], "clips": len(home.sources)}
