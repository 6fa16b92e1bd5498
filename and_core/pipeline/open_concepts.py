"""Stage `open` (module C): words of the calibrated summaries, and which adjectives are words for sound."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from and_core.dissect.attributes import head
from and_core.dissect.prompts import fill
from and_core.dissect.words import UNCLEAR, AcousticWords, Verdict, read_verdict, words_of
from and_core.errors import ConfigError
from and_core.llms.base import Question
from and_core.pipeline.llm_cache import unanswered
from and_core.pipeline.stage import Run, Stage
from and_core.store.writer import StageWriter

WORD_TOKENS = 128
QUALITY = "a quality of sound, taken out of captions by the lexicon"


def judge_of(run: Run) -> str:
    """Return ``llm`` or ``lexicon``.

    Raises
    ------
    ConfigError
        A language model is to judge, and none is configured.
    """
    wanted = run.config.open.judge
    if wanted == "llm" and run.config.llm is None:
        raise ConfigError("open.judge='llm' needs a language model; give one under llm, or take: auto, lexicon")
    return "llm" if run.config.llm is not None and wanted != "lexicon" else "lexicon"


def open_parameters(run: Run) -> dict[str, Any]:
    """Return tagger, lexicon and margin, or the language model and its question."""
    section = run.config.open.model_dump(exclude={"judge"})
    if judge_of(run) == "lexicon":
        return section
    assert run.cached_llm is not None
    return {
        "tagger": section["tagger"],
        "llm": run.cached_llm.model.fingerprint(),
        "prompt": run.prompts["acoustic_word"],
    }


def spoken(text: str, attribute: str) -> str:
    """Return a point as a sentence, so that the tagger sees its words in their places."""
    return f"The sound is {text}." if attribute else text


def open_concepts(run: Run, writer: StageWriter) -> None:
    """Compute words of each neuron's calibrated summary.

    Each distinct text is tagged once, each distinct adjective judged once.

    Cost: R; each distinct text is tagged once.
    """
    d, config = run.dissection, run.config.open
    table = d.table("calibration/points")
    kept = table.filter(table["kept"])
    texts = sorted({spoken(t, a) for t, a in zip(kept["text"].to_pylist(), kept["attribute"].to_pylist(), strict=True)})
    step = 512
    tagged: dict[str, list[Any]] = {}
    for start in range(0, len(texts), step):
        part = texts[start : start + step]
        tagged.update(zip(part, words_of(part, config.tagger), strict=True))
        run.progress("open", min(start + step, len(texts)), len(texts))
    by = judge_of(run)
    qualities = {
        head(text)
        for text, attribute in zip(kept["text"].to_pylist(), kept["attribute"].to_pylist(), strict=True)
        if attribute
    }
    adjectives = sorted({w.word for words in tagged.values() for w in words if w.pos == "adjective"} - qualities)
    verdicts = (
        _asked(run, adjectives)
        if by == "llm"
        else AcousticWords(run.encoder.encode, config.margin, run.encoder.fingerprint()).judge(adjectives)
    )
    verdicts |= {word: Verdict(True, QUALITY) for word in qualities}
    adjectives = sorted(verdicts)
    acoustic = {word: verdict.acoustic is True for word, verdict in verdicts.items()}
    rows: dict[tuple[int, str, str], int] = {}
    for neuron, text, attribute in zip(
        kept["neuron"].to_pylist(), kept["text"].to_pylist(), kept["attribute"].to_pylist(), strict=True
    ):
        for word in tagged[spoken(text, attribute)]:
            key = (neuron, word.pos, word.word)
            if attribute and word.word == head(text):
                continue  # a tagger may take "rising" for a verb; the lexicon knows it for a quality of sound
            rows[key] = 1 if word.pos == "adjective" else rows.get(key, 0) + word.times
        if attribute:
            rows[(neuron, "adjective", head(text))] = 1
    order = sorted(rows)
    writer.provenance = run.captioner.provenance
    writer.table("words", pa.table({
        "neuron": pa.array([k[0] for k in order], pa.int32()), "pos": pa.array([k[1] for k in order], pa.string()),
        "word": pa.array([k[2] for k in order], pa.string()), "count": pa.array([rows[k] for k in order], pa.int32()),
        "acoustic": pa.array([k[1] == "adjective" and acoustic[k[2]] for k in order], pa.bool_()),
    }))  # fmt: skip
    writer.table(
        "adjectives",
        pa.table(
            {
                "word": pa.array(adjectives, pa.string()),
                "acoustic": pa.array([verdicts[w].acoustic for w in adjectives], pa.bool_()),
                "reason": pa.array([verdicts[w].reason for w in adjectives], pa.string()),
            }
        ),
    )
    lost = [v.reason for v in verdicts.values() if v.acoustic is None and not v.reason.startswith(UNCLEAR)]
    writer.notes = {
        "tagger": config.tagger,
        "adjectives": len(acoustic),
        "acoustic_adjectives": sum(acoustic.values()),
        "judge": by,
        "margin": config.margin,
        "unclear": sum(v.acoustic is None for v in verdicts.values()) - len(lost),
        **unanswered(lost),
    }


def _asked(run: Run, words: list[str]) -> dict[str, Verdict]:
    """Return the language model's verdict on each distinct word.

    A word is asked once for all dissections of a cache.
    """
    assert run.cached_llm is not None
    requests = [Question(fill(run.prompts["acoustic_word"], word=word), max_tokens=WORD_TOKENS) for word in words]
    run.cached_llm.fetch("open", requests, len(requests))
    replies = run.cached_llm(requests)
    return {
        w: Verdict(None, r.error or "no answer") if r.text is None else read_verdict(r.text)
        for w, r in zip(words, replies, strict=True)
    }


STAGE = Stage("open", "Finding open concepts", ("calibration", "texts"), open_parameters, open_concepts, reads="named")
