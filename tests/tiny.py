"""Tiny random networks, saved in the formats in which the real ones are published."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
import yaml


def tiny_ast(folder: Path, **changes: object) -> str:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_length": 64,
        "num_mel_bins": 32,
    }
    config = ASTConfig(**{**small, "num_labels": 3, **changes})
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return str(folder)


SMALL_BEATS = {
    "input_patch_size": 16,
    "embed_dim": 12,
    "encoder_layers": 2,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 2,
    "conv_pos": 4,
    "conv_pos_groups": 2,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "deep_norm": True,
    "num_buckets": 32,
    "max_distance": 800,
}


def tiny_beats(path: Path, layout: str = "microsoft", **changes: object) -> str:
    """A random BEATs as Microsoft's fine-tuned files, its pre-trained ones,
    the AND authors' flat ones, or ESPnet's are laid out."""
    from and_core.nets.beats import Beats, BeatsConfig, initialise

    torch.manual_seed(0)
    cfg = {**SMALL_BEATS, "finetuned_model": layout == "microsoft", "predictor_class": 3, "some_new_key": 1, **changes}
    model = Beats(BeatsConfig.from_dict(cfg))
    torch.manual_seed(0)
    initialise(model)
    path = path.with_suffix(".pt")
    state = {k: v.clone() for k, v in model.state_dict().items()}
    if layout.startswith("espnet"):
        return espnet_beats(path, layout, cfg, state)
    if layout == "flat":
        head = torch.nn.Linear(16, 3)
        torch.save(
            {**{f"beats.{k}": v for k, v in state.items()}, "fc.weight": head.weight.data, "fc.bias": head.bias.data},
            path,
        )
    else:
        extra = {"label_dict": {0: "/m/a", 1: "/m/b", 2: "/m/c"}} if layout == "microsoft" else {}
        torch.save({"cfg": cfg, "model": state, **extra}, path)
    return str(path)


def espnet_beats(path: Path, layout: str, cfg: dict[str, Any], state: dict[str, torch.Tensor]) -> str:
    """ESPnet's encoder alone with its configuration, or the whole network it was fine-tuned as, `config.yaml` beside
    it."""
    masks = {"patch_embedding_pad.weight": torch.ones(1, 1, 16, 16), "raw2fbank_pad.weight": torch.ones(1, 1, 400)}
    state = {**state, **masks}
    if layout == "espnet":
        torch.save({"model": state, "cfg": cfg}, path)
        return str(path)
    path = path.with_suffix(".pth")
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 3)
    whole = {f"encoder.{name}": tensor for name, tensor in state.items()}
    torch.save({**whole, **{f"decoder.linear_out.{name}": t for name, t in head.state_dict().items()}}, path)
    about = {
        "token_list": ["bell", "dog", "rain", "<blank>", "<unk>"],
        "frontend": None,
        "normalize": None,
        "encoder": "beats",
        "encoder_conf": {"beats_ckpt_path": "exp/beats_iter2.pt", "beats_config": cfg, "fbank_mean": 15.41663},
        "decoder": "linear",
        "decoder_conf": {"pooling": "mean"},
        "model_conf": {"classification_type": "multi-label"},
    }
    path.with_name("config.yaml").write_text(yaml.safe_dump(about))
    return str(path)


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
CONVS = {
    "conv_dim": (8, 8),
    "conv_stride": (10, 8),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
}


def tiny_hub(folder: Path, family: str) -> str:
    """A random network of a family of transformers, with its feature extractor."""
    import transformers as t

    torch.manual_seed(0)
    extractor: Any = t.Wav2Vec2FeatureExtractor()
    if family in ("Wav2Vec2", "Hubert", "WavLM"):
        extra = {
            "num_conv_pos_embedding_groups": 2,
            "mask_time_prob": 0.0,
            "classifier_proj_size": 12,
            "num_labels": 3,
            **SMALL,
            **CONVS,
        }
        config: Any = getattr(t, f"{family}Config")(**extra)
        getattr(t, f"{family}{'ForSequenceClassification' if family != 'Hubert' else 'Model'}")(config).save_pretrained(
            folder
        )
    elif family.startswith("Whisper"):
        extractor = t.WhisperFeatureExtractor(feature_size=16, chunk_length=4)
        config = t.WhisperConfig(  # type: ignore[call-arg]
            d_model=16,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_ffn_dim=24,
            num_mel_bins=16,
            max_source_positions=200,
            vocab_size=50,
            num_labels=3,
            classifier_proj_size=12,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
        getattr(t, family)(config).save_pretrained(folder)
    elif family == "AST":
        tiny_ast(folder)
        return str(folder)
    else:
        extractor = t.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad", frequency_min=50)
        t.ClapModel(tiny_clap_config()).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return str(folder)


def tiny_clip(folder: Path) -> str:
    """A random CLIP text tower with a tokenizer of single letters."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    folder.mkdir()
    letters = [chr(c) for c in range(33, 127)]
    vocab = {t: i for i, t in enumerate([*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    ends = {"bos_token_id": len(vocab) - 2, "eos_token_id": len(vocab) - 1, "pad_token_id": len(vocab) - 1}
    small = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 16,
    }
    CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=len(vocab), **ends, **small)).save_pretrained(folder)
    return str(folder)


