"""From a language model's answer to the points of a summary (AND section 3): chat removed, fragments dropped."""

from __future__ import annotations

import re

GREETING = r"sure|certainly|of course|okay|ok|hello(?: there)?|hi(?: there)?|hey|thanks|thank you|great|absolutely"
FILLER = re.compile(
    rf"^(?:(?:{GREETING})\s*[,.!:]|(?:{GREETING})$|(?:here(?:'s| is| are)|below (?:is|are)|the following "
    r"(?:is|are|points)|let me|please|feel free|"
    r"as an ai|if you (?:need|have|want|would)|i (?:hope|can|will|would|am happy|have "
    r"(?:analy[sz]ed|summari[sz]ed))|i'(?:ll|d|m|ve))\b|"
    r"(?:based on|from|in) (?:the|these|your|this)\b[^.]*\b(?:as follows|follow|following|here (?:is|are))\b|"
    r"(?:the )?(?:common (?:points|features|elements)|commonalities)\b[^.]*(?::|\bas follows\.?|\bare\.?)$)",
    re.IGNORECASE,
)
CHAT = re.compile(
    r"\b(?:let me know|feel free|hope (?:this|that) helps|happy to help|any (?:other|further|more) "
    r"(?:questions?|information))\b",
    re.IGNORECASE,
)
MARK = re.compile(r"^\s*(?:[-*\u2022\u2013#>]+|\(?\d{1,2}[.):]|\(?[a-z][.)])\s+", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]?\s+(?=[\"'(\[]?[A-Z0-9])")
LEAST_WORDS = 6


def clean_points(answer: str, cut: bool = False) -> list[str]:
    """Return points of an answer.

    Parameters
    ----------
    answer : str
        What the model said: every line is split into its sentences, so that a list without full stops comes apart as
        well.
    cut : bool
        The answer ran into its limit: a last sentence without an end is left out.

    Returns
    -------
    list of str
        Distinct points of at least six words, greetings and other chat left out.
    """
    lines = [MARK.sub("", line).replace("**", "").strip() for line in answer.splitlines()]
    lines = [line for line in lines if line]
    if cut and lines and not lines[-1].endswith((".", "!", "?")):
        lines[-1] = " ".join(SENTENCE.split(lines[-1])[:-1])
    sentences = [s.strip() for line in lines for s in SENTENCE.split(line)]
    points: dict[str, None] = {}
    for part in sentences:
        text = " ".join(part.split())
        if (
            len(text.split()) >= LEAST_WORDS
            and not FILLER.match(text)
            and not CHAT.search(text)
            and not text.endswith(":")
        ):
            points.setdefault(text)
    return list(points)
