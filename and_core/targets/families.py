"""Audio towers of networks that also read, speak or see: where their weights lie and how sound is put into them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from and_core.errors import TargetError, first_line
from and_core.nets.partial import read_part
from and_core.store.files import sha256_files, weights_fault
from and_core.targets import feeds
from and_core.targets.checkpoint import check_keys

FOLDERS = ("", "thinker_config.audio_config", "audio_config", "encoder_config")  # of a tower's own configuration


@dataclass(frozen=True)
class Tower:
    """A class of transformers (or of :mod:`and_core.nets`), how sound is put into it, and its weights in a checkpoint
    of the whole network: `keys` gives the name within the tower."""

    module: str
    name: str
    feed: feeds.Feed
    keys: str = r"(?:.*\.)?audio_tower\.(.+)"
    bins: int = 1  # frames that one input of the network is made of

    def build(self) -> Any:
        """Return the class."""
        place = self.module if "." in self.module else f"transformers.models.{self.module}.modeling_{self.module}"
        return getattr(import_module(place), self.name)


TOWERS = {
    "audioflamingo3_encoder": Tower("audioflamingo3", "AudioFlamingo3Encoder", feeds.feed_masked),
    "gemma3n_audio": Tower("gemma3n", "Gemma3nAudioEncoder", feeds.feed_gemma),
    "gemma4_audio": Tower("gemma4", "Gemma4AudioModel", feeds.feed_gemma),
    "glmasr_encoder": Tower("glmasr", "GlmAsrEncoder", feeds.feed_fixed),
    "granite_speech_encoder": Tower(
        "granite_speech", "GraniteSpeechCTCEncoder", feeds.feed_granite, r"(?:model\.)?encoder\.(.+)", bins=2
    ),
    "granite_speech_plus_encoder": Tower(
        "granite_speech_plus", "GraniteSpeechPlusCTCEncoder", feeds.feed_granite, r"(?:model\.)?encoder\.(.+)", bins=2
    ),
    "pe_audio": Tower(
        "and_core.nets.pe_audio",
        "PeAudioTower",
        feeds.feed_waves,
        r"(?:audio_model\.|audio_video_encoder\.embedder\.)?((?:audio_encoder|audio_head)\..+)",
    ),
    "phi4_multimodal_audio": Tower(
        "phi4_multimodal", "Phi4MultimodalAudioModel", feeds.feed_phi4, r"(?:.*\.)?audio_embed\.encoder\.(.+)"
    ),
    "qwen2_audio_encoder": Tower("qwen2_audio", "Qwen2AudioEncoder", feeds.feed_qwen2_audio),
    "qwen2_5_omni_audio_encoder": Tower("qwen2_5_omni", "Qwen2_5OmniAudioEncoder", feeds.feed_qwen2_omni),
    "qwen3_asr_encoder": Tower("qwen3_asr", "Qwen3ASREncoder", feeds.feed_qwen3_asr),
    "qwen3_omni_moe_audio_encoder": Tower("qwen3_omni_moe", "Qwen3OmniMoeAudioEncoder", feeds.feed_qwen3_omni),
    "voxtral_encoder": Tower("voxtral", "VoxtralEncoder", feeds.feed_fixed),
}


def find_tower(what: str, config: Any) -> tuple[Tower, Any] | None:
    """Return the audio tower within a configuration and its own configuration; None where the whole network is one that
    hears.

    Raises
    ------
    TargetError
        It is of a language model whose tower is not known; the message names those that are.
    """
    for folder in FOLDERS:
        own = config
        for name in filter(None, folder.split(".")):
            own = getattr(own, name, None)
        kind = getattr(own, "model_type", None)
        if kind in TOWERS:
            return TOWERS[kind], own
    if config.model_type != "clap" and any(hasattr(config, name) for name in ("text_config", "codec_config")):
        hears = getattr(getattr(config, "audio_config", None), "model_type", None)
        raise TargetError(
            f"{what} holds a {config.model_type!r}, a language model that hears through {hears!r}; allowed: "
            f"{', '.join(TOWERS)}"
        )
    return None


def load_tower(what: str, source: str, tower: Tower, config: Any, loading: dict[str, Any]) -> nn.Module:
    """Return an audio tower with its weights as float32; nothing else of the checkpoint is built or read.

    Parameters
    ----------
    what : str
        How a message names the checkpoint.
    source : str
        A folder, or a hub id: the whole network, or the tower alone.
    config : PreTrainedConfig
        The tower's own configuration.

    Raises
    ------
    TargetError
        Unreadable, or weights that are missing, unknown or of another shape (they are named).
    """
    weights = read_tower(what, source, tower, config, loading)
    try:
        loaded: Any = tower.build().from_pretrained(
            None,
            config=config,
            state_dict=weights,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **loading,
        )
    except Exception as error:  # noqa: BLE001 - every configuration that makes no sense has errors of its own
        raise TargetError(f"{what} can't be loaded: {first_line(error)}") from None
    net, info = loaded
    check_keys(what, info)
    check_unknown(what, tower.name, info)
    return net


def read_tower(what: str, source: str, tower: Tower, config: Any, loading: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights of a tower by its own names."""
    pattern = re.compile(tower.keys)
    alone = type(config).model_type in TOWERS and getattr(config, "architectures", None) == [tower.name]

    def rename(name: str) -> str | None:
        match = pattern.fullmatch(name)
        return match[1] if match else name if alone else None

    return read_part(source, rename, what, TargetError, loading, weights_fault)


def tower_digest(what: str, source: str, tower: Tower, config: Any, loading: dict[str, Any]) -> str:
    """Return one hash of the configuration files in a folder and of the weights of its tower."""
    digest = hashlib.sha256(sha256_files(Path(source).glob("*config.json")).encode())
    for name, tensor in sorted(read_tower(what, source, tower, config, loading).items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_unknown(what: str, name: str, info: Any) -> None:
    """Raise where a checkpoint has weights that its network does not know: it would give other numbers.

    Raises
    ------
    TargetError
        The message names them.
    """
    unknown = sorted(map(str, info["unexpected_keys"]))
    if unknown:
        raise TargetError(f"{what} has weights that {name} does not know: {', '.join(unknown[:8])}")
