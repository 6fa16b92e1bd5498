"""Any audio network of transformers: wav2vec2, HuBERT, WavLM, Whisper's encoder, CLAP's audio tower, those of audio
language models, any audio classifier."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from and_core.errors import TargetError, first_line
from and_core.registry import FileOrName
from and_core.store.files import check_weights, sha256_files
from and_core.targets.base import TARGETS
from and_core.targets.checkpoint import MULTI_LABEL, check_frames, check_keys, class_names
from and_core.targets.families import Tower, check_unknown, find_tower, load_tower, tower_digest
from and_core.targets.feeds import Fed, Feed, feed_plain, least_samples, longest_seconds, read_extractor
from and_core.targets.mert import hubert_config, is_mert
from and_core.targets.named import NamedTarget, NamedTargetSettings, equal_lengths

HEARD = ("input_values", "input_features", "audio_input_features")  # what feature extractors of sound make
MERT = "MERTModel"


class TransformersTargetSettings(NamedTargetSettings):
    """`checkpoint`: a folder or a hub id; `revision` on the hub."""

    checkpoint: FileOrName
    revision: str | None = None


@TARGETS.register
class TransformersTarget(NamedTarget[TransformersTargetSettings]):
    """Loaded by its own class and fed by its own feature extractor; code that comes with a checkpoint is never run."""

    kind = "transformers"
    _fed: Fed | None = None

    def fingerprint(self) -> str:
        """Hash of a folder's configuration and weights (of an audio tower's alone where it is one part), or the hub's
        commit."""
        s = self.settings
        folder = Path(s.checkpoint)
        if folder.is_dir():
            tower = find_tower(self._what, self._config())
            if tower is not None:
                return tower_digest(self._what, s.checkpoint, *tower, self.loading)
            return sha256_files(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin"))
        return f"{s.checkpoint}@{getattr(self._config(), '_commit_hash', None)}"

    def describe(self) -> str:
        """Return one line for provenance."""
        return Path(self.settings.checkpoint).name

    @property
    def _what(self) -> str:
        return f"target.checkpoint={self.settings.checkpoint!r}"

    def _config(self) -> Any:
        from transformers import AutoConfig, PreTrainedConfig

        s = self.settings
        if not Path(s.checkpoint).is_dir() and s.checkpoint.count("/") != 1:
            raise TargetError(f"target.checkpoint={s.checkpoint!r} is neither a folder nor a hub id (owner/name)")
        try:
            values, _ = PreTrainedConfig.get_config_dict(s.checkpoint, **self.loading)
            if is_mert(values):
                return hubert_config(self._what, values)
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
        config = self._config()
        part = find_tower(self._what, config)
        self._architectures = list(config.architectures or [])
        name = (self._architectures or [""])[0]
        heads = ("ForSequenceClassification", "ForAudioClassification")
        self._extractor = self._read_extractor(config)
        self._feed: Feed = feed_plain
        if part is not None:
            tower, own = part
            _check_extractor(self._what, self._extractor, own, tower)
            self._net = load_tower(self._what, self.settings.checkpoint, tower, own, self.loading)
            self._feed = tower.feed
        else:
            self._net = _hearing_part(self._load_whole(config, name, heads))
            if getattr(self._net.config, "enable_fusion", False):
                raise TargetError(
                    f"{self._what} is a fused CLAP, which hears long clips by chance; take laion/clap-htsat-unfused"
                )
            _check_extractor(self._what, self._extractor, config)
        self._labels = config.id2label if name.endswith(heads) else None
        self._classifier = _classifier_name(self._net, len(config.id2label)) if self._labels else None
        self.checkpoint_multi_label = getattr(config, "problem_type", None) == MULTI_LABEL
        _ = self.classes  # names that do not fit are said before the network runs
        self.sample_rate = int(self._extractor.sampling_rate)
        self._least = least_samples(config.model_type)
        self._longest = longest_seconds(self._extractor, self._feed)
        self.device = device
        self._net.eval().to(device)
        self.listen()
        self._drop_positions()

    def _read_extractor(self, config: Any) -> Any:
        try:
            extractor = read_extractor(self.settings.checkpoint, config, self.loading)
        except Exception as error:  # noqa: BLE001 - every loader has errors of its own for damaged files
            raise TargetError(f"{self._what} can't be loaded: {first_line(error)}") from None
        takes = getattr(extractor, "model_input_names", ["input_values"])[0]
        if takes not in HEARD:
            raise TargetError(f"{self._what} takes {takes!r}; only networks that hear can be dissected")
        return extractor

    def _load_whole(self, config: Any, name: str, heads: tuple[str, ...]) -> nn.Module:
        """Return the network as its own class loads it, an encoder that was saved alone as well."""
        import transformers

        s = self.settings
        check_weights(Path(s.checkpoint), self._what, TargetError)
        auto: Any = transformers.AutoModelForAudioClassification if name.endswith(heads) else transformers.AutoModel
        if type(config) not in transformers.MODEL_MAPPING or (name.endswith("Encoder") and config.is_encoder_decoder):
            modelling = type(config).__module__.replace("configuration_", "modeling_")
            auto = getattr(import_module(modelling), name, auto)
        try:
            model, info = auto.from_pretrained(
                s.checkpoint,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **self.loading,
            )
        except Exception as error:  # noqa: BLE001 - every loader has errors of its own for damaged files
            raise TargetError(f"{self._what} can't be loaded: {first_line(error)}") from None
        check_keys(self._what, info, ignored=("masked_spec_embed",))  # only training uses it
        if name == MERT:
            check_unknown(self._what, "HuBERT", info)
        return model

    @property
    def classes(self) -> list[str] | None:
        """Names of the classifier's units, None where there is none."""
        if self._classifier is None or self._labels is None:
            return None
        return class_names(f"target.checkpoint={self.settings.checkpoint!r}", self._labels, len(self._labels))

    def features(self, waves: list[np.ndarray]) -> list[Fed]:
        """Return input of each run of equally long clips."""
        runs = equal_lengths([np.pad(w, (0, max(0, self._least - len(w)))).astype(np.float32) for w in waves])
        return [fed for run in runs for fed in self._feed(self._extractor, run, self._net)]

    def forward(self, features: list[Fed]) -> Any:
        """Return logits (B, classes), or the pooled last states where there is no classifier."""
        return self.passes((fed.clips, self._pass(fed)) for fed in features)

    def _drop_positions(self) -> None:
        """Drop layers that give the same for two clips as for one: they read positions, not sound."""
        sounding = {id(call.module) for call in self.calls() if call.shapes}
        self._layers = {name: module for name, module in self._layers.items() if id(module) in sounding}

    def heard_seconds(self, seconds: float) -> float:
        """Return at most what the feature extractor takes."""
        return seconds if self._longest is None else min(seconds, self._longest)

    def pool(self, activation: torch.Tensor, layer: str) -> torch.Tensor:
        """Pool what is sound, padding left out."""
        return super().pool(self._sound(activation, self.channels_first(layer)), layer)

    def to_map(self, activation: torch.Tensor, name: str) -> torch.Tensor:
        """Return the map of what is sound."""
        return super().to_map(self._sound(activation, self.channels_first(name)), name)

    def save(self, folder: Path) -> None:
        """Write the network in the hub's own format, with the feature extractor."""
        self._net.save_pretrained(folder)  # type: ignore[operator]
        self._extractor.save_pretrained(folder)
        if self._architectures and hasattr(self._net, "frames"):  # which of two classes it is stands nowhere else
            path = folder / "config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": self._architectures}, indent=2))

    def _pass(self, fed: Fed) -> Any:
        def go() -> torch.Tensor:
            self._fed = fed
            out = self._net(**{k: v.to(self.device, copy=True) for k, v in fed.inputs.items()})
            if hasattr(out, "logits"):
                return out.logits
            states = out if isinstance(out, torch.Tensor) else out.last_hidden_state
            if states.ndim == 4:
                return states.flatten(2).mean(2)
            states = self._sound(states, convolution=False)
            return states.reshape(fed.clips, -1, states.shape[-1]).mean(1)

        return go

    def _sound(self, output: torch.Tensor, convolution: bool) -> torch.Tensor:
        """Return a layer's values (B, ..., units) without padding, windows of a clip and clips in a row put back into
        place."""
        fed = self._fed
        if fed is None:
            return output
        if output.ndim < 3:
            in_a_row = fed.packed and len(output) != fed.clips
            return output.reshape(fed.clips, -1, output.shape[-1]) if in_a_row else output
        axis = self.settings.time_axis - 1 if convolution and output.ndim == 4 else 1  # units stand last
        if output.ndim == 4 and convolution and fed.time_axis - 1 != axis:
            output = output.transpose(1, 2)
        if fed.share is None and fed.most is None:
            return output
        if len(output) != fed.clips:
            output = output.unflatten(0, (fed.clips, -1)).movedim(1, axis).flatten(axis, axis + 1)
        steps = output.shape[axis]
        if fed.share is not None:
            steps = max(1 + self.special_tokens, round(fed.share * steps))
        elif output.ndim == 3 and fed.most is not None:
            steps = min(steps, fed.most)
        return output.narrow(axis, 0, steps)


def _check_extractor(what: str, extractor: Any, config: Any, tower: Tower | None = None) -> None:
    """Check that spectrograms of the extractor are those that the network was made for, where both say so."""
    frames = (
        getattr(config, "max_length", None) if hasattr(config, "frequency_stride") else None
    )  # elsewhere `max_length` is of texts
    bins = next(
        (value for name in ("num_mel_bins", "feature_size") if (value := getattr(extractor, name, None)) is not None),
        None,
    )
    mels = getattr(config, "num_mel_bins", None)
    if bins is not None and (tower is not None or hasattr(config, "feature_projection_input_dim")):
        bins *= tower.bins if tower is not None else int(getattr(extractor, "stride", 1))
        mels = getattr(config, "feature_projection_input_dim", mels)
    check_frames(
        what, (getattr(extractor, "max_length", None) if frames else None, bins if mels else None), (frames, mels)
    )


def _hearing_part(model: nn.Module) -> nn.Module:
    """Return the audio tower of a model that also reads or speaks."""
    if hasattr(model, "audio_model"):
        return model.audio_model  # type: ignore[return-value]
    config: Any = model.config
    if config.is_encoder_decoder and not type(model).__name__.endswith(("Classification", "Encoder")):
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
