"""BEATs: Microsoft's checkpoints (pre-trained, fine-tuned), ESPnet's (OpenBEATs), the AND authors' flat ones,
and folders with safetensors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from and_core.audio.fbank import fbank_by, patch_edges
from and_core.data import bundled
from and_core.errors import TargetError, first_line
from and_core.nets.beats import Beats, BeatsConfig, keep_one_bias, normalise, pooled, share_bias
from and_core.registry import FileOrName, PathMark
from and_core.store.files import check_weights
from and_core.targets.base import TARGETS, FrontEnd, Target, TargetSettings
from and_core.targets.checkpoint import class_names
from and_core.targets.openbeats import config_beside, is_openbeats, read_openbeats
from and_core.targets.points import HookPoint
from and_core.targets.pooling import pool_tokens

PUBLISHED: dict[str, Any] = {  # of the iter3 files, for checkpoints that carry no configuration of their own
    "input_patch_size": 16,
    "deep_norm": True,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "max_distance": 800,
    "encoder_layerdrop": 0.05,
    "dropout_input": 0.1,
}
FRAME, SHIFT = 400, 160
DEMO = {"demo-finetuned": bundled("weights/beats-finetuned"), "demo-frozen": bundled("weights/beats-frozen")}
MEL_BINS = 128


class BEATsSettings(TargetSettings):
    """`checkpoint`: a ``.pt`` or ``.pth`` file, a folder with `config.json` and `model.safetensors`, ``demo-finetuned``
    or ``demo-frozen``. A ``.pth`` of weights alone (ESPnet's) has its `config.yaml` beside it.

    `classes`: a text file, one name a line. `front_end`: what computes the filter banks.
    """

    checkpoint: FileOrName
    classes: Annotated[Path, PathMark(identifies=True)] | None = None
    pooling: Any = "mean"
    front_end: FrontEnd = "own"


@TARGETS.register
class BEATs(Target[BEATsSettings]):
    """Two linear layers a block, ``layer0_fc1`` and ``layer0_fc2``, and the classifier ``fc`` where the checkpoint has
    one.

    There is no class token: ``cls`` is refused, ``mean`` (over tokens that are not padding) is the default,
    ``reference`` is token 0 of every layer, the classifier included, as the reference implementation takes it.
    """

    kind = "beats"
    poolings = ("mean", "max", "first", "reference")  # there is no class token

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._padding: torch.Tensor | None = None
        self._fbank = fbank_by(settings.front_end)

    @property
    def _files(self) -> list[Path]:
        name = self.settings.checkpoint
        path = DEMO.get(name) or Path(name)
        files = [path / "config.json", path / "model.safetensors"] if path.is_dir() else [path, *config_beside(path)]
        missing = [str(f) for f in files if not f.is_file()]
        if missing:
            raise TargetError(f"target.checkpoint: no such file: {', '.join(missing)}")
        return files

    def fingerprint(self) -> str:
        """Hash of the checkpoint's files."""
        digest = hashlib.sha256()
        for path in self._files:
            with open(path, "rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
        digest.update("\n".join(self._listed or []).encode())
        return digest.hexdigest()

    @cached_property
    def _listed(self) -> list[str] | None:
        """Names that the settings' file lists."""
        path = self.settings.classes
        if path is None:
            return None
        try:
            return [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise TargetError(f"target.classes={str(path)!r} can't be read: {error}") from None

    def describe(self) -> str:
        """Return one line for provenance."""
        name = self.settings.checkpoint
        return f"BEATs {name} (trained on the synthetic corpus)" if name in DEMO else f"BEATs {Path(name).name}"

    def load(self, device: str) -> None:
        """Read the weights; every key must fit.

        Raises
        ------
        TargetError
            Not a checkpoint of BEATs, a file that only unpickling could read, or keys that don't fit (they are named).
        """
        for path in self._files:
            check_weights(path, f"target.checkpoint={self.settings.checkpoint!r}", TargetError)
        config, weights, head, names, self._mel_bins = _read(self._files)
        try:
            self._config, self._net = config, Beats(config)
        except ValueError as error:
            raise TargetError(f"{self.describe()}: {error}") from None
        _fit(self._net, weights, self.describe())
        self._tie_check(weights)
        self._head = self._net.predictor
        self.checkpoint_multi_label = self._head is not None  # Microsoft's predictor ends in a sigmoid
        if head is not None:
            self._head = nn.Linear(config.encoder_embed_dim, len(head["weight"]))
            self.checkpoint_multi_label = False  # the AND authors' head has a softmax
            _fit(self._head, head, f"{self.describe()}, classifier")
        self._names = names
        _ = self.classes  # a wrong list is said before the network runs
        self.device = device
        self._net.eval().to(device)
        self._calls = self._points = None
        if self._head is not None:
            self._head.eval().to(device)

    def save(self, folder: Path) -> None:
        """Write a folder with `config.json` and `model.safetensors` (float32)."""
        weights = {f"beats.{k}": v for k, v in keep_one_bias(self._net.state_dict()).items()}
        if self._head is not None and self._head is not self._net.predictor:
            weights |= {f"fc.{k}": v for k, v in self._head.state_dict().items()}
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}, folder / "model.safetensors")
        about = {"cfg": asdict(self._config), "classes": self.classes, "mel_bins": self._mel_bins}
        (folder / "config.json").write_text(json.dumps(about, indent=2) + "\n")

    def _tie_check(self, weights: dict[str, torch.Tensor]) -> None:
        tables = [v for k, v in weights.items() if k.endswith("relative_attention_bias.weight")]
        if any(not torch.equal(tables[0], t) for t in tables[1:]):
            raise TargetError(f"{self.describe()}: the layers' relative_attention_bias differ; they must be one table")

    @property
    def classes(self) -> list[str] | None:
        """Names of the classifier's units, as the checkpoint or `classes` has them."""
        if self._head is None:
            return None
        names = self._listed or self._names
        names = names if names else [f"class {i}" for i in range(self._head.out_features)]
        if len(names) != self._head.out_features:
            raise TargetError(
                f"target.classes has {len(names)} names; the classifier has {self._head.out_features} units"
            )
        return names

    def all_modules(self) -> dict[str, nn.Module]:
        """Return modules by the paper's names."""
        modules: dict[str, nn.Module] = {}
        for i, block in enumerate(self._net.encoder.layers):
            modules[f"layer{i}_fc1"] = block.fc1.linear if hasattr(block.fc1, "linear") else block.fc1  # type: ignore[assignment]
            modules[f"layer{i}_fc2"] = block.fc2  # type: ignore[assignment]
        if self._head is not None:
            modules["fc"] = self._head
        return modules

    @property
    def network(self) -> nn.Module:
        """Encoder and classifier together."""
        return nn.ModuleDict({"beats": self._net} | ({} if self._head is None else {"fc": self._head}))

    def map_points(self) -> dict[str, HookPoint]:
        """Return the blocks: ``block0`` and so on."""
        size = self._config.encoder_embed_dim
        return {f"block{i}": HookPoint(f"block{i}", block, size) for i, block in enumerate(self._net.encoder.layers)}

    def to_map(self, activation: torch.Tensor, name: str) -> torch.Tensor:
        """Return tokens back on their grid; time is the outer axis of BEATs' tokens."""
        tokens = activation
        rows = self._mel_bins // self._net.config.input_patch_size
        if tokens.ndim != 3 or tokens.shape[1] % rows:
            raise TargetError("this layer gives one vector a clip, not a map over time and frequency")
        return tokens.reshape(len(tokens), -1, rows, tokens.shape[-1]).permute(0, 3, 2, 1)

    def map_edges(self, rows: int, columns: int, seconds: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Return edges by patches of frames of 10 ms and of mel bins."""
        patch = self._net.config.input_patch_size
        return patch_edges(rows, columns, patch, patch, self._mel_bins, self.sample_rate)

    def features_with_grad(self, waves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what :meth:`features` gives, with gradients."""
        least = FRAME + SHIFT * (self._net.config.input_patch_size - 1)
        waves = nn.functional.pad(waves, (0, max(0, least - waves.shape[-1])))
        return normalise(self._fbank(waves, mel_bins=self._mel_bins, window="povey", scale=2.0**15)), None

    def features(self, waves: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return normalised filter banks (B, frames, 128) of clips padded to the longest, and which tokens are padding
        (B, T), None if none.

        A token counts when all its frames lie within the clip, so a clip's activations don't depend on its neighbours
        in the batch.
        """
        patch = self._net.config.input_patch_size
        least = FRAME + SHIFT * (patch - 1)
        lengths = [max(len(wave), least) for wave in waves]
        batch = torch.zeros(len(waves), max(lengths))
        for i, wave in enumerate(waves):
            batch[i, : len(wave)] = torch.from_numpy(np.ascontiguousarray(wave, np.float32))
        fbank = normalise(self._fbank(batch, mel_bins=self._mel_bins, window="povey", scale=2.0**15))
        if len(set(lengths)) == 1:
            return fbank, None
        columns = torch.tensor([(1 + (n - FRAME) // SHIFT) // patch for n in lengths])
        place = torch.arange(fbank.shape[1] // patch).repeat_interleave(self._mel_bins // patch)
        return fbank, place[None] >= columns[:, None]

    def forward(self, features: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor:
        """Return class logits (B, C), or the pooled features (B, D) where there is no classifier."""
        fbank, padding = features
        self._padding = None if padding is None else padding.to(self.device)
        out, _ = self._net(fbank.to(self.device), padding=self._padding)
        return pooled(out if self._head is None else self._head(out), self._padding)

    def pool(self, activation: torch.Tensor, layer: str) -> torch.Tensor:
        """Pool as the base does, padding left out; the classifier is always its pooled logit but for ``reference``."""
        how = self.pooling_of(layer)
        padding = self._padding
        if activation.ndim != 3 or (padding is not None and activation.shape[1] != padding.shape[1]):
            return super().pool(activation, layer)
        if how == "reference" or (how == "first" and layer != "fc"):
            return activation[:, 0]
        if how == "mean" or layer == "fc":
            return pooled(activation, padding)
        if padding is None:
            return pool_tokens(activation, how)
        return torch.cat([pool_tokens(a[None, ~own], how) for a, own in zip(activation, padding, strict=True)])


def _read(
    files: list[Path],
) -> tuple[BeatsConfig, dict[str, torch.Tensor], dict[str, torch.Tensor] | None, list[str] | None, int]:
    """Return configuration, weights of the encoder, weights of a separate classifier, class names, mel bins.

    From any of the known layouts.
    """
    if files[0].name == "config.json":
        try:
            about = json.loads(files[0].read_text(encoding="utf-8"))
            config, bins = BeatsConfig.from_dict(about["cfg"]), int(about.get("mel_bins", MEL_BINS))
            tensors = load_file(files[1])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
            raise TargetError(
                f"{files[0].parent} is no folder of BEATs: {type(error).__name__}: {first_line(error)}"
            ) from None
        weights, head = _split({k: v.float() for k, v in tensors.items()})
        return config, share_bias(weights, config.encoder_layers), head, about.get("classes"), bins
    try:
        raw: Any = torch.load(files[0], map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - torch raises several kinds; none may lead to unpickling
        reason = str(error).splitlines()[0]
        raise TargetError(
            f"{files[0]} can't be read as plain tensors, and files that run code are never loaded: {reason}"
        ) from None
    if is_openbeats(raw):
        held = read_openbeats(files[0], raw, files[1:])
        config = BeatsConfig.from_dict(held.config)
        return config, share_bias(held.weights, config.encoder_layers), held.head, held.names, MEL_BINS
    if isinstance(raw, dict) and isinstance(raw.get("cfg"), dict) and isinstance(raw.get("model"), dict):
        labels = raw.get("label_dict")
        names = class_names(str(files[0]), labels, len(labels), "label_dict") if labels else None
        return BeatsConfig.from_dict(raw["cfg"]), raw["model"], None, names, MEL_BINS
    if isinstance(raw, dict) and any(str(k).startswith("beats.") for k in raw):
        weights, head = _split(raw)
        return BeatsConfig.from_dict({**PUBLISHED, **_sizes(weights)}), weights, head, None, MEL_BINS
    raise TargetError(f"{files[0]} is no checkpoint of BEATs: neither 'cfg' and 'model' nor keys 'beats.*' and 'fc.*'")


def _split(raw: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor] | None]:
    weights = {k.removeprefix("beats."): v for k, v in raw.items() if k.startswith("beats.")}
    head = {k.removeprefix("fc."): v for k, v in raw.items() if k.startswith("fc.")}
    other = sorted(k for k in raw if not k.startswith(("beats.", "fc.")))
    if other:
        raise TargetError(f"the checkpoint has keys of no part of BEATs: {', '.join(other[:8])}")
    return weights, head or None


def _sizes(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return sizes that a checkpoint without configuration shows by its shapes."""
    try:
        width = weights["encoder.layer_norm.weight"].shape[0]
        return {
            "embed_dim": weights["layer_norm.weight"].shape[0], "encoder_embed_dim": width,
            "encoder_ffn_embed_dim": weights["encoder.layers.0.fc1.weight"].shape[0],
            "encoder_attention_heads": weights["encoder.layers.0.self_attn.relative_attention_bias.weight"].shape[1],
            "num_buckets": weights["encoder.layers.0.self_attn.relative_attention_bias.weight"].shape[0],
            "encoder_layers": 1 + max(int(k.split(".")[2]) for k in weights if k.startswith("encoder.layers.")),
            "conv_pos": weights["encoder.pos_conv.0.weight_g"].shape[-1],
            "conv_pos_groups": width // weights["encoder.pos_conv.0.weight_v"].shape[1],
        }  # fmt: skip
    except KeyError as error:
        raise TargetError(f"the checkpoint lacks the key beats.{error.args[0]}") from None


def _fit(module: nn.Module, weights: dict[str, torch.Tensor], what: str) -> None:
    own = module.state_dict()
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & weights.keys() if own[k].shape != weights[k].shape)
    if missing or unknown or shapes:
        faults = [
            f"{name} {', '.join(keys[:6])}"
            for name, keys in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
            if keys
        ]
        raise TargetError(f"{what} does not fit: {'; '.join(faults)}")
    module.load_state_dict(weights)
