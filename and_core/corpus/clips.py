"""The synthetic sound corpus: clips in the categories and layout of ESC-50, each with the truth it was made from.

Every clip is drawn from `(seed, category, index)` alone, so any clip can be made on its own, in any order and process,
and comes out the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from and_core.corpus.recipes import CATEGORIES, RECIPES
from and_core.corpus.synth import SAMPLE_RATE, SAMPLES, SECONDS, Rng, Scene, band, noise, reverb, wobble

VERSION = "1"
FOLDS = 5
PER_CATEGORY = 25
DISTANCES = {"near": (None, 0.02), "middle": (4500.0, 0.16), "far": (2200.0, 0.42)}
BACKGROUNDS = ("none", "hiss", "hum", "wind", "traffic", "room")


@dataclass(frozen=True)
class Truth:
    """What one clip was made from."""

    category: str
    index: int
    seed: int
    fold: int
    pitch: float
    rate: float
    events: int
    regular: bool
    distance: str
    reverb_seconds: float
    background: str
    background_db: float
    level_db: float
    onset: str
    ending: str


def clip_name(category: str, index: int) -> str:
    """Return file name in ESC-50's pattern, fold-source-take-target."""
    target = CATEGORIES.index(category)
    return f"{index % FOLDS + 1}-{100_000 + target * 1000 + index}-A-{target}.wav"


def clip_rng(seed: int, category: str, index: int) -> Rng:
    """Return generator of one clip, independent of every other clip's."""
    digest = hashlib.sha256(f"{VERSION}/{seed}/{category}/{index}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def make_clip(category: str, index: int, seed: int = 0) -> tuple[np.ndarray, Truth]:
    """Synthesise one clip.

    Parameters
    ----------
    category : str
        One of :data:`CATEGORIES`.
    index : int
        Number of the clip within its category; its fold is ``index % 5 + 1``.
    seed : int
        Seed of the corpus.

    Returns
    -------
    wave : (48000,) float32
        Mono at 16 kHz, in [-1, 1].
    truth : Truth
        The parameters drawn.
    """
    if category not in RECIPES:
        raise ValueError(f"category={category!r} is not in the corpus; allowed: {', '.join(CATEGORIES)}")
    rng = clip_rng(seed, category, index)
    scene = Scene(
        rng,
        pitch=float(2 ** np.clip(rng.normal(0, 0.22), -0.5, 0.5)),
        rate=float(2 ** np.clip(rng.normal(0, 0.28), -0.6, 0.6)),
    )
    RECIPES[category](scene)
    distance = str(rng.choice(list(DISTANCES), p=[0.5, 0.3, 0.2]))
    cutoff, wet = DISTANCES[distance]
    decay_time = float(rng.uniform(0.2, 0.6) if distance == "near" else rng.uniform(0.4, 1.6))
    x = _soften(scene.wave)
    if cutoff:
        x = band(x, None, cutoff * rng.uniform(0.8, 1.3), order=1)
    x = reverb(rng, x, decay_time, wet * rng.uniform(0.6, 1.3))
    onset, ending, window = _edges(rng)
    x = x * window
    level_db = float(np.clip(rng.normal({"near": -17, "middle": -24, "far": -31}[distance], 4.5), -44, -8))
    background = str(rng.choice(BACKGROUNDS, p=[0.4, 0.15, 0.1, 0.1, 0.15, 0.1]))
    background_db = float(rng.uniform(-34, -14)) if background != "none" else -80.0
    x = x / _loudest(x) + 10 ** (background_db / 20) * _background(rng, background)
    x = _limit(x / _loudest(x) * 10 ** (level_db / 20))
    truth = Truth(
        category,
        index,
        seed,
        index % FOLDS + 1,
        round(scene.pitch, 4),
        round(scene.rate, 4),
        len(scene.onsets),
        scene.regular,
        distance,
        round(decay_time, 3),
        background,
        round(background_db, 2),
        round(level_db, 2),
        onset,
        ending,
    )
    return x.astype(np.float32), truth


def make_many(jobs: list[tuple[str, int, int]], processes: int = 2) -> Iterator[tuple[np.ndarray, Truth]]:
    """Yield clips of `(category, index, seed)` in order, made by `processes` worker processes."""
    if processes <= 1 or len(jobs) < 16:
        yield from (make_clip(*job) for job in jobs)
        return
    from loky import ProcessPoolExecutor  # its workers do not run the caller's script again

    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_star, jobs, chunksize=16)


