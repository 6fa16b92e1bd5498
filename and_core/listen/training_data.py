"""What training a listener reads: clips decoded once, and what the frozen network makes of each, kept while it fits in
memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from and_core.listen.maps import MapReader
from and_core.listen.stft import Stft, log_magnitude, peak

KEEP_BYTES = 2 << 30
QUIET_DB = 60.0  # frames this far below the clip's loudest are near silence, and teach the dictionary nothing


@dataclass(frozen=True)
class ClipSplit:
    """Clips to learn from, to choose the epoch on, and to measure on: no two share a source."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_clips(
    folds: Sequence[int | None],
    sources: Sequence[str | None],
    trained: Sequence[int],
    validation: int | None,
    test: Sequence[int] | None,
    seed: int,
) -> ClipSplit:
    """Split clips by folds where they have them, else by source: a fifth to choose, a fifth to measure.

    Raises
    ------
    ValueError
        A part is empty; the message says which.
    """
    if all(fold is not None for fold in folds):
        known = sorted({int(f) for f in folds if f is not None})
        tested = (
            set(test)
            if test is not None
            else (set(known) - set(trained) if trained and set(known) - set(trained) else {known[-1]})
        )
        chosen = validation if validation is not None else next((f for f in known if f not in tested), -1)
        part = np.array([2 if f in tested else 1 if f == chosen else 0 for f in folds])
    else:
        names = [source if source is not None else f"#{i}" for i, source in enumerate(sources)]
        order = {name: i for i, name in enumerate(np.random.default_rng(seed).permutation(sorted(set(names))).tolist())}
        place = np.array([order[name] / len(order) for name in names])
        part = np.where(place < 0.2, 2, np.where(place < 0.4, 1, 0))
    split = ClipSplit(*(np.flatnonzero(part == i) for i in range(3)))
    for name, clips in (
        ("learn from", split.train),
        ("choose the epoch on", split.validation),
        ("measure on", split.test),
    ):
        if not len(clips):
            raise ValueError(f"listening: there are no clips to {name}; set validation_fold and test_folds")
    return split


class TrainingData:
    """Clips of one length with the network's maps and decisions.

    Parameters
    ----------
    waves : (N, samples) float32
    truth : (N, C) bool
        The network's class of each clip, -1 where it has none.
    kinds : (N,) int, optional
        The probing dataset's own label of each clip, between which the dictionary is balanced.
    reader : MapReader
        Of the frozen target.
    """

    def __init__(
        self, waves: np.ndarray, truth: np.ndarray, reader: MapReader, stft: Stft, kinds: np.ndarray | None = None
    ) -> None:
        self.waves, self.truth, self.reader, self.stft = waves, truth, reader, stft
        self.kinds = np.where(truth.any(1), truth.argmax(1), -1) if kinds is None else kinds
        self._kept: dict[int, tuple[torch.Tensor, list[torch.Tensor]]] = {}
        self._held = 0

    def spectra(self, rows: np.ndarray) -> torch.Tensor:
        """Return (B, F, T) X = log(1 + |STFT|) of the peak-normalised clips."""
        x = torch.from_numpy(self.waves[rows])
        return log_magnitude(self.stft.spectrum(x / peak(x)))

    def outputs(self, rows: np.ndarray) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return logits (B, C) and maps of the frozen network, computed once a clip."""
        fresh = [int(r) for r in rows if int(r) not in self._kept]
        made: dict[int, tuple[torch.Tensor, list[torch.Tensor]]] = {}
        if fresh:
            with torch.no_grad():
                logits, maps = self.reader(self.reader.target.features(list(self.waves[fresh])))
            for i, row in enumerate(fresh):
                made[row] = (logits[i], [m[i].half().clone() for m in maps])
                size = sum(m.numel() * 2 for m in made[row][1])
                if self._held + size <= KEEP_BYTES:
                    self._kept[row], self._held = made[row], self._held + size
        every = [self._kept.get(int(r)) or made[int(r)] for r in rows]
        return torch.stack([e[0] for e in every]), [
            torch.stack(m).float() for m in zip(*(e[1] for e in every), strict=True)
        ]

    def frames(self, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
        """Return (F, N) columns of spectrograms to learn a dictionary from: `most` in all, as many of each label, none
        near silence.

        Raises
        ------
        ValueError
            All clips are silent.
        """
        rng = np.random.default_rng(seed)
        by_class: dict[int, list[np.ndarray]] = {}
        for row in rows:
            x = self.spectra(np.array([row]))[0].numpy()
            power = (np.expm1(x) ** 2).sum(0)
            loud = power > power.max() * 10 ** (-QUIET_DB / 10)
            if power.max() > 0:
                by_class.setdefault(int(self.kinds[row]), []).append(x[:, loud])
        if not by_class:
            raise ValueError("the clips to learn from are all silent")
        picked, per_class = [], -(-most // len(by_class))
        for label in sorted(by_class):
            columns = np.concatenate(by_class[label], 1)
            picked.append(columns[:, np.sort(rng.permutation(columns.shape[1])[:per_class])])
        return np.concatenate(picked, 1).astype(np.float32)
