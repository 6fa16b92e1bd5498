"""vLLM in this process, for environments that are built around it (elsewhere: start it as a server)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from and_core.errors import MissingExtra, first_line
from and_core.llms.base import LLMS, LanguageModel, LanguageModelSettings, Question, folder_hash
from and_core.reply import Reply, clean_reply


class VLLMSettings(LanguageModelSettings):
    """`max_model_len` and `gpu_memory` as vLLM takes them."""

    batch: Annotated[int, Field(ge=1, le=8192)] = 512
    max_model_len: int | None = None
    gpu_memory: Annotated[float, Field(gt=0, le=1)] = 0.9

    def reaches(self) -> list[str]:
        """Return that vLLM starts processes of its own, and fetches what it does not find."""
        return [f"starts vLLM with the model {self.model}"]


@LLMS.register
class VLLM(LanguageModel[VLLMSettings]):
    """vLLM's own batching; answers are handed on every `batch` prompts, so that they are kept early."""

    kind = "vllm"

    @cached_property
    def _engine(self) -> tuple[Any, Any]:
        try:
            from vllm import LLM, SamplingParams
        except ImportError:
            raise MissingExtra("vllm", "vllm", "llm.kind='vllm'") from None
        s = self.settings
        engine = LLM(
            model=s.model,
            max_model_len=s.max_model_len,
            gpu_memory_utilization=s.gpu_memory,
            seed=s.seed,
            trust_remote_code=False,
        )
        return engine, SamplingParams

    def fingerprint(self) -> str:
        """Return also the hashes of a folder's files."""
        folder = Path(self.settings.model)
        return super().fingerprint() + (self._hash if folder.is_dir() else "")

    @cached_property
    def _hash(self) -> str:
        return folder_hash(Path(self.settings.model))

    def answer(self, requests: Iterable[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield answers in order, a batch at a time.

        Where vLLM refuses a batch (one prompt is too long), its members one by one.
        """
        numbered = enumerate(requests)
        while part := list(islice(numbered, self.settings.batch)):
            yield from zip((number for number, _ in part), self._chat([r for _, r in part]), strict=True)

    def _chat(self, requests: list[Question]) -> list[Reply]:
        s = self.settings
        engine, sampling = self._engine
        turns = [[{"role": "user", "content": r.prompt}] for r in requests]
        wanted = [
            sampling(temperature=r.temperature, top_p=s.top_p, max_tokens=r.max_tokens, seed=s.seed + r.sample)
            for r in requests
        ]
        try:
            outs = engine.chat(turns, wanted, use_tqdm=False)
        except ValueError as error:
            if len(requests) > 1:
                return [self._chat([r])[0] for r in requests]
            return [Reply(None, f"vLLM refused: {first_line(error)}")]
        return [clean_reply(out.outputs[0].text, out.outputs[0].finish_reason == "length") for out in outs]
