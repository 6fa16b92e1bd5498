"""What came of one question to a language model, and its words without its thinking aloud."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from and_core.display import whole_characters

THINKS = r"think|thought|reason|reflect|scratch_?pad|deliberat|monologue|analysis|rationale|cot\b"
# One mark that opens or closes a stretch of thinking: <think>, </Thinking>, [THINK], <|begin_of_thought|>,
# <|END_THINKING|>, ◁think▷, &lt;think&gt;
MARK = re.compile(
    r"(?:<|&lt;|◁|⟨|【)\s*\|?\s*(?P<name>/?\s*[\w:.\- "
    rf"]{{0,24}}?(?:{THINKS})[\w:.\-]{{0,24}})(?:\s[^<>]{{0,80}})?\s*\|?\s*(?:>|&gt;|▷|⟩|】)"
    rf"|\[\s*(?P<square>/?\s*(?:think|thinking|thought|thoughts|reasoning))\s*\]",
    re.IGNORECASE,
)
CLOSES = re.compile(r"^/|^\s*(?:end|stop|close)(?:[_:.\- ]|$)|(?:[_:.\- ])(?:end|stop)$", re.IGNORECASE)
CHANNEL = re.compile(
    r"<\|channel\|?>\s*(?P<name>[a-z_]+)[^<]*?(?:<\|constrain\|>[^<]*)?(?:<\|message\|>|\n|(?=\S))", re.IGNORECASE
)
BARE_HARMONY = re.compile(
    r"^\s*(?:assistant)?\s*(?:analysis|commentary)(?=\S).*?assistant\s*final(?=\S|\s)", re.DOTALL
)  # its marks taken out by a decoder
PROSE = re.compile(
    r"^\s*here(?:'s| is) my (?:thought process|thinking|reasoning)(?: process)?\s*:.*?(?:here(?:'s| is) my (?:final "
    r")?(?:response|answer))\s*:",
    re.DOTALL | re.I,
)
WRAPS = re.compile(
    r"</?\s*(?:answer|response|output|final|final_answer|solution)\s*>|<\|(?:begin|end)_of_(?:solution|answer|response)\|>",
    re.IGNORECASE,
)
SPECIAL = re.compile(r"<\|[\w:.\- /]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|<(?:pad|eos|bos)>", re.IGNORECASE)
STILL = "the answer ends while the model is still thinking; give it more max_tokens"
REASONING = ("reasoning_content", "reasoning", "thinking")  # fields of a message beside its content


@dataclass(frozen=True)
class Reply:
    """What came of one request: a text, or the reason why there is none. `cut`: the answer ran into `max_tokens`."""

    text: str | None
    error: str | None = None
    cut: bool = False


def clean_reply(text: str, cut: bool = False) -> Reply:
    """Return a model's words as a reply: its thinking left out; nothing at all, or what is no text, an error.

    Thinking is whatever stands between the marks that models put around it, or before a closing mark alone (the
    prompt's template may hold the opening one); of Harmony's channels, whatever is not the final one.
    """
    try:
        words = without_thinking(text)
    except ValueError as error:
        return Reply(None, str(error))
    words = printable(SPECIAL.sub("", WRAPS.sub("", words))).strip()
    fault = no_text(words)
    return Reply(words, cut=cut) if fault is None else Reply(None, fault)


def without_thinking(text: str) -> str:
    """Return what a model answers, without what it thinks before.

    Raises
    ------
    ValueError
        The text ends within the thinking.
    """
    text = text.replace("<unused94>", "<think>").replace(
        "<unused95>", "</think>"
    )  # two of Gemma's spare tokens, which one model thinks between
    channels = list(CHANNEL.finditer(text))
    if channels:
        final = [match for match in channels if match["name"].lower() in ("final", "response", "answer")]
        if not final:
            ends = re.search(r"<channel\|>", text)  # one model closes its only channel and goes on in plain text
            if ends is None:
                raise ValueError(STILL)
            text = text[ends.end() :]
        else:
            text = re.split(r"<\|(?:end|return|call|start|channel)\|?>", text[final[-1].end() :])[0]
    for before in (BARE_HARMONY, PROSE):
        text = before.sub("", text)
    kept: list[str] = []
    at, open_since = 0, None
    for mark in MARK.finditer(text):
        if CLOSES.search((mark["name"] or mark["square"]).strip()):
            if open_since is None:  # alone: all before it was thinking
                kept.clear()
            else:
                kept.append(text[at:open_since])
            at, open_since = mark.end(), None
        elif open_since is None:
            open_since = mark.start()
    if open_since is not None:
        raise ValueError(STILL)
    return "".join(kept) + text[at:]


def printable(text: str) -> str:
    """Return a text that every store and screen takes: no control characters but line ends and tabs, no half
    characters."""
    text = whole_characters(text)
    return "".join(
        c
        for c in text
        if c in "\n\t" or (unicodedata.category(c) not in ("Cc", "Cs", "Co") and ord(c) & 0xFFFE != 0xFFFE) or c == "\r"
    )


def no_text(words: str) -> str | None:
    """Say why something is no answer in words: empty, one sign over and over, or without letters; None if it is one."""
    signs = [c for c in words if not c.isspace() and c != "\ufffd"]
    if not signs:
        return "the answer is empty"
    if len(signs) > 3 and len(set(signs)) == 1:
        return f"the answer is one sign repeated: {words[:8]!r}"
    if not any(c.isalpha() for c in signs):
        return f"the answer has no letters: {words[:20]!r}"
    return None


def content_of(message: Any, cut: bool) -> Reply:
    """Return the reply in a chat message: its content as text or in parts; a refusal or thinking alone is an error."""
    content, refusal = _field(message, "content"), _field(message, "refusal")
    text = "".join(_parts(content)) if isinstance(content, list | tuple) else content
    if isinstance(text, str) and text.strip():
        return clean_reply(text, cut)
    if isinstance(refusal, str) and refusal.strip():
        return Reply(None, f"the model refused: {printable(refusal)[:200]}")
    if any(_field(message, name) for name in REASONING) or (isinstance(content, list | tuple) and content):
        return Reply(None, STILL if cut else "the model gave its thinking and no answer")
    return Reply(
        None,
        "the answer is empty"
        if content is None or isinstance(content, str)
        else f"the answer's content is a {type(content).__name__}",
    )


def _parts(content: list[Any] | tuple[Any, ...]) -> list[str]:
    """Return texts among the parts of a content; thinking is none."""
    parts = []
    for part in content:
        if isinstance(part, str):
            parts.append(part)
        elif str(_field(part, "type") or "text") in ("text", "output_text"):
            text = _field(part, "text")
            parts.append(text if isinstance(text, str) else "")
    return parts


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
