"""A sound of one's own: what the network takes it for, which neurons fire unusually, and what an unlearned concept
changes. Nothing is kept."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from and_core.audio.decode import full_scale, read_audio
from and_core.audio.media import flac
from and_core.errors import DataError
from and_core.labels.outputs import probabilities
from and_core.records import NeuronId
from and_core.store.dissection import Dissection
from and_core.store.files import safe_name, write_atomic
from and_core.targets.loaded import network_lock, shared_target

LONGEST = 60.0  # seconds
LARGEST = 100 * 2**20  # bytes of an upload
KEPT = "own_sounds"  # folder below the cache; only what a user asked to keep


@dataclass(frozen=True)
class OwnSound:
    """A decoded sound.

    Attributes
    ----------
    name : str
    wave : (samples,) float32
    rate : int
    identity : str
        Hash of the samples.
    """

    name: str
    wave: np.ndarray
    rate: int
    identity: str


def read_sound(data: bytes, name: str) -> OwnSound:
    """Decode an uploaded or recorded sound: what soundfile reads, else what ffmpeg does where it is installed.

    Raises
    ------
    DataError
        Too large, too long (over 60 s), silent, empty, corrupt, or of a format nobody here reads.
    """
    if len(data) > LARGEST:
        raise DataError(f"too large: {len(data) / 2**20:.0f} MiB, at most {LARGEST // 2**20} MiB are taken")
    with tempfile.TemporaryDirectory(prefix="and-own-") as folder:
        path = Path(folder) / "sound"
        path.write_bytes(data)
        wave, rate = read_audio(path, LONGEST)
    wave, _ = full_scale(wave)
    return OwnSound(name, wave, rate, hashlib.sha256(wave.tobytes() + str(rate).encode()).hexdigest()[:16])


@dataclass(frozen=True)
class Reaction:
    """What a network makes of a sound.

    Attributes
    ----------
    probabilities : (C,) float32 or None
        None where the network has no classifier.
    classes : list of str
    activations : (R,) float32
        Pooled, of every dissected neuron.
    heard : float
        Seconds of the sound that the network hears: some cut what is longer than they take.
    """

    probabilities: np.ndarray | None
    classes: list[str]
    activations: np.ndarray
    heard: float


def react(d: Dissection, sound: OwnSound) -> Reaction:
    """Return one forward pass: prediction and activations of all neurons."""
    from and_core.audio.decode import resample
    from and_core.targets.hooks import Capture

    with network_lock():
        target = shared_target(d)
        wave = resample(sound.wave, sound.rate, target.sample_rate)
        capture = Capture(target.hook_points(), target.pool)
        with capture:
            logits = capture.run(lambda: target.forward(target.features([wave])))
        active = np.concatenate([capture.outputs[layer.name][0].numpy() for layer in d.layers])
        classes = target.classes
        heard = target.heard_seconds(len(wave) / target.sample_rate)
    known = classes is not None and logits is not None and logits.shape[-1] == len(classes)
    shares = probabilities(logits[0].float().cpu().numpy(), target.multi_label) if known else None
    return Reaction(shares, list(classes or []), active, heard)


def unusual(d: Dissection, active: np.ndarray, most: int = 12, hidden_only: bool = True) -> list[dict[str, Any]]:
    """Return neurons that fire furthest above what they do on the probing clips: neuron, activation, in standard
    deviations, share of clips below.

    Dead neurons have no usual, and are left out.
    """
    mean, std = d.activation_mean, d.activation_std
    far = np.where(d.dead | (std <= 0), -np.inf, (active - mean) / np.where(std > 0, std, 1))
    if hidden_only:
        for layer in d.layers:
            if layer.kind == "fc":
                far[layer.offset : layer.offset + layer.size] = -np.inf
    rows = []
    for index in np.argsort(-far, kind="stable")[:most]:
        if not np.isfinite(far[index]):
            break
        neuron = d.neuron_id(int(index))
        values = np.asarray(d.activations(neuron))
        rows.append(
            {
                "neuron": neuron,
                "activation": float(active[index]),
                "deviations": float(far[index]),
                "below": float(np.mean(values < active[index])),
            }
        )
    return rows


def without_concept(d: Dissection, sound: OwnSound, concept: str, strategy: str = "DB") -> tuple[np.ndarray, int]:
    """Return (C,) probabilities when the neurons of a concept are ablated (as the Unlearning page chooses them), and
    how many those are.

    Raises
    ------
    ConfigError, NotComputed
        No such concept, or the stage `split` has not been run.
    """
    import torch

    from and_core.audio.decode import resample
    from and_core.targets.ablate import Ablation
    from and_core.unlearn.request import AblationRequest
    from and_core.unlearn.selection import select_neurons

    choice = select_neurons(d, AblationRequest(concept=concept, strategy=strategy))
    with network_lock():
        target = shared_target(d)
        features = target.features([resample(sound.wave, sound.rate, target.sample_rate)])
        with Ablation(target.hook_points(), choice.selection.masks, "weights", None), torch.inference_mode():
            logits = target.forward(features)[0].float().cpu().numpy()
    return probabilities(logits, target.multi_label), choice.count


def keep(root: Path, sound: OwnSound, name: str) -> Path:
    """Keep a sound, because its user said so; never called otherwise."""
    path = root / KEPT / f"{safe_name(name, 'name')}.flac"
    if path.exists():
        raise DataError(f"name={name!r}: there is a kept sound of that name; choose another")
    write_atomic(path, flac(sound.wave, sound.rate))
    return path


def kept_sounds(root: Path) -> list[str]:
    """Return names of the sounds that users kept."""
    return sorted(path.stem for path in (root / KEPT).glob("*.flac"))


def forget(root: Path, name: str) -> None:
    """Delete a kept sound."""
    (root / KEPT / f"{safe_name(name, 'name')}.flac").unlink(missing_ok=True)


def value_of(d: Dissection, active: np.ndarray, neuron: NeuronId) -> float:
    """Return the sound's activation of one neuron."""
    return float(active[d.index(neuron)])
