"""BEATs (Chen et al. 2022, arXiv 2212.09058): the encoder, batch first, under the key names of the published
checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

FBANK_MEAN, FBANK_STD = 15.41663, 6.55582


@dataclass(frozen=True)
class BeatsConfig:
    """Hyper-parameters under the names that checkpoints use; what a checkpoint adds besides is ignored."""

    input_patch_size: int = -1
    embed_dim: int = 512
    conv_bias: bool = False
    encoder_layers: int = 12
    encoder_embed_dim: int = 768
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    activation_fn: str = "gelu"
    layer_norm_first: bool = False
    deep_norm: bool = False
    conv_pos: int = 128
    conv_pos_groups: int = 16
    relative_position_embedding: bool = False
    num_buckets: int = 320
    max_distance: int = 1280
    gru_rel_pos: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    encoder_layerdrop: float = 0.0
    dropout_input: float = 0.0
    finetuned_model: bool = False
    predictor_dropout: float = 0.1
    predictor_class: int = 527

    def __post_init__(self) -> None:
        if self.input_patch_size <= 0:
            raise ValueError(
                f"input_patch_size={self.input_patch_size}; a checkpoint must give it (published ones: 16)"
            )
        if self.deep_norm and self.layer_norm_first:
            raise ValueError("deep_norm=True and layer_norm_first=True exclude each other")
        if self.activation_fn not in ("gelu", "glu", "relu"):
            raise ValueError(f"activation_fn={self.activation_fn!r} is not known; allowed: gelu, glu, relu")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BeatsConfig:
        """Make a configuration from a checkpoint's `cfg`."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})


def shrink_mask(mask: torch.Tensor, length: int) -> torch.Tensor:
    """Return (B, samples) padding mask brought to `length` steps: a step is padding when all it covers is (the
    reference's grouping)."""
    mask = mask[:, : mask.shape[1] - mask.shape[1] % length]
    return mask.view(len(mask), length, -1).all(-1)


def relative_buckets(length: int, num_buckets: int, max_distance: int) -> torch.Tensor:
    """Return (length, length) bucket of key minus query position: exact up to a quarter of the buckets a side,
    logarithmic beyond."""
    place = torch.arange(length)
    relative = place[None] - place[:, None]
    half = num_buckets // 2
    exact = half // 2
    distance = relative.abs()
    scaled = torch.log(distance.float().clamp_min(1) / exact) / math.log(max_distance / exact) * (half - exact)
    far = (exact + scaled.long()).clamp_max(half - 1)
    return (relative > 0).long() * half + torch.where(distance < exact, distance, far)


