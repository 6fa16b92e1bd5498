"""Audio language models of transformers in this process: Qwen2-Audio, Qwen2.5-Omni, Qwen3-Omni, Audio Flamingo and
their like."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from and_core.captioners.base import CAPTIONERS, PROMPT, ListeningCaptioner
from and_core.errors import ConfigError, first_line
from and_core.registry import PathMark, Settings
from and_core.reply import Reply, clean_reply
from and_core.store.files import check_weights, sha256_file

CLASSES = {  # model type -> the class that only listens and writes; every other type goes through the general one
    "qwen2_audio": "Qwen2AudioForConditionalGeneration",
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen2_5_omni_thinker": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
    "audioflamingo3": "AudioFlamingo3ForConditionalGeneration",
    "musicflamingo": "MusicFlamingoForConditionalGeneration",
}
SECONDS = 30


class AudioLanguageModelSettings(Settings):
    """`model`: hub id or folder; `revision` on the hub; `device` and `dtype` as transformers names them; `batch` clips
    at a time.

    `prompt`: what is asked of each clip; empty for a captioner that takes sound alone.
    """

    model: Annotated[str, PathMark(always=False, separator=True, identifies=True)] = "Qwen/Qwen2-Audio-7B-Instruct"
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    prompt: str = PROMPT
    max_tokens: Annotated[int, Field(ge=8, le=4096)] = 200
    batch: Annotated[int, Field(ge=1, le=256)] = 4


@CAPTIONERS.register
class AudioLanguageModel(ListeningCaptioner[AudioLanguageModelSettings]):
    """Batches of clips, padded on the left, decoded greedily; each clip is cut at 30 s. Remote code is never run."""

    kind = "audio_llm"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        import transformers

        s = self.settings
        check_weights(Path(s.model), f"captions.model={s.model!r}", ConfigError)
        try:
            config = transformers.AutoConfig.from_pretrained(s.model, **self.loading)
            processor = transformers.AutoProcessor.from_pretrained(s.model, **self.loading)
            auto = getattr(transformers, CLASSES.get(config.model_type, "AutoModelForMultimodalLM"))
            model = auto.from_pretrained(s.model, dtype=s.dtype, **self.loading)
        except ImportError as error:  # some processors want torchvision, even where nobody looks at pictures
            raise ConfigError(
                f"captions.model={s.model!r} needs a package that is not installed: "
                f"{' '.join(str(error).split())[:160]}"
            ) from None
        except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
            raise ConfigError(f"captions.model={s.model!r} can't be loaded: {str(error).splitlines()[0]}") from None
        if not hasattr(processor, "feature_extractor") or not hasattr(processor, "tokenizer"):
            raise ConfigError(f"captions.model={s.model!r} does not hear: it has no processor of sound and text")
        if not (getattr(processor, "chat_template", None) or processor.tokenizer.chat_template):
            raise ConfigError(
                f"captions.model={s.model!r} has no chat template; take a model that was trained to answer"
            )
        processor.tokenizer.padding_side = "left"
        self.sample_rate = int(processor.feature_extractor.sampling_rate)
        device = s.device if s.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        return processor, model.eval().to(device)

    @cached_property
    def _weights(self) -> str:
        s = self.settings
        files = sorted(Path(s.model).glob("*.safetensors"))
        return repr([sha256_file(f) for f in files]) if files else f"{s.model}@{s.revision}"

    def identity(self) -> str:
        """Return weights, prompt and length."""
        s = self.settings
        return json.dumps([self._weights, s.prompt, s.max_tokens, s.dtype])

    def describe(self) -> str:
        """Return one line for provenance."""
        return Path(self.settings.model).name

    def replies(self, waves: Iterable[np.ndarray]) -> Iterator[tuple[int, Reply]]:
        """Yield batch by batch.

        Where one fails (out of memory, a clip that the processor refuses), its clips one by one.
        """
        _ = self._loaded  # which says at what rate the waves are to come
        first, rest = 0, iter(waves)
        while part := list(islice(rest, self.settings.batch)):
            yield from enumerate(self._try(part), first)
            first += len(part)

    def _try(self, waves: list[np.ndarray]) -> list[Reply]:
        try:
            return self._captions(waves)
        except (RuntimeError, ValueError, IndexError) as error:
            if len(waves) > 1:
                return [self._try([wave])[0] for wave in waves]
            return [Reply(None, f"the model failed on this clip: {first_line(error)}")]

    def _captions(self, waves: list[np.ndarray]) -> list[Reply]:
        import torch

        s = self.settings
        processor, model = self._loaded
        rate = self.sample_rate
        words = [{"type": "text", "text": s.prompt}] if s.prompt.strip() else []  # some captioners take sound alone
        turns = [
            [
                {
                    "role": "user",
                    "content": [{"type": "audio", "audio": wave[: SECONDS * rate].astype(np.float32)}, *words],
                }
            ]
            for wave in waves
        ]
        batch = processor.apply_chat_template(
            turns,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(model.device, model.dtype)
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=s.max_tokens, do_sample=False)[
                :, batch["input_ids"].shape[1] :
            ]
        texts = processor.batch_decode(out, skip_special_tokens=True)
        return [clean_reply(text) for text in texts]
