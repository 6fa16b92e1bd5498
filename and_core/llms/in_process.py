"""A causal language model of transformers, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from and_core.errors import ConfigError
from and_core.llms.base import LLMS, LanguageModel, Request
from and_core.openai_api import Reply
from and_core.store.files import sha256_file

AHEAD = 16  # batches whose prompts are sorted by length together


@LLMS.register
class Transformers(LanguageModel):
    """Batches padded on the left; the chat template is the model's own. Remote code is never run."""

    kind = "transformers"

    class Settings(LanguageModel.Settings):
        """`revision` on the hub; `device` and `dtype` as transformers names them; `batch` prompts at a time."""

        revision: str | None = None
        device: str = "auto"
        dtype: str = "auto"
        batch: Annotated[int, Field(ge=1, le=512)] = 8

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        s: Any = self.settings
        try:
            tokenizer = AutoTokenizer.from_pretrained(s.model, revision=s.revision, padding_side="left", trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(s.model, revision=s.revision, dtype=s.dtype, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ConfigError(f"llm.model={s.model!r} can't be loaded: {str(error).splitlines()[0]}") from None
        if not tokenizer.chat_template:
            raise ConfigError(f"llm.model={s.model!r} has no chat template; take a model that was trained to answer")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        device = s.device if s.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        return tokenizer, model.eval().to(device)

    def fingerprint(self) -> str:
        """Also the hash of a folder's weights."""
        folder = Path(self.settings.model)  # type: ignore[attr-defined]
        if not folder.is_dir():
            return super().fingerprint() + str(self.settings.revision)  # type: ignore[attr-defined]
        s: Any = self.settings
        return repr([self._hashes, s.top_p, s.seed])

    @cached_property
    def _hashes(self) -> list[str]:
        return [sha256_file(f) for f in sorted(Path(self.settings.model).glob("*.safetensors"))]  # type: ignore[attr-defined]

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply]]:
        """Batch by batch, prompts of similar length together."""
        s: Any = self.settings
        numbered = enumerate(requests)
        while window := list(islice(numbered, s.batch * AHEAD)):
            window.sort(key=lambda item: (item[1].temperature, item[1].max_tokens, item[1].sample, len(item[1].prompt), item[0]))
            while window:
                first = window[0][1]
                alike = (first.temperature, first.max_tokens, first.sample)
                part = [w for w in window[: s.batch] if (w[1].temperature, w[1].max_tokens, w[1].sample) == alike]
                window = window[len(part) :]
                yield from zip((n for n, _ in part), self._generate([r for _, r in part]), strict=True)

    def _generate(self, requests: list[Request]) -> list[Reply]:
        import torch

        s: Any = self.settings
        tokenizer, model = self._loaded
        turns = [[{"role": "user", "content": r.prompt}] for r in requests]
        batch = tokenizer.apply_chat_template(turns, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt").to(model.device)
        limit = getattr(model.config, "max_position_embeddings", None)
        length = batch["input_ids"].shape[1]
        if limit and length >= limit:
            return [Reply(None, f"the prompt has {length} tokens; the model takes {limit}")] * len(requests)
        first = requests[0]
        room = min(first.max_tokens, limit - length) if limit else first.max_tokens
        sampling = {"do_sample": True, "temperature": first.temperature, "top_p": s.top_p} if first.temperature > 0 else {"do_sample": False}
        torch.manual_seed(s.seed + first.sample)
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=room, pad_token_id=tokenizer.pad_token_id, **sampling)[:, length:]
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        texts = tokenizer.batch_decode(out, skip_special_tokens=True)
        cut = [not ends & set(row.tolist()) and len(row) >= room for row in out]
        return [Reply(text, cut=c) if text.strip() else Reply(None, "the answer is empty") for text, c in zip(texts, cut, strict=True)]