def corpus_jobs(
    per_category: int = PER_CATEGORY, seed: int = 0, categories: tuple[str, ...] = CATEGORIES
) -> list[tuple[str, int, int]]:
    """Return every `(category, index, seed)` of a corpus, ordered by category."""
    return [(category, index, seed) for category in categories for index in range(per_category)]


def fingerprint(per_category: int, seed: int, categories: tuple[str, ...] = CATEGORIES) -> str:
    """Return the identity of a corpus: its recipe's version and parameters, not its bytes."""
    return hashlib.sha256(
        repr(("and-corpus", VERSION, per_category, seed, SECONDS, SAMPLE_RATE, categories)).encode()
    ).hexdigest()


def truth_row(truth: Truth) -> dict[str, object]:
    """Return truth as a flat row for a table."""
    return {f"true_{key}": value for key, value in asdict(truth).items() if key not in ("category", "index", "fold")}


def _star(job: tuple[str, int, int]) -> tuple[np.ndarray, Truth]:
    return make_clip(*job)


def _loudest(x: np.ndarray) -> float:
    """Return RMS of the loudest tenth of 50 ms frames."""
    frames = x[: len(x) // 800 * 800].reshape(-1, 800)
    rms = np.sort(np.sqrt((frames**2).mean(axis=1)))
    return float(rms[-max(1, len(rms) // 10) :].mean()) + 1e-9


def _soften(x: np.ndarray) -> np.ndarray:
    """Soften extreme crests (sparse snaps over silence) so that a clip's level is not one sample's."""
    ceiling = 8 * _loudest(x)
    return ceiling * np.tanh(x / ceiling)


def _limit(x: np.ndarray) -> np.ndarray:
    """Limit softly: transparent below 0.7, never above 1."""
    over = np.abs(x) > 0.7
    y = x.copy()
    y[over] = np.sign(x[over]) * (0.7 + 0.3 * np.tanh((np.abs(x[over]) - 0.7) / 0.3))
    return y


def _edges(rng: Rng) -> tuple[str, str, np.ndarray]:
    """Return how the clip begins and ends: whole, faded or cut short."""
    window = np.ones(SAMPLES)
    onset = str(rng.choice(["whole", "fade-in"], p=[0.8, 0.2]))
    ending = str(rng.choice(["whole", "fade-out", "cut"], p=[0.7, 0.2, 0.1]))
    if onset == "fade-in":
        n = int(rng.uniform(0.3, 1.2) * SAMPLE_RATE)
        window[:n] *= np.linspace(0, 1, n) ** 2
    if ending == "fade-out":
        n = int(rng.uniform(0.4, 1.4) * SAMPLE_RATE)
        window[-n:] *= np.linspace(1, 0, n) ** 2
    elif ending == "cut":
        window[int(rng.uniform(1.6, 2.6) * SAMPLE_RATE) :] = 0
    edge = np.linspace(0, 1, 80)
    window[:80] *= edge
    window[-80:] *= edge[::-1]
    return onset, ending, window


def _background(rng: Rng, kind: str) -> np.ndarray:
    """Return unit-RMS bed of sound behind the main one."""
    if kind == "hiss":
        x = band(noise(rng, SECONDS, -1), 800)
    elif kind == "hum":
        t = np.arange(SAMPLES) / SAMPLE_RATE
        x = sum(np.sin(2 * np.pi * 50 * k * t + rng.uniform(0, 6)) / k for k in (1, 2, 3, 4, 6)) + 0.1 * noise(
            rng, SECONDS, -3
        )
    elif kind == "wind":
        x = band(noise(rng, SECONDS, -6), 40, 600) * np.clip(wobble(rng, SECONDS, 1, 0.5), 0.1, 2)[:SAMPLES]
    elif kind == "traffic":
        x = band(noise(rng, SECONDS, -4), 50, 1200) * np.clip(wobble(rng, SECONDS, 0.8, 0.4), 0.2, 2)[:SAMPLES]
    elif kind == "room":
        x = noise(rng, SECONDS, -5)
    else:
        x = noise(rng, SECONDS)
    return np.asarray(x)[:SAMPLES] / (np.std(x) + 1e-9)
