"""Pieces of HTML. Every text that comes from data goes through :func:`text`; nothing else makes markup of it."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, urlencode

from and_core import display
from and_core.records import Clip, Concept, NeuronId, Point, Side, TopClip
from and_core.store.headline import SURE
from pages.ui import terms

STEPS, FULL, EMPTY = 10, "\u25ae", "\u25af"  # of a meter in characters
COPY_LINK = '<button class="and-copylink" data-and-copy="1" title="copy the address of this view">Copy link</button>'

JUMP = '<button class="and-jump" data-and-jump="1" aria-haspopup="dialog">Jump to anything <kbd>Ctrl K</kbd></button>'

SCHEMES = ("system", "light", "dark")
THEME = (
    '<div class="and-theme" role="radiogroup" aria-label="Theme">'
    + "".join(
        f'<button role="radio" aria-checked="false" data-and-scheme="{scheme}">{scheme.capitalize()}</button>'
        for scheme in SCHEMES
    )
    + "</div>"
)


def place(**names: object) -> str:
    """Return a mark of what is shown, for an address that leaves nothing to defaults."""
    return f'<i hidden data-and-place="{text(urlencode(names))}"></i>'


def text(value: object) -> str:
    """Escape for element content and attributes alike."""
    return html.escape("" if value is None else display.visible(value), quote=True)


def heading(title: str, note: str = "", *anchors: str) -> str:
    """Return small heading with a note on the right; terms of the glossary, by their anchors, are explained."""
    return f'<h2 class="and-h"><span>{explained(title, *anchors)}</span><small>{explained(note, *anchors)}</small></h2>'


@lru_cache(maxsize=1024)
def explained(sentence: str, *anchors: str) -> str:
    """Return a sentence whose terms of the glossary are explained on hover and focus, each where it first stands."""
    marks: list[str] = []
    markup = text(sentence)
    for entry in filter(None, map(terms.term, anchors)):
        names = sorted((re.escape(text(name)) for name in entry.names), key=len, reverse=True)

        def mark(match: re.Match[str], means: str = entry.text) -> str:
            marks.append(_term(match[0], means))
            return f"\0{len(marks) - 1}\0"  # put in at the end: nothing inside an explanation is explained

        markup = re.sub(rf"(?<!\w)(?:{'|'.join(names)})s?(?!\w)", mark, markup, count=1, flags=re.IGNORECASE)
    return re.sub("\0(\\d+)\0", lambda match: marks[int(match[1])], markup)


def term(label: str, anchor: str) -> str:
    """Return words that stand for a term of the glossary, explained on hover and focus."""
    entry = terms.term(anchor)
    return text(label) if entry is None else _term(text(label), entry.text)


def _term(markup: str, means: str) -> str:
    return f'<span class="and-term" tabindex="0" data-and-means="{text(means)}">{markup}</span>'


def note(sentence: str, *anchors: str) -> str:
    """Return a sentence beside a figure, with terms of the glossary explained."""
    return f'<div class="and-empty">{explained(sentence, *anchors)}</div>'


def meter(probability: float | None) -> str:
    """Return how sure a statement is, as a small bar with its number: blue from :data:`SURE` on, where it may be said
    without reserve; grey below; empty where no probability can be told."""
    if probability is None:
        return '<span class="and-meter" role="img" aria-label="probability not known"></span>'
    kind = "sure" if probability >= SURE else "unsure"
    return (
        f'<span class="and-meter {kind}" role="img" aria-label="probability {probability:.2f}">'
        f'<i style="width:{100 * probability:.0f}%"></i></span>'
        f'<b class="and-p" aria-hidden="true">{points_of(probability)}</b>'
    )


def meter_text(probability: float | None) -> str:
    """Return :func:`meter` where only characters can stand, as in the hover of a chart."""
    if probability is None or probability != probability:
        return ""
    full = int(STEPS * probability + 1e-6)
    return f"{FULL * full}{EMPTY * (STEPS - full)} {points_of(probability)}"


def points_of(probability: float) -> str:
    """Return a probability as it is written everywhere: .94, and 1 only where it is 1."""
    return f"{min(probability, 0.99) if probability < 1 else 1:.2f}".removeprefix("0")


def about(neuron: NeuronId, inner: str) -> str:
    """Mark what is said as being of one neuron, so that a whole view can be told from one still changing."""
    return f'<div data-and-neuron="{text(neuron)}">{inner}</div>'


def empty(sentence: str, command: str = "") -> str:
    """Return plain sentence for what is not there, with the command that makes it."""
    code = f" <code>{text(command)}</code>" if command else ""
    return f'<div class="and-empty">{text(sentence)}{code}</div>'


def box(inner: str) -> str:
    """Return white box with a hairline."""
    return f'<div class="and-box">{inner}</div>'


def card(
    top: TopClip,
    side: Side,
    share: float,
    audio: str,
    picture: str | None,
    details: Sequence[str],
    *,
    over: str = "",
    attributes: str = "",
) -> str:
    """Return one clip to see and hear; `share` is the length of its activation bar, 0 to 1.

    `over` is markup that lies over the picture, `attributes` markup of the card's own, for the player.
    """
    clip = top.clip
    name = clip.label.replace("_", " ") if clip.label else clip.name
    trained = {True: "train", False: "test", None: ""}[clip.trained]
    tag = (
        f'<span class="and-tag" title="whether the network was trained on this clip">{trained}</span>'
        if trained
        else ""
    )
    image = f'<img src="{text(picture)}" alt="spectrogram of {text(clip.name)}" loading="lazy">' if picture else ""
    caption = text(top.caption) if top.caption else '<span class="and-empty">no caption</span>'
    more = "".join(f"<p>{text(line)}</p>" for line in details)
    return (
        f'<div class="and-card{"" if picture else " and-nopic"}" data-and-clip="{clip.index}" '
        f'data-and-seconds="{clip.seconds:.3f}"{attributes}>'
        f'<div class="and-pic">{image}{over}<span class="head"></span><span class="rank">{top.rank}</span>'
        f'<button class="and-play" aria-label="play clip {top.rank}, {text(name)}" title="play">&#9654;</button></div>'
        f'<audio preload="none" src="{text(audio)}"></audio>'
        f'<div class="and-body"><div class="and-row"><b title="{text(clip.name)}">{text(name)}</b>{tag}'
        f'<span class="and-{side}" title="activation, in the network\'s own unit">{top.activation:+.2f}</span></div>'
        f'<div class="and-bar"><i class="{side}" style="width:{100 * share:.0f}%"></i></div>'
        f"<details><summary>{caption}</summary>{more}</details></div></div>"
    )


def clip_card(clip: Clip, caption: str | None, audio: str, picture: str) -> str:
    """Return one clip to hear, with its caption."""
    shown_caption = text(caption) if caption else '<span class="and-empty">no caption</span>'
    return _clip(clip, audio, picture, f"<details><summary>{shown_caption}</summary></details>")


def _clip(clip: Clip, audio: str, picture: str, body: str, attributes: str = "") -> str:
    """Return a card with spectrogram, player and name; `body` is markup."""
    name = clip.label.replace("_", " ") if clip.label else clip.name
    return (
        f'<div class="and-card" data-and-clip="{clip.index}" data-and-seconds="{clip.seconds:.3f}"{attributes}>'
        f'<div class="and-pic"><img src="{text(picture)}" alt="spectrogram of {text(clip.name)}" loading="lazy"><span '
        'class="head"></span>'
        f'<button class="and-play" aria-label="play {text(name)}, {text(clip.name)}" '
        'title="play">&#9654;</button></div>'
        f'<audio preload="none" src="{text(audio)}"></audio><div class="and-body"><div class="and-row"><b '
        f'title="{text(clip.name)}">{text(name)}</b></div>'
        f"{body}</div></div>"
    )


def part_card(top: TopClip, parts: Sequence[tuple[str, str]], picture: str, hz: float) -> str:
    """Return one high clip with the sounds it falls into, each to hear, over a picture of where the neuron fires.

    `parts` are (name, address); frequency runs evenly up to `hz` in the picture.
    """
    name = top.clip.label.replace("_", " ") if top.clip.label else top.clip.name
    players = "".join(
        f'<div class="and-part" data-and-clip="{top.clip.index}" data-and-seconds="{top.clip.seconds:.3f}" '
        f'data-and-hz="{hz:.0f}"><button class="and-play" '
        f'aria-label="play {text(what)} of clip {top.rank}, {text(name)}" title="play {text(what)}">&#9654;</button>'
        f'<audio preload="none" src="{text(address)}"></audio><span>{text(what)}</span></div>'
        for what, address in parts
    )
    return (
        f'<div class="and-card"><div class="and-pic"><img src="{text(picture)}" alt="where the neuron fires in '
        f'{text(top.clip.name)}" loading="lazy">'
        f'<span class="rank">{top.rank}</span><span class="head"></span></div>'
        f'<div class="and-body"><div class="and-row"><b title="{text(top.clip.name)}">{text(name)}</b></div>'
        f'<div class="and-parts">{players}</div></div></div>'
    )


def verdict_card(
    clip: Clip,
    before: tuple[str, float],
    after: tuple[str, float],
    right: tuple[bool, bool],
    audio: str,
    picture: str,
    attributes: str = "",
) -> str:
    """Return one tested clip to hear, with what the network took it for before and after, and whether it was right."""
    predictions = [f"{what[0].replace('_', ' ')} {what[1]:.0%}" for what in (before, after)]
    kind = "" if right[0] == right[1] else " and-high" if right[1] else " and-low"
    lines = (
        f'<div class="and-verdict"><span>before</span> {text(predictions[0])}</div><div '
        f'class="and-verdict{kind}"><span>after</span> {text(predictions[1])}</div>'
    )
    return _clip(clip, audio, picture, lines, attributes)


def figures(items: Sequence[tuple[str, str, str]], *anchors: str) -> str:
    """Return figures in a row: name, value, and what stands beside it; terms of the glossary in names are explained."""
    cells = "".join(
        f"<div><span>{explained(name, *anchors)}</span><b>{text(value)}</b><small>{text(beside)}</small></div>"
        for name, value, beside in items
    )
    return f'<div class="and-figures">{cells}</div>'


def points(summary: Sequence[Point]) -> str:
    """Return calibrated summary: kept points, and dropped ones struck through with the reason."""
    items = []
    for p in summary:
        line = f"{p.reach}{text(p.text)}"
        if p.kept:
            items.append(f"<li>{line}</li>")
        else:
            items.append(
                f'<li><s>{line}</s><span class="why">also in the lowest clips: &ldquo;{text(p.removed_by)}&rdquo;, '
                f"{p.similarity:.2f}</span></li>"
            )
    return f"<ul>{''.join(items)}</ul>"


LONG = 20  # letters of a word, from which it may be broken


def cell(value: str) -> str:
    """Return a cell of a table; only a word of many letters may be broken, so that none pushes the table over its
    box."""
    broken = ' class="long"' if any(len(word) > LONG for word in value.split()) else ""
    return f"<td{broken}>{text(value)}</td>"


def concept_table(columns: dict[str, Sequence[Concept]], named: Sequence[str] | None = None, rows: int = 5) -> str:
    """Return ranked concepts side by side: scored ones of one or more methods, and names alone of a method that only
    ranks."""
    head = "".join(f'<th>{explained(name, "db", "tab")}</th><th class="n">score</th>' for name in columns) + (
        f"<th>{term('ICL', 'icl')}</th>" if named is not None else ""
    )
    lines = []
    for i in range(min(rows, max([len(c) for c in columns.values()] + [len(named or [])], default=0))):
        cells = [
            f'{cell(c[i].name.replace("_", " "))}<td class="n">{c[i].score:.2f}</td>'
            if i < len(c)
            else "<td></td><td></td>"
            for c in columns.values()
        ]
        if named is not None:
            cells.append(cell(named[i].replace("_", " ") if i < len(named) else ""))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def plain_table(rows: Sequence[dict[str, str]], *anchors: str) -> str:
    """Return rows of texts as they stand; terms of the glossary in the head are explained."""
    head = "".join(f"<th>{explained(name, *anchors)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(cell(str(value)) for value in row.values()) + "</tr>" for row in rows)
    reached = 'tabindex="0" role="group" aria-label="table"'  # by keys, to be scrolled where it is wider than the page
    return f'<div class="and-scroll" {reached}><table><tr>{head}</tr>{body}</table></div>'


def markdown(value: object) -> str:
    """Escape for labels of widgets, which read Markdown: nothing of the text is taken for markup."""
    return display.markdown(value)


def neuron_link(dissection: str, neuron: NeuronId) -> str:
    """Return the address of a neuron's page."""
    return f"/neurons?dissection={quote(dissection)}&layer={quote(neuron.layer)}&unit={neuron.unit}"


def word_cloud(words: Sequence[tuple[str, float]]) -> str:
    """Return words in the sizes of their weights, the largest first."""
    most = max((weight for _, weight in words), default=1.0)
    sizes = [(word, 13 + 19 * (weight / most) ** 0.5) for word, weight in words]
    spans = "".join(f'<span style="font-size:{size:.0f}px">{text(word)}</span>' for word, size in sizes)
    return f'<div class="and-cloud">{spans}</div>'


def chips(words: Sequence[str], dissection: str) -> str:
    """Return adjectives as chips, each a link to the neurons called so."""
    address = f"/concepts?dissection={quote(dissection)}&from=adjective&chosen_adjective="
    return "".join(
        f'<a class="and-chip" href="{text(address + quote(w))}" target="_self" title="neurons called so">{text(w)}</a>'
        for w in words
    )
