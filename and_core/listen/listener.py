"""A decision taken apart into sounds: the dictionary, the interpreter and what they say of one clip ("Listen to
Interpret")."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from and_core.audio.decode import resample
from and_core.errors import ArtifactError, TargetError
from and_core.labels.outputs import probabilities
from and_core.listen.interpreter import Interpreter, MaskDecoder
from and_core.listen.maps import MapReader, choose_maps
from and_core.listen.stft import Stft, log_magnitude, peak, with_magnitude
from and_core.store.files import write_atomic
from and_core.targets.base import Target

SILENT = "silence: there is nothing to take apart"
NO_EVIDENCE = "no positive evidence: no component speaks for this class"
MASK_FLOOR = 1e-6


@dataclass(frozen=True)
class Interpretation:
    """What was heard in one clip.

    Attributes
    ----------
    logits : (C,) float32
        Of the network.
    shown : int
        Class that is explained.
    g : (C,) float32
        Logits of the interpreter; ``sum_k relevance_k * top = g[shown]``.
    relevance : (K,) float32
        ``z_k theta_ck / max_j z_j theta_cj``; zeros where there is no positive evidence.
    top : float
        ``max_j z_j theta_cj``.
    h : (K, T)
        :meth:`Listener.component_masks` and :meth:`Listener.mask_of` make masks of it.
    wave : (samples,)
        The clip as the network heard it.
    remark : str
        Why there is no explanation, where there is none.
    """

    logits: np.ndarray
    shown: int
    g: np.ndarray
    relevance: np.ndarray
    top: float
    h: np.ndarray
    wave: np.ndarray
    remark: str = ""
    multi_label: bool = False

    @property
    def probabilities(self) -> np.ndarray:
        """Probabilities of the classes, (C,)."""
        return probabilities(self.logits, self.multi_label)

    def relevant(self, tau: float) -> list[int]:
        """Return components with a relevance above `tau`, most relevant first."""
        return [int(k) for k in np.argsort(-self.relevance, kind="stable") if self.relevance[k] > tau]


class Listener:
    """A target with what was learned to listen to it.

    Parameters
    ----------
    target : Target
        Loaded.
    w : (F, K) float32
        Dictionary.
    interpreter : Interpreter
    samples : int
        Length of the clips it was trained on; every clip is cut or padded to it.
    maps : sequence of str
        Names of the maps it reads.
    by_design : bool
        Whether the interpreter's logits are the prediction; the target's own head is then not asked.
    """

    def __init__(
        self,
        target: Target,
        w: np.ndarray,
        interpreter: Interpreter,
        samples: int,
        maps: Sequence[str],
        decoder: MaskDecoder | None = None,
        by_design: bool = False,
    ) -> None:
        self.target, self.w, self.interpreter, self.samples, self.maps = (
            target,
            w,
            interpreter.eval(),
            samples,
            list(maps),
        )
        self.decoder = None if decoder is None else decoder.eval()
        self.by_design = by_design
        self.stft = Stft.for_rate(target.sample_rate)
        self.reader = MapReader(target, choose_maps(target, self.maps))

    def fit_length(self, wave: np.ndarray, rate: int | None = None) -> np.ndarray:
        """Return the clip at the network's rate, cut or padded with silence to the length that was learned."""
        wave = wave if rate is None else resample(wave, rate, self.target.sample_rate)
        return np.pad(wave[: self.samples], (0, max(0, self.samples - len(wave)))).astype(np.float32)

    @torch.inference_mode()
    def forward(
        self, waves: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Return one pass over (B, samples): f's logits, H (B, K, T), z (B, K), g, and the maps."""
        f, maps = self.reader(self.target.features(list(waves)))
        h, z, g = self.interpreter(maps, self.frames)
        return f, h, z, g, maps

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities of logits (..., C), as the target's are judged."""
        return probabilities(logits, self.target.multi_label)

    @property
    def frames(self) -> int:
        """Columns of a spectrogram."""
        return max(self.samples, self.stft.n_fft) // self.stft.hop + 1

    def predict(self, waves: np.ndarray, batch: int = 32) -> np.ndarray:
        """Return (N, C) logits of what decides: the target, or by-design the interpreter."""
        parts = []
        for start in range(0, len(waves), batch):
            f, _, _, g, _ = self.forward(waves[start : start + batch])
            parts.append((g if self.by_design else f).numpy())
        return np.concatenate(parts)

    def component_masks(self, h: np.ndarray) -> np.ndarray:
        """Return (K, F, T) ``W_k H_k / WH``, in equal parts where nothing speaks, so that they always sum to 1."""
        parts = self.w.T[:, :, None] * h[:, None, :] + MASK_FLOOR / len(h)
        return (parts / parts.sum(0)).astype(np.float32)

    def mask_of(self, h: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return (F, T) sum of the masks of some components (K,) bool, without making them all."""
        floor = MASK_FLOOR / len(h)
        part = self.w[:, chosen] @ h[chosen] + floor * int(np.count_nonzero(chosen))
        return (part / (self.w @ h + MASK_FLOOR)).astype(np.float32)

    def energy_lost(self, log: np.ndarray, mask: np.ndarray) -> float:
        """Share of a clip's energy that is gone when a mask (F, T) is taken out of X = `log`, as it is rendered."""
        return 1 - float((np.expm1(log * (1 - mask)) ** 2).sum()) / max(float((np.expm1(log) ** 2).sum()), 1e-12)

    def interpret(self, wave: np.ndarray, shown: int | None = None) -> Interpretation:
        """Take the decision on one clip apart.

        Parameters
        ----------
        wave : (samples,)
            From :meth:`fit_length`.
        shown : int, optional
            Class to explain; by default the predicted one.
        """
        f, h, z, g, _ = self.forward(wave[None])
        logits = (g if self.by_design else f)[0].numpy()
        c = int(logits.argmax()) if shown is None else shown
        evidence = (z[0] * self.interpreter.theta[c].detach()).numpy()
        top = float(evidence.max(initial=0.0))
        remark = SILENT if not np.any(wave) else NO_EVIDENCE if top <= 0 else ""
        relevance = evidence / top if top > 0 else np.zeros_like(evidence)
        return Interpretation(
            logits,
            c,
            g[0].numpy(),
            relevance.astype(np.float32),
            top,
            h[0].numpy(),
            wave,
            remark,
            self.target.multi_label,
        )

    def render(self, wave: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what a mask (F, T) keeps of a clip, and what it leaves: ``expm1`` of its share of log(1 + |STFT|), at
        the input's phase."""
        kept, left = self.render_all(wave[None], torch.from_numpy(mask)[None])
        return kept[0], left[0]

    @torch.inference_mode()
    def render_all(self, waves: np.ndarray, masks: torch.Tensor, linear: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return as :meth:`render` for (B, samples) and (B, F, T).

        `linear` masks weigh the magnitude itself, as a mask decoder's are trained to.
        """
        x = torch.from_numpy(waves)
        scale = peak(x)
        spectrum = self.stft.spectrum(x / scale)
        log = log_magnitude(spectrum)
        parts = (spectrum * part if linear else with_magnitude(spectrum, log * part) for part in (masks, 1 - masks))
        pair = (self.stft.waves(part, waves.shape[-1]) * scale for part in parts)
        kept, left = (part.numpy() for part in pair)
        return kept, left

    @torch.inference_mode()
    def decoded(self, waves: np.ndarray) -> torch.Tensor:
        """Return (B, F, T) masks of the decoder.

        Raises
        ------
        TargetError
            There is none.
        """
        if self.decoder is None:
            raise TargetError("no mask decoder was trained here")
        *_, maps = self.forward(waves)
        return self.decoder(maps, self.frames)

    # -- on disk -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Write ``listener.safetensors`` (float16) and ``listener.json``; by-design with the network's weights."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"w": torch.from_numpy(self.w)} | {
            f"interpreter.{k}": v for k, v in self.interpreter.state_dict().items()
        }
        if self.decoder is not None:
            tensors |= {f"decoder.{k}": v for k, v in self.decoder.state_dict().items()}
        if self.by_design:
            tensors |= {f"network.{k}": v for k, v in self.target.network.state_dict().items()}
        save_file(
            {k: v.detach().half().clone().contiguous() for k, v in tensors.items()}, folder / "listener.safetensors"
        )
        shapes = [
            [n.in_channels, self.interpreter.trunk.rows, self.interpreter.trunk.columns]
            for n in self.interpreter.trunk.narrow
        ]
        about_listener = {
            "samples": self.samples,
            "maps": self.maps,
            "shapes": shapes,
            "by_design": self.by_design,
            "classes": int(self.interpreter.theta.shape[0]),
            **about,
        }
        write_atomic(folder / "listener.json", (json.dumps(about_listener, indent=1, sort_keys=True) + "\n").encode())


def load_listener(folder: Path, target: Target) -> Listener:
    """Return a listener from its folder, onto a loaded target; by-design, the target's weights become those that were
    trained along.

    Raises
    ------
    ArtifactError
        A file is missing or damaged, or it was made for another network.
    """
    try:
        about = json.loads((folder / "listener.json").read_text(encoding="utf-8"))
        if about["checkpoint"] != target.fingerprint()[:16]:
            raise ArtifactError(
                f"the listener in {folder} was made for another network: {about['checkpoint']}, this one is "
                f"{target.fingerprint()[:16]}"
            )
        tensors = {k: v.float() for k, v in load_file(folder / "listener.safetensors").items()}
        shapes = [(int(c), int(f), int(t)) for c, f, t in about["shapes"]]
        w = tensors["w"].numpy()
        interpreter = Interpreter(shapes, w.shape[1], int(about["classes"]))
        interpreter.load_state_dict(_part(tensors, "interpreter."))
        decoder = None
        if any(k.startswith("decoder.") for k in tensors):
            decoder = MaskDecoder(shapes, len(w))
            decoder.load_state_dict(_part(tensors, "decoder."))
        if about["by_design"]:
            target.network.load_state_dict(_part(tensors, "network."))
    except ArtifactError:
        raise
    except Exception as error:  # noqa: BLE001 - json, safetensors and torch each have errors of their own for damaged files
        raise ArtifactError(f"the listener in {folder} is missing or damaged: {str(error).splitlines()[0]}") from None
    return Listener(target, w, interpreter, int(about["samples"]), about["maps"], decoder, bool(about["by_design"]))


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
