"""PE-Audio (Meta's Perception Encoder for sound, in transformers) without its text tower: encoder and contrastive
head."""

from __future__ import annotations

from typing import Any

import torch
from transformers.models.pe_audio.modeling_pe_audio import (
    PeAudioConfig,
    PeAudioContrastiveHead,
    PeAudioEncoder,
    PeAudioPreTrainedModel,
)

FRAME_LEVEL = "PeAudioFrameLevelModel"


class PeAudioTower(PeAudioPreTrainedModel):
    """What `PeAudioModel` and `PeAudioFrameLevelModel` do with sound, under their own names of weights.

    Which of the two it is, the configuration's `architectures` say.
    """

    config_class = PeAudioConfig
    base_model_prefix = ""

    def __init__(self, config: PeAudioConfig) -> None:
        super().__init__(config)
        audio: Any = config.audio_config
        text: Any = config.text_config
        self.audio_encoder = PeAudioEncoder(audio)
        self.audio_head = PeAudioContrastiveHead(audio.hidden_size, text.hidden_size)
        self.frames = FRAME_LEVEL in (config.architectures or ())
        self.post_init()

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        """Return (B, 1, samples) at 48 kHz -> embeddings of clips (B, D), or of frames of 40 ms (B, T, D)."""
        out = self.audio_encoder(input_values=input_values)
        return self.audio_head(out.last_hidden_state if self.frames else out.pooler_output)