class PositionalConv(nn.Module):
    """Grouped convolution over time, weight-normalised per kernel tap, keys `weight_g`, `weight_v`, `bias`."""

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        self.weight_v = nn.Parameter(torch.randn(width, width // groups, kernel) * math.sqrt(4 / (kernel * width)))
        self.weight_g = nn.Parameter(self.weight_v.detach().pow(2).sum((0, 1), keepdim=True).sqrt())
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, D, T) -> (B, D, T)."""
        weight = self.weight_g * self.weight_v / self.weight_v.pow(2).sum((0, 1), keepdim=True).sqrt()
        out = F.conv1d(x, weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        return out[..., :-1] if self.kernel % 2 == 0 else out


class Attention(nn.Module):
    """Self-attention with a relative bias that each query gates."""

    def __init__(self, config: BeatsConfig, bias: nn.Embedding | None) -> None:
        super().__init__()
        width, self.heads = config.encoder_embed_dim, config.encoder_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.drop = config.attention_dropout
        if bias is not None:
            self.relative_attention_bias = bias
            if config.gru_rel_pos:
                self.grep_linear = nn.Linear(width // self.heads, 8)
                self.grep_a = nn.Parameter(torch.ones(1, self.heads, 1, 1))

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None, padding: torch.Tensor | None) -> torch.Tensor:
        """Return (B, T, D) -> (B, T, D); `bias` (H, T, T) or (B, H, T, T), `padding` (B, T) bool."""
        batch, length, width = x.shape
        q, k, v = (
            p(x).view(batch, length, self.heads, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        mask = None
        if bias is not None:
            mask = bias.expand(batch, -1, -1, -1)
            if hasattr(self, "grep_linear"):
                first, second = self.grep_linear(q).view(batch, self.heads, length, 2, 4).sum(-1).sigmoid().chunk(2, -1)
                mask = (first * (second * self.grep_a - 1) + 2) * mask
        if padding is not None:
            hidden = torch.zeros(batch, 1, 1, length, device=x.device, dtype=x.dtype).masked_fill(
                padding[:, None, None], -torch.inf
            )
            mask = hidden if mask is None else mask + hidden
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.drop if self.training else 0.0)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class GLU(nn.Module):
    """Linear layer of twice the width, the second half gating the first by silu."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(into, 2 * out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., into) -> (..., out)."""
        value, gate = self.linear(x).chunk(2, -1)
        return value * F.silu(gate)


class Block(nn.Module):
    """Transformer block, post-norm (with DeepNorm's residual weight) or pre-norm."""

    def __init__(self, config: BeatsConfig, bias: nn.Embedding | None) -> None:
        super().__init__()
        width, hidden = config.encoder_embed_dim, config.encoder_ffn_embed_dim
        self.config = config
        self.alpha = (2 * config.encoder_layers) ** 0.25 if config.deep_norm else 1.0
        self.self_attn = Attention(config, bias)
        self.self_attn_layer_norm, self.final_layer_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fc1: nn.Module = GLU(width, hidden) if config.activation_fn == "glu" else nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.drop, self.drop_inside = nn.Dropout(config.dropout), nn.Dropout(config.activation_dropout)

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, T, D) -> (B, T, D)."""
        x = self.fc1(x)
        if self.config.activation_fn != "glu":
            x = F.gelu(x) if self.config.activation_fn == "gelu" else F.relu(x)
        return self.fc2(self.drop_inside(x))

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None, padding: torch.Tensor | None) -> torch.Tensor:
        """Return (B, T, D) -> (B, T, D)."""
        if self.config.layer_norm_first:
            x = x + self.drop(self.self_attn(self.self_attn_layer_norm(x), bias, padding))
            return x + self.drop(self.feed_forward(self.final_layer_norm(x)))
        x = self.self_attn_layer_norm(self.alpha * x + self.drop(self.self_attn(x, bias, padding)))
        return self.final_layer_norm(self.alpha * x + self.drop(self.feed_forward(x)))


class Encoder(nn.Module):
    """Positions by convolution, then blocks that share one table of relative biases."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_conv = nn.Sequential(
            PositionalConv(config.encoder_embed_dim, config.conv_pos, config.conv_pos_groups), nn.GELU()
        )
        bias = (
            nn.Embedding(config.num_buckets, config.encoder_attention_heads)
            if config.relative_position_embedding
            else None
        )
        self.layers = nn.ModuleList([Block(config, bias) for _ in range(config.encoder_layers)])
        self.layer_norm = nn.LayerNorm(config.encoder_embed_dim)
        self.drop = nn.Dropout(config.dropout)

    def positions(self, x: torch.Tensor) -> torch.Tensor:
        """Return positional term (B, T, D) of all tokens in place."""
        return self.pos_conv(x.transpose(1, 2)).transpose(1, 2)

    def relative_bias(self, length: int) -> torch.Tensor | None:
        """Return (H, T, T) ungated bias for a full sequence."""
        if not self.config.relative_position_embedding:
            return None
        table = self.layers[0].self_attn.relative_attention_bias  # type: ignore[union-attr]
        buckets = relative_buckets(length, self.config.num_buckets, self.config.max_distance).to(table.weight.device)  # type: ignore[union-attr, arg-type]
        return table(buckets).permute(2, 0, 1)  # type: ignore[operator]

    def blocks(self, x: torch.Tensor, bias: torch.Tensor | None, padding: torch.Tensor | None) -> torch.Tensor:
        """Return everything behind the positional term."""
        if not self.config.layer_norm_first:
            x = self.layer_norm(x)
        x = self.drop(x)
        for layer in self.layers:
            if self.training and self.config.encoder_layerdrop > 0 and torch.rand(()) < self.config.encoder_layerdrop:
                continue
            x = layer(x, bias, padding)
        return self.layer_norm(x) if self.config.layer_norm_first else x

    def forward(self, x: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        """Return (B, T, D) -> (B, T, D)."""
        if padding is not None:
            x = x.masked_fill(padding[..., None], 0)
        return self.blocks(x + self.positions(x), self.relative_bias(x.shape[1]), padding)


class Beats(nn.Module):
    """Patches of a log-mel map to token features; with a predictor, to class probabilities.

    Tokens run in time, frequency fastest: token = 8 t + m for 128 mel bins and patches of 16. There is no class token.
    """

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        self.config = config
        size, embed, width = config.input_patch_size, config.embed_dim, config.encoder_embed_dim
        self.patch_embedding = nn.Conv2d(1, embed, size, size, bias=config.conv_bias)
        self.layer_norm = nn.LayerNorm(embed)
        self.post_extract_proj = nn.Linear(embed, width) if embed != width else None
        self.drop_input = nn.Dropout(config.dropout_input)
        self.encoder = Encoder(config)
        self.predictor = nn.Linear(width, config.predictor_class) if config.finetuned_model else None
        self.drop_predictor = nn.Dropout(config.predictor_dropout)

    def patches(self, fbank: torch.Tensor) -> torch.Tensor:
        """Return normalised log-mel map (B, frames, mel) -> tokens (B, T, D) before positions."""
        x = self.patch_embedding(fbank[:, None]).flatten(2).transpose(1, 2)
        x = self.layer_norm(x)
        return self.drop_input(x if self.post_extract_proj is None else self.post_extract_proj(x))

    def forward(
        self, fbank: torch.Tensor, frame_padding: torch.Tensor | None = None, padding: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return token features (B, T, D) and the token padding mask (B, T), None without padding.

        `frame_padding` (B, frames) is brought to tokens as the published implementation does it, which ties a token to
        other frames than its own; `padding` (B, T) says it token by token instead.
        """
        x = self.patches(fbank)
        if frame_padding is not None:
            padding = shrink_mask(frame_padding, x.shape[1])
        return self.encoder(x, padding), padding

    def logits(self, features: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
        """Return class logits (B, C): per token, then the mean over tokens that are not padding (the published model's
        sigmoid follows)."""
        assert self.predictor is not None
        return pooled(self.predictor(self.drop_predictor(features)), padding)


def pooled(tokens: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over tokens (B, T, C) -> (B, C), padding left out."""
    if padding is None or not padding.any():
        return tokens.mean(1)
    kept = (~padding)[..., None].to(tokens.dtype)
    return (tokens * kept).sum(1) / kept.sum(1).clamp_min(1)


def normalise(fbank: torch.Tensor) -> torch.Tensor:
    """Return the published normalisation of Kaldi log-mel energies (Povey window, waveform times 2^15)."""
    return (fbank - FBANK_MEAN) / (2 * FBANK_STD)


def initialise(model: Beats) -> None:
    """Initialise as published: normal 0.02 for linear and embedding, Xavier with DeepNorm's gain where it is on."""
    beta = (8 * model.config.encoder_layers) ** -0.25 if model.config.deep_norm else 1.0
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
            if model.config.deep_norm and name.rsplit(".", 1)[-1] in ("v_proj", "out_proj", "fc1", "fc2"):
                nn.init.xavier_normal_(module.weight, gain=beta)
            elif name.rsplit(".", 1)[-1] in ("q_proj", "k_proj"):
                nn.init.xavier_normal_(module.weight)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)


def share_bias(weights: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """State dict with the one table of relative biases under every layer's name.

    Files without repetition keep it under the first.
    """
    key = "encoder.layers.{}.self_attn.relative_attention_bias.weight"
    return (
        weights
        if key.format(0) not in weights
        else {**weights, **{key.format(i): weights[key.format(0)] for i in range(layers)}}
    )


def keep_one_bias(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the inverse of :func:`share_bias`, for a file: the shared table under the first layer's name alone."""
    return {k: v for k, v in weights.items() if "relative_attention_bias" not in k or ".layers.0." in k}
