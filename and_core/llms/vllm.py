"""vLLM in this process, for environments that are built around it (elsewhere: start it as a server)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Annotated, Any

from pydantic import Field

from and_core.errors import MissingExtra
from and_core.llms.base import LLMS, LanguageModel, Request
from and_core.openai_api import Reply


@LLMS.register
class VLLM(LanguageModel):
    """vLLM's own batching; answers are handed on every `batch` prompts, so that they are kept early."""

    kind = "vllm"

    class Settings(LanguageModel.Settings):
        """`max_model_len` and `gpu_memory` as vLLM takes them."""

        batch: Annotated[int, Field(ge=1, le=8192)] = 512
        max_model_len: int | None = None
        gpu_memory: Annotated[float, Field(gt=0, le=1)] = 0.9

    @cached_property
    def _engine(self) -> tuple[Any, Any]:
        try:
            from vllm import LLM, SamplingParams
        except ImportError:
            raise MissingExtra("vllm", "vllm", "llm.kind='vllm'") from None
        s: Any = self.settings
        engine = LLM(model=s.model, max_model_len=s.max_model_len, gpu_memory_utilization=s.gpu_memory, seed=s.seed, trust_remote_code=False)
        return engine, SamplingParams

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply]]:
        """In order, a batch at a time."""
        s: Any = self.settings
        numbered = enumerate(requests)
        while part := list(islice(numbered, s.batch)):
            engine, sampling = self._engine
            turns = [[{"role": "user", "content": r.prompt}] for _, r in part]
            wanted = [sampling(temperature=r.temperature, top_p=s.top_p, max_tokens=r.max_tokens, seed=s.seed + r.sample) for _, r in part]
            for (number, _), out in zip(part, engine.chat(turns, wanted, use_tqdm=False), strict=True):
                best = out.outputs[0]
                yield number, Reply(best.text, cut=best.finish_reason == "length") if best.text.strip() else Reply(None, "the answer is empty")
