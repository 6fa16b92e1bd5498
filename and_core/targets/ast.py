"""Audio Spectrogram Transformer: any `ASTForAudioClassification` checkpoint, from a folder or the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from and_core.audio.fbank import fbank_by, patch_edges
from and_core.data import bundled
from and_core.errors import TargetError
from and_core.registry import FileOrName
from and_core.store.files import check_weights, sha256_files
from and_core.targets.base import TARGETS, FrontEnd, Target, TargetSettings
from and_core.targets.checkpoint import MULTI_LABEL, check_frames, check_keys, class_names
from and_core.targets.points import HookPoint

DEMO = bundled("weights/ast")
MODEL_TYPE = "audio-spectrogram-transformer"


class ASTSettings(TargetSettings):
    """`checkpoint`: ``demo``, a folder, or a hub id; `revision` for the hub.

    `front_end`: what computes the filter banks.
    """

    checkpoint: FileOrName = "demo"
    revision: str | None = None
    front_end: FrontEnd = "own"


@TARGETS.register
class AST(Target[ASTSettings]):
    """Three linear layers a block, under the paper's names, and the classifier.

    The class token is token 0, the distillation token 1, patches follow (frequency outer, time inner). For AST
    ``reference`` is ``cls``: the reference implementation keeps token 0 of every hidden layer and the logits of the
    classifier.
    """

    kind = "ast"
    special_tokens = 2
    default_pooling = "cls"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._model: Any = None
        self._fbank = fbank_by(settings.front_end)
        self.device = "cpu"

    @property
    def _source(self) -> str:
        return str(DEMO) if self.settings.checkpoint == "demo" else self.settings.checkpoint

    def fingerprint(self) -> str:
        """Hash of the checkpoint's files, or the hub's commit."""
        folder = Path(self._source)
        if folder.is_dir():
            settings = ("config.json", "preprocessor_config.json")
            return sha256_files(
                p for p in folder.iterdir() if p.name in settings or p.suffix in (".safetensors", ".bin")
            )
        config, _ = self._configs()
        return f"{self._source}@{getattr(config, '_commit_hash', None)}"

    def describe(self) -> str:
        """Return one line for provenance."""
        name = (
            "demo AST (trained on the synthetic corpus)"
            if self.settings.checkpoint == "demo"
            else self.settings.checkpoint
        )
        return f"AST {Path(name).name if Path(name).is_dir() else name}"

    def _configs(self) -> tuple[Any, dict[str, Any]]:
        from transformers import ASTFeatureExtractor, AutoConfig

        if not Path(self._source).is_dir() and self._source.count("/") != 1:
            raise TargetError(f"target.checkpoint={self._source!r} is neither a folder nor a hub id (owner/name)")
        try:
            config = AutoConfig.from_pretrained(self._source, **self.loading)
            extractor = ASTFeatureExtractor.from_pretrained(self._source, **self.loading).to_dict()
        except (OSError, ValueError, json.JSONDecodeError) as error:
            raise TargetError(
                f"target.checkpoint={self._source!r} can't be read: {str(error).splitlines()[0]}"
            ) from None
        if config.model_type != MODEL_TYPE:
            raise TargetError(
                f"target.checkpoint={self._source!r} holds a {config.model_type!r}; kind 'ast' takes {MODEL_TYPE!r}"
            )
        return config, extractor

    def load(self, device: str) -> None:
        """Read the weights as float32.

        Raises
        ------
        TargetError
            Unreadable, another architecture, no classifier, or keys, sizes or class names that don't fit (they are
            named).
        """
        from transformers import ASTForAudioClassification

        what = f"target.checkpoint={self._source!r}"
        check_weights(Path(self._source), what, TargetError)
        config, self._extractor = self._configs()
        e = self._extractor
        check_frames(what, (e["max_length"], e["num_mel_bins"]), (config.max_length, config.num_mel_bins))
        try:
            loaded: Any = ASTForAudioClassification.from_pretrained(
                self._source,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **self.loading,
            )
        except Exception as error:  # noqa: BLE001 - safetensors, torch and transformers each have errors of their own for damaged files
            raise TargetError(f"{what} can't be loaded: {str(error).splitlines()[0]}") from None
        model, info = loaded
        check_keys(what, info)
        if isinstance(model.classifier.dense, torch.nn.Linear):
            class_names(what, config.id2label, model.classifier.dense.out_features)
        self.sample_rate = int(self._extractor["sampling_rate"])
        self.device = device
        self._model = model.eval().to(device)
        self._calls = self._points = None
        self.checkpoint_multi_label = config.problem_type == MULTI_LABEL

    @property
    def classes(self) -> list[str] | None:
        """Class names by classifier unit."""
        names = self._model.config.id2label
        return class_names(f"target.checkpoint={self._source!r}", names, len(names))

    def all_modules(self) -> dict[str, torch.nn.Module]:
        """Return modules by the paper's names, in transformers 5's layout or the older one."""
        body = self._model.audio_spectrogram_transformer
        blocks = body.layers if hasattr(body, "layers") else body.encoder.layer
        modules: dict[str, torch.nn.Module] = {}
        for i, block in enumerate(blocks):
            if hasattr(block, "mlp"):
                trio = (block.attention.o_proj, block.mlp.fc1, block.mlp.fc2)
            else:
                trio = (block.attention.output.dense, block.intermediate.dense, block.output.dense)
            for kind, module in zip(("attention_output", "intermediate", "output"), trio, strict=True):
                modules[f"layer{i}_{kind}"] = module
        if isinstance(self._model.classifier.dense, torch.nn.Linear):
            modules["fc"] = self._model.classifier.dense
        return modules

    @property
    def network(self) -> torch.nn.Module:
        """The whole classifier."""
        return self._model

    def map_points(self) -> dict[str, HookPoint]:
        """Return the blocks: ``block0`` and so on."""
        body = self._model.audio_spectrogram_transformer
        blocks = body.layers if hasattr(body, "layers") else body.encoder.layer
        size = int(self._model.config.hidden_size)
        return {f"block{i}": HookPoint(f"block{i}", block, size) for i, block in enumerate(blocks)}

    def to_map(self, activation: torch.Tensor, name: str) -> torch.Tensor:
        """Return patches back on their grid, class and distillation tokens dropped."""
        c = self._model.config
        columns = (c.max_length - c.patch_size) // c.time_stride + 1
        patches = activation[:, self.special_tokens :]
        if activation.ndim != 3 or not patches.shape[1] or patches.shape[1] % columns:
            raise TargetError("this layer gives one vector a clip, not a map over time and frequency")
        return patches.reshape(len(patches), -1, columns, patches.shape[-1]).permute(0, 3, 1, 2)

    def map_edges(self, rows: int, columns: int, seconds: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Return edges by strides of frames of 10 ms and of mel bins."""
        c = self._model.config
        return patch_edges(
            rows, columns, c.time_stride, c.frequency_stride, self._extractor["num_mel_bins"], self.sample_rate
        )

    def heard_seconds(self, seconds: float) -> float:
        """Return at most the frames that it was made for."""
        return min(seconds, self._extractor["max_length"] / 100 + 0.015)

    def features_with_grad(self, waves: torch.Tensor) -> torch.Tensor:
        """Return what :meth:`features` gives, with gradients."""
        e = self._extractor
        waves = F.pad(waves, (0, max(0, round(0.025 * self.sample_rate) - waves.shape[-1])))
        x = self._fbank(waves, mel_bins=e["num_mel_bins"], sample_rate=self.sample_rate)[:, : e["max_length"]]
        x = F.pad(x, (0, 0, 0, e["max_length"] - x.shape[1]))
        return (x - e["mean"]) / (2 * e["std"]) if e["do_normalize"] else x

    def features(self, waves: list[np.ndarray]) -> torch.Tensor:
        """Return (B, frames, mel bins) as the checkpoint's own feature extractor makes them.

        Long clips are cut, short ones padded.
        """
        e = self._extractor
        least = round(0.025 * self.sample_rate)
        maps = []
        for wave in waves:
            wave = np.pad(wave, (0, max(0, least - len(wave))))[: e["max_length"] * self.sample_rate // 100 + least]
            x = self._fbank(
                torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None],
                mel_bins=e["num_mel_bins"],
                sample_rate=self.sample_rate,
            )[0]
            maps.append(F.pad(x[: e["max_length"]], (0, 0, 0, max(0, e["max_length"] - len(x)))))
        batch = torch.stack(maps)
        return (batch - e["mean"]) / (2 * e["std"]) if e["do_normalize"] else batch

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self._model(features.to(self.device)).logits

    def save(self, folder: Path) -> None:
        """Write the network in the hub's own format."""
        self._model.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(self._extractor, indent=2) + "\n")
