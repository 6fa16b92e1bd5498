"""Any audio network of transformers: wav2vec2, HuBERT, WavLM, Whisper's encoder, CLAP's audio tower, any audio
classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from and_core.errors import TargetError
from and_core.registry import FileOrName
from and_core.store.files import check_weights, sha256_files
from and_core.targets.base import TARGETS
from and_core.targets.checkpoint import check_frames, check_keys, class_names
from and_core.targets.named import NamedTarget, NamedTargetSettings, equal_lengths


class TransformersTargetSettings(NamedTargetSettings):
    """`checkpoint`: a folder or a hub id; `revision` on the hub."""

    checkpoint: FileOrName
    revision: str | None = None


@TARGETS.register
class TransformersTarget(NamedTarget[TransformersTargetSettings]):
    """Loaded by its own class and fed by its own feature extractor; code that comes with a checkpoint is never run."""

    kind = "transformers"

    def fingerprint(self) -> str:
        """Hash of a folder's configuration and weights, or the hub's commit."""
        s = self.settings
        folder = Path(s.checkpoint)
        if folder.is_dir():
            return sha256_files(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin"))
        return f"{s.checkpoint}@{getattr(self._config(), '_commit_hash', None)}"

    def describe(self) -> str:
        """Return one line for provenance."""
        return Path(self.settings.checkpoint).name

    def _config(self) -> Any:
        from transformers import AutoConfig

        s = self.settings
        if not Path(s.checkpoint).is_dir() and s.checkpoint.count("/") != 1:
            raise TargetError(f"target.checkpoint={s.checkpoint!r} is neither a folder nor a hub id (owner/name)")
        try:
            return AutoConfig.from_pretrained(s.checkpoint, **self.loading)
        except (OSError, ValueError, json.JSONDecodeError) as error:
            raise TargetError(
                f"target.checkpoint={s.checkpoint!r} can't be read: {str(error).splitlines()[0]}"
            ) from None

    def load(self, device: str) -> None:
        """Read the weights as float32.

        Raises
        ------
        TargetError
            Unreadable, no network that hears, or keys that don't fit (they are named).
        """
        import transformers

        s = self.settings
        config = self._config()
        name = (config.architectures or [""])[0]
        heads = ("ForSequenceClassification", "ForAudioClassification")
        check_weights(Path(s.checkpoint), f"target.checkpoint={s.checkpoint!r}", TargetError)
        try:
            self._extractor = transformers.AutoFeatureExtractor.from_pretrained(s.checkpoint, **self.loading)
            auto = transformers.AutoModelForAudioClassification if name.endswith(heads) else transformers.AutoModel
            loaded: Any = auto.from_pretrained(
                s.checkpoint,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **self.loading,
            )
        except Exception as error:  # noqa: BLE001 - every loader has errors of its own for damaged files
            raise TargetError(
                f"target.checkpoint={s.checkpoint!r} can't be loaded: {str(error).splitlines()[0]}"
            ) from None
        model, info = loaded
        what = f"target.checkpoint={s.checkpoint!r}"
        check_keys(what, info, ignored=("masked_spec_embed",))  # only training uses it
        self._input = getattr(self._extractor, "model_input_names", ["input_values"])[0]
        if self._input not in ("input_values", "input_features"):
            raise TargetError(
                f"target.checkpoint={s.checkpoint!r} takes {self._input!r}; only networks that hear can be dissected"
            )
        self._net = _hearing_part(model)
        clap: Any = getattr(self._net, "config", None)
        if getattr(clap, "enable_fusion", False):
            raise TargetError(
                f"target.checkpoint={s.checkpoint!r} is a fused CLAP, which hears long clips by chance; take "
                "laion/clap-htsat-unfused"
            )
        self._crop = int(self._extractor.nb_max_samples) if hasattr(self._extractor, "nb_max_samples") else 0
        _check_extractor(what, self._extractor, config)
        self._labels = config.id2label if name.endswith(heads) else None
        self._classifier = _classifier_name(self._net, len(config.id2label)) if self._labels else None
        _ = self.classes  # names that do not fit are said before the network runs
        self.sample_rate = int(self._extractor.sampling_rate)
        self.device = device
        self._net.eval().to(device)
        self.listen()

    @property
    def classes(self) -> list[str] | None:
        """Names of the classifier's units, None where there is none."""
        if self._classifier is None or self._labels is None:
            return None
        return class_names(f"target.checkpoint={self.settings.checkpoint!r}", self._labels, len(self._labels))

    def features(self, waves: list[np.ndarray]) -> list[tuple[dict[str, torch.Tensor], list[float] | None]]:
        """Return input of each run of equally long clips, and which share of its tokens is sound where the extractor
        pads to a fixed length."""
        groups = []
        for run in equal_lengths(waves):
            least = [np.pad(w, (0, max(0, 640 - len(w)))).astype(np.float32) for w in run]
            if self._crop:  # CLAP's extractor would draw a crop by chance
                start = max(0, (len(least[0]) - self._crop) // 2)
                least = [w[start : start + self._crop] for w in least]
            options = {"truncation": "rand_trunc", "padding": "repeatpad"} if self._crop else {}
            batch = self._extractor(least, sampling_rate=self.sample_rate, return_tensors="pt", **options)
            fixed = getattr(self._extractor, "n_samples", None)  # Whisper's: silence up to 30 s
            share = [min(1.0, len(w) / fixed) for w in least] if fixed else None
            kept = {k: v for k, v in batch.items() if k in (self._input, "is_longer")}
            groups.append((kept, share))
        return groups

    def forward(self, features: list[tuple[dict[str, torch.Tensor], list[float] | None]]) -> Any:
        """Return logits (B, classes), or the pooled last states where there is no classifier."""
        return self.passes((len(inputs[self._input]), self._pass(inputs, share)) for inputs, share in features)

    def save(self, folder: Path) -> None:
        """Write the network in the hub's own format, with the feature extractor."""
        self._net.save_pretrained(folder)  # type: ignore[operator]
        self._extractor.save_pretrained(folder)

    def _pass(self, inputs: dict[str, torch.Tensor], share: list[float] | None) -> Any:
        def go() -> torch.Tensor:
            self._tokens = share
            out = self._net(**{k: v.to(self.device, copy=True) for k, v in inputs.items()})
            if hasattr(out, "logits"):
                return out.logits
            states = out.last_hidden_state
            return (
                states.reshape(len(states), -1, states.shape[-1]).mean(1)
                if states.ndim == 3
                else states.flatten(2).mean(2)
            )

        return go


def _check_extractor(what: str, extractor: Any, config: Any) -> None:
    """Check that spectrograms of the extractor are those that the network was made for, where both say so."""
    frames = (
        getattr(config, "max_length", None) if hasattr(config, "frequency_stride") else None
    )  # elsewhere `max_length` is of texts
    bins = next(
        (value for name in ("num_mel_bins", "feature_size") if (value := getattr(extractor, name, None)) is not None),
        None,
    )
    mels = getattr(config, "num_mel_bins", None)
    check_frames(
        what, (getattr(extractor, "max_length", None) if frames else None, bins if mels else None), (frames, mels)
    )


def _hearing_part(model: nn.Module) -> nn.Module:
    """Return the audio tower of a model that also reads or speaks."""
    if hasattr(model, "audio_model"):
        return model.audio_model  # type: ignore[return-value]
    config: Any = model.config
    if config.is_encoder_decoder and not type(model).__name__.endswith("Classification"):
        return model.get_encoder()  # type: ignore[operator]
    return model


def _classifier_name(model: nn.Module, classes: int) -> str | None:
    """Return dotted name of the last linear layer with one unit a class."""
    names = [
        n
        for n, m in model.named_modules()
        if isinstance(m, nn.Linear) and m.out_features == classes and n.split(".")[0].startswith("classif")
    ]
    return names[-1] if names else None
