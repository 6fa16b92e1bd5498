"""Is what is heard what decides? Every metric of a listener on clips that it never learned from, with controls beside
it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from and_core.listen import metrics
from and_core.listen.listener import Listener
from and_core.listen.stft import log_magnitude, peak

PUBLISHED = (  # ESC-50, Cnn14, out-of-domain mixtures: AI, AD, AG, FF, Fid-In
    {"method": "L2I (published)", "AI": 6.75, "AD": 25.9, "AG": 1.25, "FF": 0.26, "Fid-In": None},
    {"method": "L-MAC (published)", "AI": 61.6, "AD": 3.8, "AG": 33.5, "FF": 0.40, "Fid-In": 0.82},
)
BATCH = 32
Masks = Callable[[np.ndarray, np.ndarray], torch.Tensor]
"""(waves (B, samples), predicted classes (B,)) -> masks (B, F, T)."""


def batches(waves: np.ndarray) -> Iterator[slice]:
    """Yield slices of at most :data:`BATCH` clips."""
    for start in range(0, len(waves), BATCH):
        yield slice(start, min(start + BATCH, len(waves)))


def relevance(listener: Listener, waves: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return relevance (B, K) of every component for given classes, H (B, K, T), and whether there is positive evidence
    (B,)."""
    _, h, z, _, _ = listener.forward(waves)
    evidence = (z * listener.interpreter.theta.detach()[torch.from_numpy(c)]).numpy()
    top = evidence.max(1, keepdims=True)
    return np.where(top > 0, evidence / np.where(top > 0, top, 1), 0.0), h.numpy(), top[:, 0] > 0


def relevant_masks(listener: Listener, tau: float) -> Masks:
    """Return what L2I keeps: the components whose relevance is above tau."""

    def made(waves: np.ndarray, c: np.ndarray) -> torch.Tensor:
        r, h, _ = relevance(listener, waves, c)
        return _above(listener, r, h, tau)

    return made


def _above(listener: Listener, r: np.ndarray, h: np.ndarray, tau: float) -> torch.Tensor:
    return torch.from_numpy(np.stack([listener.mask_of(one, row > tau) for row, one in zip(r, h, strict=True)]))


def energy_matched(listener: Listener, tau: float, seed: int) -> Masks:
    """Return components drawn at random until as much energy is gone, as it is rendered, as without L2I's: what any
    removal of that size does."""

    def made(waves: np.ndarray, c: np.ndarray) -> torch.Tensor:
        r, h, _ = relevance(listener, waves, c)
        return _matched(listener, r, h, _logs(listener, waves), c, tau, seed)

    return made