def tiny_clap_config() -> Any:
    """CLAP with the published front end and almost nothing behind it."""
    from transformers import ClapAudioConfig, ClapConfig, ClapTextConfig

    text = ClapTextConfig(
        vocab_size=80,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=90,
        pad_token_id=1,
    )
    audio = ClapAudioConfig(
        patch_embeds_hidden_size=8,
        depths=[1, 1],
        num_attention_heads=[1, 2],
        hidden_size=16,
        num_hidden_layers=2,
        window_size=8,
        spec_size=256,
        num_mel_bins=64,
        patch_size=4,
        patch_stride=[4, 4],
        enable_fusion=False,
        num_classes=4,
    )
    return ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=16)


def tiny_clap(folder: Path) -> str:
    """A random CLAP with the extractor's published settings and a tokenizer of single letters."""
    from transformers import ClapFeatureExtractor, ClapModel

    torch.manual_seed(0)
    ClapModel(tiny_clap_config()).save_pretrained(folder)
    ClapFeatureExtractor(
        truncation="rand_trunc", padding="repeatpad", frequency_min=50, frequency_max=14000
    ).save_pretrained(folder)
    letter_tokenizer().save_pretrained(folder)
    return str(folder)


def letter_tokenizer() -> Any:
    """A tokenizer of single letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz", " "])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


def tiny_small_clap(folder: Path) -> str:
    """The demo's text-audio encoder at random weights."""
    from dataclasses import asdict

    from and_core.config import PluginConfig
    from and_core.demo.training import write_folder
    from and_core.encoders.base import ENCODERS
    from and_core.nets.beats import Beats, BeatsConfig
    from and_core.nets.small_clap import SmallClap

    torch.manual_seed(0)
    cfg = BeatsConfig(
        16,
        embed_dim=16,
        encoder_layers=1,
        encoder_embed_dim=16,
        encoder_ffn_embed_dim=24,
        encoder_attention_heads=2,
        conv_pos=4,
        conv_pos_groups=2,
    )
    text = ENCODERS.create(PluginConfig(kind="minilm", model="bundled")).fingerprint()
    about = {"cfg": asdict(cfg), "mel_bins": 64, "text_width": 384, "width": 8, "text": text}
    write_folder(folder, SmallClap(Beats(cfg), 384, 8).state_dict(), about, {})
    return str(folder)


def tiny_audio_llm(folder: Path) -> str:
    """A random Qwen2-Audio with a tokenizer of single letters (so that what it says is a text) and its published
    processor."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    special = ["<pad>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    vocab = {t: i for i, t in enumerate([*special, *string.ascii_letters, ".", "Ġ", "Ċ"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<|im_end|>", additional_special_tokens=special[1:]
    )
    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'audio' %}"
        "<|audio_bos|><|AUDIO|><|audio_eos|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=128), fast, chat_template=template).save_pretrained(folder)
    torch.manual_seed(0)
    text = {
        "model_type": "qwen2",
        "vocab_size": len(vocab),
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    audio = {
        "model_type": "qwen2_audio_encoder",
        "d_model": 16,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
        "num_mel_bins": 128,
    }
    config = Qwen2AudioConfig(
        audio_config=audio,
        text_config={**text, "num_key_value_heads": 2, "eos_token_id": 2, "pad_token_id": 0},
        audio_token_index=3,
    )
    Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)
