"""ESPnet's checkpoints of BEATs (OpenBEATs, Bharadwaj et al. 2025, arXiv 2507.14129): its own names brought to those of
Microsoft's files, what they add left out or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from and_core.errors import TargetError, first_line
from and_core.nets.beats import FBANK_MEAN, FBANK_STD
from and_core.store.files import plain_file

CONFIG = "config.yaml"
ENDINGS = (".pth", ".ckpt")  # of files that hold weights alone: the configuration stands beside them
WRAPPERS = ("module", "state_dict")  # DeepSpeed's and Lightning's name for the weights
MASKS = ("patch_embedding_pad.", "raw2fbank_pad.")  # all ones: they only carry padding masks through convolutions
# the label predictor of pre-training; it is no part of the encoder
PREDICTOR = ("decoder_embed.", "mask_token", "decoder_blocks.", "decoder_norm.", "decoder_pred.")
NO_CLASSES = ("<blank>", "<unk>")
# settings of `encoder_conf` that put something behind or around the encoder -> values at which they do nothing
PLAIN: dict[str, tuple[Any, ...]] = {
    "max_layer": (None,),
    "downsampling_rate": (None, 1),
    "adapter_config": (None, ""),
    "use_weighted_representation": (None, False),
    "add_positional_information": (None, False),
    "fbank_mean": (None, FBANK_MEAN),
    "fbank_std": (None, FBANK_STD),
}
AROUND = ("frontend", "preencoder", "normalize", "text_encoder")


class OpenBeats(NamedTuple):
    """Configuration, weights of the encoder and of the classifier under Microsoft's names, names of the classes."""

    config: dict[str, Any]
    weights: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor] | None
    names: list[str] | None


def config_beside(path: Path) -> list[Path]:
    """Return the `config.yaml` that a file of bare weights needs, where it is."""
    beside = path.with_name(CONFIG)
    return [beside] if path.suffix in ENDINGS and beside.is_file() else []


def is_openbeats(raw: Any) -> bool:
    """Return whether what a file holds is laid out as ESPnet does it."""
    marks = (*MASKS, "encoder.patch_embedding.", "decoder.linear_out.")
    return any(name.startswith(marks) for name in _unwrapped(raw))


def read_openbeats(path: Path, raw: dict[str, Any], beside: list[Path]) -> OpenBeats:
    """Return what a checkpoint of ESPnet holds.

    Parameters
    ----------
    path : Path
        The file, for messages.
    raw : dict
        What it holds: ``cfg`` and ``model``, or the weights of the whole network, alone or under ``module`` or
        ``state_dict``.
    beside : list of Path
        Its `config.yaml`, where the file holds weights alone.

    Raises
    ------
    TargetError
        Nothing says how the encoder is built, or it has parts that BEATs has not.
    """
    weights = {name: tensor.float() for name, tensor in _unwrapped(raw).items()}
    about = _yaml(beside[0]) if beside else {}
    config: dict[str, Any] = raw["cfg"] if isinstance(raw.get("cfg"), dict) else _config(path, about)
    names = raw.get("token_list") or about.get("token_list")
    if any(name.startswith("encoder.patch_embedding.") for name in weights):
        weights, head = _split_whole(path, weights)
    else:
        head = None
    if head is not None and (about.get("decoder_conf") or {}).get("pooling", "mean") != "mean":
        raise TargetError(f"{path}: decoder_conf.pooling={about['decoder_conf']['pooling']!r}; allowed: mean")
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith(MASKS)}
    return OpenBeats(
        {"input_patch_size": 16, **config, "finetuned_model": False},
        weights,
        head,
        [str(name) for name in names if name not in NO_CLASSES] if head is not None and names else None,
    )


def _unwrapped(raw: Any) -> dict[str, torch.Tensor]:
    """Return the weights in a file, by ESPnet's names; empty where there are none."""
    if not isinstance(raw, dict):
        return {}
    inner = next((raw[name] for name in ("model", *WRAPPERS) if isinstance(raw.get(name), dict)), raw)
    weights = {str(name): tensor for name, tensor in inner.items() if isinstance(tensor, torch.Tensor)}
    if any(name.startswith("model.encoder.") for name in weights):
        weights = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
    return weights


def _split_whole(
    path: Path, weights: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor] | None]:
    encoder, head, other = {}, {}, []
    for name, tensor in weights.items():
        part, _, rest = name.partition(".")
        if part == "encoder":
            encoder[rest] = tensor
        elif name.startswith("decoder.linear_out."):
            head[name.removeprefix("decoder.linear_out.")] = tensor
        elif not (part == "decoder" and rest.startswith(PREDICTOR)):
            other.append(name)
    if other:
        raise TargetError(f"{path} has keys of no part of BEATs: {', '.join(sorted(other)[:8])}")
    return encoder, head or None


def _yaml(path: Path) -> dict[str, Any]:
    try:
        about = yaml.safe_load(plain_file(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TargetError(f"{path} can't be read: {first_line(error)}") from None
    if not isinstance(about, dict):
        raise TargetError(f"{path} is no configuration of ESPnet: a mapping is expected")
    return about


def _config(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    if about.get("encoder") != "beats":
        found = f"its encoder is {about['encoder']!r}" if "encoder" in about else f"there is no {CONFIG} beside it"
        raise TargetError(
            f"{path} holds weights alone and {found}; a {CONFIG} with 'encoder: beats' and encoder_conf.beats_config "
            "says how they are put together"
        )
    conf = about.get("encoder_conf") or {}
    faults = [f"encoder_conf.{name}={conf[name]!r}" for name, plain in PLAIN.items() if conf.get(name) not in plain]
    faults += [f"{name}={about[name]!r}" for name in AROUND if about.get(name) is not None]
    if faults:
        raise TargetError(f"{path.with_name(CONFIG)}: {', '.join(faults)}: BEATs has no such part")
    config = conf.get("beats_config")
    if not isinstance(config, dict) or not config:
        raise TargetError(
            f"{path.with_name(CONFIG)} has no encoder_conf.beats_config; copy there the 'cfg' of the checkpoint that "
            f"it was fine-tuned from ({conf.get('beats_ckpt_path')})"
        )
    return config
