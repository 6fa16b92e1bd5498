"""Audio language models behind an OpenAI-compatible server that takes ``input_audio``: vLLM, llama.cpp, hosted ones."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np
import soundfile as sf
from pydantic import Field

from and_core.captioners.base import CAPTIONERS, PROMPT, ListeningCaptioner
from and_core.openai_api import ChatServer, ServerSettings, api_key
from and_core.reply import Reply

SECONDS = 30


class CaptionServerSettings(ServerSettings):
    """Where the server is, see :class:`and_core.openai_api.ServerSettings`; `prompt` (empty: the sound alone).

    `max_tokens` of a caption.
    """

    prompt: str = PROMPT
    max_tokens: Annotated[int, Field(ge=8, le=4096)] = 200


@CAPTIONERS.register
class CaptionServer(ListeningCaptioner[CaptionServerSettings]):
    """Clips as 16-bit WAV in the request, `in_flight` at a time; each clip is cut at 30 s."""

    kind = "server"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        api_key(settings)

    def identity(self) -> str:
        """Name of the model on the server, its tag, prompt and length."""
        s = self.settings
        return json.dumps([s.model, s.tag, s.prompt, s.max_tokens])

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"{self.settings.model} (server)"

    def replies(self, waves: Iterable[np.ndarray]) -> Iterator[tuple[int, Reply]]:
        """Yield captions in the order in which the server gives them."""
        s = self.settings
        requests = (
            {
                "messages": [{"role": "user", "content": _content(wave, s.prompt, self.sample_rate)}],
                "temperature": 0.0,
                "max_tokens": s.max_tokens,
            }
            for wave in waves
        )
        yield from ChatServer(s).ask(requests)


def _content(wave: np.ndarray, prompt: str, rate: int) -> list[dict[str, Any]]:
    file = io.BytesIO()
    sf.write(file, wave[: SECONDS * rate], rate, format="WAV", subtype="PCM_16")
    data = base64.b64encode(file.getvalue()).decode()
    heard: dict[str, Any] = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return [heard, {"type": "text", "text": prompt}] if prompt.strip() else [heard]  # some captioners take sound alone
