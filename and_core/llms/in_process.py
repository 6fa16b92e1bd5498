"""A causal language model of transformers, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from and_core.errors import ConfigError, first_line
from and_core.llms.base import LLMS, LanguageModel, LanguageModelSettings, Question, folder_hash
from and_core.reply import Reply, clean_reply
from and_core.store.files import check_weights

AHEAD = 16  # batches whose prompts are sorted by length together


class TransformersSettings(LanguageModelSettings):
    """`revision` on the hub; `device` and `dtype` as transformers names them; `batch` prompts at a time."""

    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch: Annotated[int, Field(ge=1, le=512)] = 8


@LLMS.register
class Transformers(LanguageModel[TransformersSettings]):
    """Batches padded on the left; the chat template is the model's own. Remote code is never run."""

    kind = "transformers"

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        s = self.settings
        check_weights(Path(s.model), f"llm.model={s.model!r}", ConfigError)
        try:
            tokenizer = AutoTokenizer.from_pretrained(s.model, padding_side="left", **self.loading)
            model: Any = AutoModelForCausalLM.from_pretrained(s.model, dtype=s.dtype, **self.loading)
        except (OSError, ValueError) as error:
            raise ConfigError(f"llm.model={s.model!r} can't be loaded: {str(error).splitlines()[0]}") from None
        if not tokenizer.chat_template:
            raise ConfigError(f"llm.model={s.model!r} has no chat template; take a model that was trained to answer")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        device = s.device if s.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        return tokenizer, model.eval().to(device)

    def fingerprint(self) -> str:
        """Return also the hashes of a folder's files."""
        folder = Path(self.settings.model)
        if not folder.is_dir():
            return super().fingerprint() + str(self.settings.revision)
        s = self.settings
        return repr([self._hash, s.top_p, s.seed])

    @cached_property
    def _hash(self) -> str:
        return folder_hash(Path(self.settings.model))

    def answer(self, requests: Iterable[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield batch by batch, prompts of similar length together; one that can't be answered spoils no other."""
        s = self.settings
        numbered = enumerate(requests)
        while window := list(islice(numbered, s.batch * AHEAD)):
            groups: dict[tuple[float, int, int], list[tuple[int, int, str]]] = {}
            for number, r in window:
                text, length = self._prompt(r)
                room = self._room(length)
                if room < 1:
                    yield number, Reply(None, f"the prompt has {length} tokens; the model takes {length + room}")
                    continue
                groups.setdefault((r.temperature, min(r.max_tokens, room), r.sample), []).append((length, number, text))
            for (temperature, most, sample), members in sorted(groups.items()):
                members.sort()
                while members:
                    batch = [members[0]]  # the longest of a batch decides how much is padded: all must still fit
                    while len(batch) < min(s.batch, len(members)) and self._room(members[len(batch)][0]) >= most:
                        batch.append(members[len(batch)])
                    members = members[len(batch) :]
                    yield from zip(
                        (n for _, n, _ in batch),
                        self._try([t for _, _, t in batch], temperature, most, sample),
                        strict=True,
                    )

    def _prompt(self, request: Question) -> tuple[str, int]:
        """Return the prompt in the model's chat template, and its length in tokens."""
        tokenizer, _ = self._loaded
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": request.prompt}], add_generation_prompt=True, tokenize=False
        )
        return text, len(tokenizer(text, add_special_tokens=False)["input_ids"])

    def _room(self, length: int) -> int:
        """Return tokens that an answer may have behind a prompt of this length."""
        limit = getattr(self._loaded[1].config, "max_position_embeddings", None)
        return limit - length if limit else 1_000_000

    def _try(self, texts: list[str], temperature: float, most: int, sample: int) -> list[Reply]:
        """Return a batch.

        Where it fails (out of memory), its members one by one, so that only what fails alone has failed.
        """
        try:
            return self._generate(texts, temperature, most, sample)
        except RuntimeError as error:
            if len(texts) > 1:
                return [self._try([text], temperature, most, sample)[0] for text in texts]
            return [Reply(None, f"the model failed: {first_line(error)}")]

    def _generate(self, texts: list[str], temperature: float, most: int, sample: int) -> list[Reply]:
        import torch

        s = self.settings
        tokenizer, model = self._loaded
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt").to(model.device)
        length = batch["input_ids"].shape[1]
        plain = {
            "repetition_penalty": 1.0
        }  # what a checkpoint recommends besides is left alone: answers follow the settings here
        sampling = (
            {"do_sample": True, "temperature": temperature, "top_p": s.top_p, "top_k": 0}
            if temperature > 0
            else {"do_sample": False}
        )
        torch.manual_seed(s.seed + sample)
        with torch.inference_mode():
            out = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=most,
                pad_token_id=tokenizer.pad_token_id,
                **plain,
                **sampling,
            )[:, length:]
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        answers = tokenizer.batch_decode(out, skip_special_tokens=True)
        return [
            clean_reply(text, not ends & set(row.tolist()) and len(row) >= most)
            for text, row in zip(answers, out, strict=True)
        ]
