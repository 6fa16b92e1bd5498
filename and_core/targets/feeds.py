"""How sound is put into networks of transformers that do not all take it alike, and how much of what runs is sound."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from and_core.audio.granite import KIND as GRANITE
from and_core.audio.granite import GraniteFrontEnd
from and_core.nets.partial import find_file

GEMMA_SAMPLES = 480_000  # what its extractor takes at most
LEAST = 640  # samples, to which shorter clips are padded
LEAST_OF = {"moonshine": 1024}  # where the first convolutions reach further


@dataclass(frozen=True)
class Fed:
    """What one pass takes: clips of one length.

    `share` of the time axis of every layer is sound, the rest padding; None where all of it is. A layer with more than
    `most` tokens a clip has padding behind them. In `packed` networks linear layers take the tokens of all clips in a
    row, without padding. `time_axis` is that of two-dimensional convolutions.
    """

    clips: int
    inputs: dict[str, torch.Tensor]
    share: float | None = None
    most: int | None = None
    packed: bool = False
    time_axis: int = 3


Feed = Callable[[Any, list[np.ndarray], Any], Iterator[Fed]]


def extract(extractor: Any, waves: list[np.ndarray], **options: Any) -> Any:
    """Return what a feature extractor makes of clips at its own rate."""
    return extractor(waves, sampling_rate=int(extractor.sampling_rate), return_tensors="pt", **options)


def share_of(extractor: Any, waves: list[np.ndarray]) -> float:
    """Return the share of an extractor's fixed length that is sound."""
    return min(1.0, len(waves[0]) / int(extractor.n_samples))