def _logs(listener: Listener, waves: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(waves)
    return log_magnitude(listener.stft.spectrum(x / peak(x))).numpy()


def _matched(
    listener: Listener, r: np.ndarray, h: np.ndarray, logs: np.ndarray, c: np.ndarray, tau: float, seed: int
) -> torch.Tensor:
    masks = []
    for i, (row, one, log) in enumerate(zip(r, h, logs, strict=True)):
        goal = listener.energy_lost(log, listener.mask_of(one, row > tau))
        order = np.random.default_rng([seed, i, int(c[i])]).permutation(len(one))
        masks.append(_nearest(_first_masks(listener, one, order), listener, log, goal, len(order)))
    return torch.from_numpy(np.stack(masks))


def _first_masks(listener: Listener, h: np.ndarray, order: np.ndarray) -> Callable[[int], np.ndarray]:
    """Return a function that gives the mask of so many components, in their order."""
    return lambda count: listener.mask_of(h, np.isin(np.arange(len(h)), order[:count]))


def _nearest(
    mask_of: Callable[[int], np.ndarray], listener: Listener, log: np.ndarray, goal: float, most: int
) -> np.ndarray:
    """Return the mask of so many components, in their random order, that its loss is nearest to the goal.

    The loss grows with their number.
    """
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if listener.energy_lost(log, mask_of(middle)) < goal else (low, middle)
    ends = [mask_of(count) for count in (low, high)]
    return min(ends, key=lambda mask: abs(listener.energy_lost(log, mask) - goal))


def wrong_class(listener: Listener, tau: float, classes: int, seed: int) -> Masks:
    """Return what L2I keeps for a class that was not predicted."""
    inner = relevant_masks(listener, tau)

    def made(waves: np.ndarray, c: np.ndarray) -> torch.Tensor:
        return inner(waves, (c + np.random.default_rng([seed, len(c)]).integers(1, classes, len(c))) % classes)

    return made


def all_ones(listener: Listener) -> Masks:
    """Return everything is kept: a plain round trip."""
    return lambda waves, c: torch.ones(len(waves), listener.stft.bins, listener.frames)


def judge(listener: Listener, waves: np.ndarray, masks: Masks, linear: bool = False) -> dict[str, float]:
    """Return the field's metrics of one way to keep parts of clips, through the waveform and the model's own features
    again."""
    kept_p, left_p, clips_p = [], [], []
    share, spread, relative, energy = [], [], [], []
    for rows in batches(waves):
        batch = waves[rows]
        logits = listener.predict(batch)
        mask = masks(batch, logits.argmax(1))
        kept, left = listener.render_all(batch, mask, linear)
        clips_p.append(listener.probabilities(logits))
        kept_p.append(listener.probabilities(listener.predict(kept)))
        left_p.append(listener.probabilities(listener.predict(left)))
        for one, whole, part in zip(mask.numpy(), batch, left, strict=True):
            share.append(metrics.sparseness(one))
            nats, of = metrics.complexity(one)
            spread.append(nats)
            relative.append(of)
            energy.append(1 - float((part**2).sum() / max(float((whole**2).sum()), 1e-12)))
    clips, kept_all, left_all = (np.concatenate(p) for p in (clips_p, kept_p, left_p))
    c = clips.argmax(1)
    row = np.arange(len(c))
    p, o, q = clips[row, c], kept_all[row, c], left_all[row, c]
    return {
        "AI": metrics.average_increase(p, o),
        "AD": metrics.average_drop(p, o),
        "AG": metrics.average_gain(p, o),
        "FF": metrics.faithfulness(p, q),
        "FF median": float(np.median(p - q)),
        "Fid-In": metrics.input_fidelity(kept_all, c),
        "SPS": float(np.mean(share)),
        "COMP": float(np.mean(spread)),
        "COMP share": float(np.mean(relative)),
        "energy": float(np.mean(energy)),
    }


def clip_by_clip(listener: Listener, waves: np.ndarray, tau: float, seed: int) -> list[dict[str, Any]]:
    """Return how well the components explain the decision on each clip.

    Returns
    -------
    list of dict
        ``predicted``, the class; its probability on the ``whole`` clip, on what is ``kept``, on what is ``left``, and
        on what is left without random components of as much energy, ``random_left``; ``kept_predicted``, the class that
        is predicted on what is kept; ``components``, how many are kept.
    """
    rows: list[dict[str, Any]] = []
    for part in batches(waves):
        batch = waves[part]
        whole = listener.probabilities(listener.predict(batch))
        c, at = whole.argmax(1), np.arange(len(batch))
        r, h, _ = relevance(listener, batch, c)
        chosen = _above(listener, r, h, tau)
        random = _matched(listener, r, h, _logs(listener, batch), c, tau, seed)
        kept, left = (listener.probabilities(listener.predict(x)) for x in listener.render_all(batch, chosen))
        without = listener.probabilities(listener.predict(listener.render_all(batch, random)[1]))
        columns = {
            "predicted": c, "whole": whole[at, c], "kept": kept[at, c], "left": left[at, c],
            "random_left": without[at, c], "kept_predicted": kept.argmax(1), "components": (r > tau).sum(1),
        }  # fmt: skip
        rows += [{name: values[i].item() for name, values in columns.items()} for i in at]
    return rows


def fidelity_of(listener: Listener, waves: np.ndarray, multi_label: bool = False) -> dict[str, float]:
    """Return how well the interpreter's logits follow the network's: top-1, 3, 5.

    For several classes a clip, AUPRC and F1 against its decisions.
    """
    f, g = [], []
    for rows in batches(waves):
        one, _, _, two, _ = listener.forward(waves[rows])
        f.append(one.numpy())
        g.append(two.numpy())
    logits, interpreted = np.concatenate(f), np.concatenate(g)
    if multi_label:
        return metrics.multi_label(logits > 0, 1 / (1 + np.exp(-interpreted)))
    return {f"top-{k}": metrics.fidelity(logits, interpreted, k) for k in (1, 3, 5)}


def by_threshold(listener: Listener, waves: np.ndarray, taus: list[float], draws: int = 3) -> list[dict[str, Any]]:
    """Return faithfulness in logits ``f(x)_c - f(x without L)_c`` for several tau: median, mean, components, energy,
    and energy-matched random components."""
    measures: dict[float, dict[str, list[float]]] = {
        tau: {key: [] for key in ("lost", "counts", "energy", "random", "random energy")} for tau in sorted(taus)
    }
    for part in batches(waves):
        batch = waves[part]
        logits = listener.predict(batch)
        c = logits.argmax(1)
        before = logits[np.arange(len(c)), c]
        r, h, _ = relevance(listener, batch, c)
        logs = _logs(listener, batch)
        for tau, row in measures.items():
            chosen = _above(listener, r, h, tau)
            random = [_matched(listener, r, h, logs, c, tau, seed) for seed in range(draws)]
            row["counts"] += (r > tau).sum(1).tolist()
            for masks, lost, gone in (
                (chosen, "lost", "energy"),
                *((other, "random", "random energy") for other in random),
            ):
                _, left = listener.render_all(batch, masks)
                row[lost] += (before - listener.predict(left)[np.arange(len(c)), c]).tolist()
                row[gone] += _gone(batch, left)
    return [
        {
            "tau": tau,
            "median": float(np.median(row["lost"])),
            "mean": float(np.mean(row["lost"])),
            "components": float(np.mean(row["counts"])),
            "energy": float(np.mean(row["energy"])),
            "random median": float(np.median(row["random"])),
            "random mean": float(np.mean(row["random"])),
            "random energy": float(np.mean(row["random energy"])),
        }
        for tau, row in measures.items()
    ]


def _gone(whole: np.ndarray, left: np.ndarray) -> list[float]:
    """Share of each clip's energy that is not in what is left."""
    return list(map(float, 1 - (left**2).sum(1) / np.maximum((whole**2).sum(1), 1e-12)))


def drops_when_removed(listener: Listener, waves: np.ndarray, tau: float, most: int = 40) -> float | None:
    """Share of relevant components whose activation H_k falls when their own sound is taken out of the clip; None where
    none is relevant.

    The interpreter sees the whole clip, so that this has to be looked at.
    """
    dropped = []
    for wave in waves[:most]:
        decision = listener.interpret(wave)
        chosen = decision.relevant(tau)
        if chosen:
            masks = np.stack([listener.mask_of(decision.h, np.arange(len(decision.relevance)) == k) for k in chosen])
            _, left = listener.render_all(np.repeat(wave[None], len(chosen), 0), torch.from_numpy(masks))
            after = listener.forward(left)[1].sum(2).numpy()
            dropped += [bool(after[i, k] < decision.h[k].sum()) for i, k in enumerate(chosen)]
    return float(np.mean(dropped)) if dropped else None


def corruptions(
    listener: Listener, waves: np.ndarray, truth: np.ndarray, tau: float, seed: int
) -> list[dict[str, Any]]:
    """Return noise at 0 dB, and two classes mixed: does the interpretation of the class hold more of its sound than the
    mixture does?"""
    rng = np.random.default_rng(seed)
    apart = ~(truth @ truth.T)  # clips that share no class
    mixed_in = [int(rng.choice(np.flatnonzero(row))) if row.any() else -1 for row in apart]
    able = np.flatnonzero(np.array(mixed_in) >= 0)
    partners = waves[np.array(mixed_in)[able]]
    waves = waves[able]
    noise = rng.standard_normal(waves.shape).astype(np.float32)
    rows = []
    for name, added in (("noise at 0 dB", noise), ("another class", partners)):
        level = np.linalg.norm(waves, axis=1, keepdims=True) / np.maximum(
            np.linalg.norm(added, axis=1, keepdims=True), 1e-9
        )
        mixed = (waves + added * level).astype(np.float32)
        gain, before, after, nothing = [], [], [], 0
        for part in batches(waves):
            batch = mixed[part]
            c = listener.predict(waves[part]).argmax(1)
            kept, _ = listener.render_all(batch, relevant_masks(listener, tau)(batch, c))
            heard = [
                (k, w, m) for k, w, m in zip(kept, waves[part], batch, strict=True) if np.any(k)
            ]  # nothing kept has no ratio
            gain += [metrics.si_sdr(k, w) - metrics.si_sdr(m, w) for k, w, m in heard]
            nothing += len(kept) - len(heard)
            if name == "another class":
                second = listener.predict(partners[part]).argmax(1)
                at = np.arange(len(c))
                before += listener.probabilities(listener.predict(batch))[at, second].tolist()
                after += listener.probabilities(listener.predict(kept))[at, second].tolist()
        rows.append({
            "corruption": name, "SI-SDR gain": float(np.mean(gain)) if gain else None, "nothing kept": nothing,
            "other class, mixture": float(np.mean(before)) if before else None,
            "other class, kept": float(np.mean(after)) if after else None,
        })  # fmt: skip
    return rows


def randomised(listener: Listener, tau: float, seed: int) -> Masks:
    """Return what the interpreter keeps when it reads a network whose weights are random: a sanity check that the
    network is read at all."""
    inner = relevant_masks(listener, tau)
    network = listener.target.network

    def made(waves: np.ndarray, c: np.ndarray) -> torch.Tensor:
        whole = {name: p.detach().clone() for name, p in network.named_parameters()}
        rng = torch.Generator().manual_seed(seed)
        try:
            with torch.no_grad():
                for p in network.parameters():
                    if p.ndim > 1:
                        p.copy_(torch.randn(p.shape, generator=rng) * p.std())
            return inner(waves, c)
        finally:
            with torch.no_grad():
                for name, p in network.named_parameters():
                    p.copy_(whole[name])

    return made
