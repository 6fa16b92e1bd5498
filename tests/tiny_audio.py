"""Tiny random networks with an audio tower, saved whole in the formats in which the real ones are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.tiny import letter_tokenizer

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SMALL, "num_key_value_heads": 2, "vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "num_mel_bins": 16,
    "max_source_positions": 200,
}
OMNI = {**WHISPER, "n_window": 20, "output_dim": 16}
ROPE = {"rope_theta": 10000.0, "rope_type": "default", "mrope_section": [1, 1, 2]}
VISION = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24, "out_hidden_size": 16}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8, "head_dim": 8}
FULL = {"layer_types": ["full_attention"] * 2, "num_kv_shared_layers": 0, "head_dim": 8}
CONFORMER = {
    "hidden_dim": 16,
    "num_layers": 2,
    "num_heads": 2,
    "dim_head": 8,
    "output_dim": 6,
    "context_size": 20,
    "max_pos_emb": 32,
    "input_dim": 160,
}
PHI = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_blocks": 2,
    "num_attention_heads": 2,
    "ext_pw_out_channel": 16,
    "depthwise_separable_out_channel": 16,
    "nemo_conv_channels": 8,
}
GEMMA3N = {
    **FULL,
    "laurel_rank": 4,
    "hidden_size_per_layer_input": 4,
    "vocab_size_per_layer_input": 50,
    "altup_num_inputs": 2,
    "activation_sparsity_pattern": [0.0, 0.0],
}
# network -> class, tiny settings, class and settings of its feature extractor
LANGUAGE_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "AudioFlamingo3": (
        "ForConditionalGeneration",
        {"audio_config": WHISPER, "text_config": {**TEXT, "model_type": "qwen2"}},
    ),
    "Gemma3n": (
        "ForConditionalGeneration",
        {
            "audio_config": {
                "hidden_size": 16,
                "conf_num_attention_heads": 2,
                "conf_num_hidden_layers": 2,
                "sscp_conv_channel_size": (8, 4),
            },
            "text_config": {**TEXT, **GEMMA3N},
        },
    ),
    "Gemma4": (
        "ForConditionalGeneration",
        {
            "audio_config": {
                "hidden_size": 16,
                "num_attention_heads": 2,
                "num_hidden_layers": 2,
                "subsampling_conv_channels": [128, 4],
                "output_proj_dims": 16,
            },
            "text_config": {**TEXT, **FULL, "hidden_size_per_layer_input": 0},
            "vision_config": None,
        },
    ),
    "GlmAsr": (
        "ForConditionalGeneration",
        {
            "audio_config": {**SMALL, "intermediate_size": 64, "num_mel_bins": 16},
            "text_config": {**TEXT, "model_type": "llama"},
        },
    ),
    "GraniteSpeech": (
        "ForConditionalGeneration",
        {
            "encoder_config": CONFORMER,
            "projector_config": {
                **SMALL,
                "encoder_hidden_size": 16,
                "vocab_size": 50,
                "model_type": "blip_2_qformer",
            },
            "text_config": {**TEXT, "model_type": "granite"},
            "has_lora_adapter": False,
        },
    ),
    "Phi4Multimodal": (
        "ForCausalLM",
        {
            **TEXT,
            "audio_config": PHI,
            "vision_config": {**SMALL, "crop_size": 28, "image_size": 28, "patch_size": 14},
        },
    ),
    "Qwen2Audio": (
        "ForConditionalGeneration",
        {"audio_config": WHISPER, "text_config": {**TEXT, "model_type": "qwen2"}, "audio_token_index": 3},
    ),
    "Qwen2_5OmniThinker": (
        "ForConditionalGeneration",
        {"audio_config": OMNI, "text_config": {**TEXT, "rope_scaling": ROPE}, "vision_config": VISION},
    ),
    "Qwen3ASR": (
        "ForConditionalGeneration",
        {
            "audio_config": {**OMNI, "n_window": 50, "downsample_hidden_size": 8},
            "text_config": {**TEXT, "model_type": "qwen3", "head_dim": 8},
        },
    ),
    "Qwen3OmniMoeThinker": (
        "ForConditionalGeneration",
        {
            "audio_config": {**OMNI, "n_window": 50, "downsample_hidden_size": 8},
            "text_config": {**TEXT, **EXPERTS, "rope_scaling": ROPE},
            "vision_config": {**VISION, "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
        },
    ),
    "Voxtral": (
        "ForConditionalGeneration",
        {"audio_config": WHISPER, "text_config": {**TEXT, "model_type": "llama"}},
    ),
}
LANGUAGE_MODELS["GraniteSpeechPlus"] = LANGUAGE_MODELS["GraniteSpeech"]
LANGUAGE_MODELS["MusicFlamingo"] = (
    "ForConditionalGeneration",
    {
        "audio_config": {**WHISPER, "model_type": "audioflamingo3_encoder"},
        "text_config": {**TEXT, "model_type": "qwen2"},
    },
)
GRANITE = {
    "feature_extractor_type": "GraniteSpeechFeatureExtractor",
    "melspec_kwargs": {"hop_length": 160, "n_fft": 512, "n_mels": 80, "sample_rate": 16000, "win_length": 400},
    "projector_downsample_rate": 5,
    "projector_window_size": 15,
    "sampling_rate": 16000,
}


def save_tower_as_part(folder: Path, family: str) -> None:
    """Write an audio tower as part of a whole network, of which nothing else is built."""
    import transformers
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**LANGUAGE_MODELS[family][1])
    tower = transformers.AutoModel.from_config(config.audio_config)
    config.save_pretrained(folder)
    weights = {f"model.audio_tower.{name}": tensor.half() for name, tensor in tower.state_dict().items()}
    save_file(weights, folder / "model.safetensors")


def language_model(family: str) -> torch.nn.Module:
    """A random audio language model."""
    import transformers

    ending, settings = LANGUAGE_MODELS[family]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    return getattr(transformers, family + ending)(config).eval()


def save_extractor(folder: Path, family: str) -> None:
    """Write the feature extractor of an audio language model."""
    import transformers as t

    folder.mkdir(exist_ok=True)
    if family.startswith("GraniteSpeech"):
        (folder / "preprocessor_config.json").write_text(json.dumps(GRANITE))
        return
    own: Any = {
        "Gemma3n": t.Gemma3nAudioFeatureExtractor,
        "Gemma4": t.Gemma4AudioFeatureExtractor,
        "Phi4Multimodal": t.Phi4MultimodalFeatureExtractor,
    }
    extractor = own[family]() if family in own else t.WhisperFeatureExtractor(feature_size=16, chunk_length=4)
    if family == "Qwen3ASR":
        extractor = t.Qwen3ASRFeatureExtractor(feature_size=16)
    extractor.save_pretrained(folder)


def tiny_language_model(folder: Path, family: str) -> str:
    """An audio language model in half precision, in shards; those without a weight of its audio tower are missing."""
    if family == "Gemma3n":  # its images need a package of their own
        save_tower_as_part(folder, family)
        save_extractor(folder, family)
        return str(folder)
    language_model(family).half().save_pretrained(folder, max_shard_size="20KB")
    save_extractor(folder, family)
    by_name = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    part = {"GraniteSpeech": "encoder.", "GraniteSpeechPlus": "encoder.", "Phi4Multimodal": "audio_embed.encoder."}.get(
        family, "audio_tower."
    )
    needed = {file for name, file in by_name.items() if part in name and "projector." not in name}
    for path in folder.glob("*.safetensors"):
        if path.name not in needed:
            path.unlink()
    return str(folder)


CONVS = {
    "conv_dim": [8, 8],
    "conv_stride": [10, 8],
    "conv_kernel": [10, 8],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
ENCODERS = ("Wav2Vec2Bert", "Wav2Vec2BertForSequenceClassification", "Moonshine", "Mert", "PeAudio", "PeAudioFrame")


def tiny_encoder(folder: Path, family: str) -> str:
    """A random network that hears and does not chat, with its feature extractor."""
    import transformers as t

    torch.manual_seed(0)
    if family == "Mert":
        return tiny_mert(folder)
    if family.startswith("PeAudio"):
        return tiny_pe_audio(folder, "PeAudioFrameLevelModel" if family == "PeAudioFrame" else "PeAudioModel")
    if family == "Moonshine":
        extractor: Any = t.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
        sizes = {"encoder_num_hidden_layers": 2, "decoder_num_hidden_layers": 1, "hidden_size": 16}
        heads = {"encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2}
        ends = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
        config: Any = t.MoonshineConfig(intermediate_size=24, **sizes, **heads, **ends)
        t.MoonshineForConditionalGeneration(config).save_pretrained(folder)
    else:
        extractor = t.SeamlessM4TFeatureExtractor()
        parts = {"conv_depthwise_kernel_size": 5, "classifier_proj_size": 12, "num_labels": 3}
        config = t.Wav2Vec2BertConfig(**SMALL, **parts, left_max_position_embeddings=6, right_max_position_embeddings=2)
        name = family if family.endswith("Classification") else "Wav2Vec2BertModel"
        getattr(t, name)(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return str(folder)


def tiny_mert(folder: Path, **changes: Any) -> str:
    """A random MERT as `m-a-p/MERT-v1-95M` is laid out: code of its own, weights of 2023 in a ``.bin``."""
    import transformers as t

    config = t.HubertConfig(**SMALL, **CONVS, mask_time_prob=0.0)
    net = t.HubertModel(config)
    own = {
        "architectures": ["MERTModel"],
        "auto_map": {"AutoConfig": "configuration_MERT.MERTConfig", "AutoModel": "modeling_MERT.MERTModel"},
        "model_type": "mert_model",
        "attention_relax": -1.0,
        "deepnorm": False,
        "feature_extractor_cqt": False,
        "feature_extractor_cqt_bins": 336,
        "sample_rate": 24000,
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), **own, **changes}))
    (folder / "modeling_MERT.py").write_text("raise SystemExit('code from a checkpoint was run')\n")
    (folder / "configuration_MERT.py").write_text("raise SystemExit('code from a checkpoint was run')\n")
    older = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    weights = net.state_dict()
    for new, old in older.items():
        weights = {name.replace(new, old): tensor for name, tensor in weights.items()}
    torch.save(weights, folder / "pytorch_model.bin")
    t.Wav2Vec2FeatureExtractor(sampling_rate=24_000, do_normalize=True).save_pretrained(folder)
    return str(folder)


def pe_audio_settings() -> dict[str, Any]:
    """Tiny settings of PE-Audio."""
    dac = {"encoder_hidden_size": 4, "downsampling_ratios": [2, 8, 10, 12], "codebook_dim": 8, "hidden_size": 8}
    return {
        "audio_config": {**SMALL, "head_dim": 8, "dac_config": dac},
        "text_config": {**SMALL, "vocab_size": 40, "pad_token_id": 1, "model_type": "modernbert"},
    }


def tiny_pe_audio(folder: Path, name: str = "PeAudioModel") -> str:
    """A random PE-Audio of clips or of frames, with its extractor and a tokenizer of single letters."""
    import transformers as t

    torch.manual_seed(0)
    getattr(t, name)(t.PeAudioConfig(**pe_audio_settings())).save_pretrained(folder)
    t.PeAudioFeatureExtractor().save_pretrained(folder)
    letter_tokenizer().save_pretrained(folder)
    return str(folder)