def feed_fixed(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed spectrograms with silence up to a fixed length, which the network attends to as its makers had it."""
    made = extract(extractor, waves)
    yield Fed(len(waves), {"input_features": made["input_features"]}, share_of(extractor, waves))


def feed_masked(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed spectrograms of a fixed length and which frames are sound."""
    made = extract(extractor, waves, return_attention_mask=True)
    inputs = {"input_features": made["input_features"], "input_features_mask": made["attention_mask"]}
    yield Fed(len(waves), inputs, share_of(extractor, waves))


def feed_qwen2_audio(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed spectrograms of a fixed length and the mask over tokens that the whole Qwen2-Audio gives its tower."""
    from transformers.masking_utils import create_bidirectional_mask

    made = extract(extractor, waves, return_attention_mask=True)
    frames = made["attention_mask"]
    sounding = (frames.sum(-1) - 1) // 2 + 1
    tokens = (frames.shape[1] - 2) // 2 + 1
    mask = create_bidirectional_mask(
        config=net.config,
        inputs_embeds=torch.zeros(len(waves), tokens, 1),
        attention_mask=(torch.arange(tokens)[None] < sounding[:, None]).long(),
    )
    inputs = {"input_features": made["input_features"]} | ({} if mask is None else {"attention_mask": mask})
    yield Fed(len(waves), inputs, share_of(extractor, waves))


def feed_qwen2_omni(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed frames in a row, as `Qwen2_5OmniProcessor` makes them: silence follows, and its frames are left out.

    The processor makes minutes of silence; the little that a window reaches into gives the same frames.
    """
    hop = int(extractor.hop_length)
    end = (-(-len(waves[0]) // hop) + 2 * (-(-int(extractor.n_fft) // hop))) * hop
    most = min(end, int(extractor.n_samples))
    made = extract(extractor, waves, padding="max_length", max_length=most, return_attention_mask=True)
    yield from _in_a_row(made, net)


def feed_qwen3_omni(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed frames in a row, as `Qwen3OmniMoeProcessor` makes them."""
    made = extract(extractor, waves, padding="longest", truncation=False, return_attention_mask=True)
    yield from _in_a_row(made, net)


def _in_a_row(made: Any, net: Any) -> Iterator[Fed]:
    frames = int(made["attention_mask"][0].sum())
    features = made["input_features"][:, :, :frames]
    window = 2 * net.n_window
    windows = -(-frames // window)
    at_once = max(1, getattr(net, "conv_chunksize", len(features) * windows) // windows)  # more would be two calls
    for part in features.split(at_once):
        inputs = {
            "input_features": part.transpose(0, 1).flatten(1),
            "feature_lens": torch.full((len(part),), frames, dtype=torch.long),
        }
        yield Fed(len(part), inputs, frames / (windows * window) if windows > 1 else None, packed=True)


def feed_qwen3_asr(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed spectrograms padded to whole windows and which frames are sound."""
    made = extract(extractor, waves, truncation=False, return_attention_mask=True)
    mask = made["attention_mask"]
    inputs = {"input_features": made["input_features"], "input_features_mask": mask}
    yield Fed(len(waves), inputs, float(mask[0].float().mean()), packed=True)


def feed_granite(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed pairs of frames; attention pads them to whole blocks."""
    features = extract(extractor, waves)["input_features"]
    yield Fed(len(waves), {"hidden_states": features}, most=features.shape[1])


def feed_phi4(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed all frames as sound; what is longer than 500 tokens is folded into windows, the last one padded."""
    features = extract(extractor, waves)["audio_input_features"]
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    tokens = -(-features.shape[1] // net.config.time_reduction)
    yield Fed(len(waves), {"hidden_states": features, "mask": mask}, most=tokens, time_axis=2)


def feed_gemma(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed frames and which of them are sound, under the name that each generation has for the mask."""
    made = extract(extractor, waves)
    features, mask = made["input_features"], made["input_features_mask"].bool()
    older = net.main_input_name == "audio_mel"
    inputs = (
        {"audio_mel": features, "audio_mel_mask": ~mask}
        if older
        else {"input_features": features, "attention_mask": mask}
    )
    share = float(mask[0].float().mean())
    yield Fed(len(waves), inputs, share if share < 1 else None, time_axis=2)


def feed_waves(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed waveforms, which the extractor mirrors at their end up to a whole frame."""
    yield Fed(len(waves), {"input_values": extract(extractor, waves)["input_values"]})


def feed_plain(extractor: Any, waves: list[np.ndarray], net: Any) -> Iterator[Fed]:
    """Feed what the extractor makes, of equally long clips and so without a mask.

    CLAP's extractor would draw a crop by chance, so the middle is taken; SeamlessM4T's would pad to pairs of frames.
    """
    name = extractor.model_input_names[0]
    options: dict[str, Any] = {}
    if hasattr(extractor, "nb_max_samples"):
        size = int(extractor.nb_max_samples)
        start = max(0, (len(waves[0]) - size) // 2)
        waves = [wave[start : start + size] for wave in waves]
        options = {"truncation": "rand_trunc", "padding": "repeatpad"}
    elif hasattr(extractor, "stride"):
        options = {"pad_to_multiple_of": None}  # the frame without a partner is left out, as the mask would
    made = extract(extractor, waves, **options)
    share = share_of(extractor, waves) if hasattr(extractor, "n_samples") else None
    yield Fed(len(waves), {k: v for k, v in made.items() if k in (name, "is_longer")}, share)


def longest_seconds(extractor: Any, feed: Feed) -> float | None:
    """Return how much of a clip is taken at most; None where all of it is."""
    if feed in (feed_qwen3_omni, feed_qwen3_asr, feed_granite, feed_phi4, feed_waves):
        return None
    samples = GEMMA_SAMPLES if feed is feed_gemma else getattr(extractor, "n_samples", None)
    samples = samples or getattr(extractor, "nb_max_samples", None)
    return None if samples is None else int(samples) / int(extractor.sampling_rate)


def least_samples(model_type: str) -> int:
    """Return the length to which shorter clips are padded."""
    return LEAST_OF.get(model_type, LEAST)


def read_extractor(source: str, config: Any, loading: dict[str, Any]) -> Any:
    """Return a checkpoint's own feature extractor; Granite's without torchaudio."""
    from transformers import AutoFeatureExtractor

    path = find_file(source, "preprocessor_config.json", loading)
    if path is not None:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("feature_extractor_type") == GRANITE:
            return GraniteFrontEnd(values)
    return AutoFeatureExtractor.from_pretrained(source, config=config, **loading)
