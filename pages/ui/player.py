"""The player's pieces: traces over pictures, rows of clips and what can be done with them, sounds made for one session.

`player.html` makes them play; it is one for all pages.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from functools import cached_property
from urllib.parse import quote
from weakref import WeakValueDictionary

import numpy as np
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.audio.decode import resample
from and_core.audio.measures import ANALYSIS_RATE
from and_core.audio.media import flac, read_flac, spectrogram_jpeg
from and_core.records import Clip
from and_core.store.traces import Trace
from pages.ui import html

HELD = 64  # sounds of one session that can be heard
AGAIN = "and-dissect run CONFIG.yaml --only activations --force"
HELD_KEY = "held_sounds"


class HeldSound:
    """A sound that was made for one session: gone when the session is."""

    def __init__(self, data: bytes) -> None:
        self.flac = data

    @cached_property
    def jpg(self) -> bytes:
        """Its spectrogram, drawn when it is first asked for."""
        wave, rate = read_flac(self.flac)
        return spectrogram_jpeg(resample(wave, rate, ANALYSIS_RATE))


_held: WeakValueDictionary[str, HeldSound] = WeakValueDictionary()
_secret = secrets.token_bytes(32)


def held_sound(token: str) -> HeldSound | None:
    """Return a sound by the token in its address, while its session lives."""
    return _held.get(token)


def hold(data: bytes) -> str:
    """Keep a sound for this session, and return its address without the ending; equal sounds have one address."""
    kept: OrderedDict[str, HeldSound] = st.session_state.setdefault(HELD_KEY, OrderedDict())
    own = st.session_state.setdefault("held_secret", secrets.token_bytes(16))
    token = hashlib.blake2b(data, key=_secret, salt=own, digest_size=16).hexdigest()
    if token not in kept:
        kept[token] = _held[token] = HeldSound(data)
    kept.move_to_end(token)
    while len(kept) > HELD:
        kept.popitem(last=False)
    return f"/sounds/{token}"


def sound(wave: np.ndarray, rate: int, name: str, *, low: bool = False, note: str = "") -> str:
    """Return a player of a sound that no dissection holds; `low` for one of many."""
    level = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0, 1e-5))
    attribute = f' data-and-level="{level:.1f}"'
    return flac_sound(flac(wave, rate), len(wave) / rate, name, low=low, note=note, attributes=attribute)


def flac_sound(
    data: bytes, seconds: float, name: str, *, low: bool = False, note: str = "", attributes: str = ""
) -> str:
    """Return a player of a sound that is FLAC already; its picture is as wide as there is room."""
    address, shown = hold(data), html.text(name)
    return (
        f'<div class="and-card and-sound{" low" if low else ""}" data-and-clip="sound" '
        f'data-and-seconds="{seconds:.3f}" data-and-name="{shown}"{attributes}>'
        f'<div class="and-pic"><img src="{address}.jpg" alt="spectrogram of {shown}"><span class="head"></span>'
        f'<button class="and-play" aria-label="play {shown}" title="play">&#9654;</button></div>'
        f'<audio preload="none" src="{address}.flac"></audio><div class="and-body"><div class="and-row">'
        f'<b title="{shown}">{shown}</b><small>{html.text(note or f"{seconds:.1f} s")}</small></div></div></div>'
    )


def trace_line(trace: Trace, low: float, high: float) -> str:
    """Return a trace as a line over a picture, from the lowest to the highest value of all that are shown.

    It is a background, since markup of drawings is taken out of what Streamlit shows.
    """
    share = (trace.values - low) / (high - low) if high > low else np.zeros_like(trace.values)
    last = max(1, len(share) - 1)
    points = " ".join(f"{100 * i / last:.0f},{94 - 88 * v:.0f}" for i, v in enumerate(share.tolist()) if v == v)
    shape = f"<polyline fill='none' stroke-linejoin='round' vector-effect='non-scaling-stroke' points='{points}'"
    drawn = quote(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 100 100' preserveAspectRatio='none'>"
        f"{shape} stroke='#000' stroke-opacity='.5' stroke-width='4'/>"
        f"{shape} stroke='#6fe0ff' stroke-width='1.6'/></svg>",
        safe=" =:/,.-",
    )
    return f'<span class="and-trace" style="background-image:url(&quot;data:image/svg+xml,{drawn}&quot;)"></span>'


class Overlays:
    """What is drawn over the clips of one neuron, and how loud they are.

    Parameters
    ----------
    dissection : Dissection
    neuron : NeuronId
    """

    def __init__(self, dissection: Dissection, neuron: NeuronId) -> None:
        self.dissection = dissection
        self.traces = dissection.traces(neuron)
        every = np.concatenate([t.values for t in self.traces.values()]) if self.traces else np.zeros(1)
        self.low, self.high = (float(v) for v in (np.nanmin(every), np.nanmax(every)))

    def over(self, clip: Clip) -> str:
        """Return what lies over a clip's picture."""
        trace = self.traces.get(clip.index)
        return "" if trace is None else trace_line(trace, self.low, self.high)

    def attributes(self, clip: Clip) -> str:
        """Return attributes of a clip's card: its level, and where the neuron fires."""
        made = level_attribute(self.dissection, clip)
        trace = self.traces.get(clip.index)
        span = trace.stretch(clip.seconds) if trace is not None else None
        return made + (f' data-and-fires="{span[0]:.3f},{span[1]:.3f}"' if span is not None else "")


def level_attribute(d: Dissection, clip: Clip) -> str:
    """Return the attribute of a clip's card that holds its level, for levels to be matched by."""
    level = d.clip_row(clip.index).get("level")
    return f' data-and-level="{level:.1f}"' if isinstance(level, float) and level == level else ""


def group(title: str, cards: str, note: str = "", *, keys: bool = True) -> str:
    """Return a row of clips under its heading, with what can be done with all of them; `keys` on one row of a page."""
    sheet = '<button data-and-do="keys" title="keys (?)">Keys</button>' if keys else ""
    tools = (
        '<span><button data-and-do="all" aria-pressed="false" title="play the clips one after another (P)">Play all'
        f"</button>{sheet}</span>"
    )
    return f'<div class="and-group"><div class="and-tools">{html.heading(title, note)}{tools}</div>{cards}</div>'


def trace_note(d: Dissection, neuron: NeuronId) -> str:
    """Return what the line over the clips is, or why there is none."""
    if not d.has_traces:
        return (
            '<div class="and-tracenote">No activation over time was kept when this network was run. Run '
            f"<code>{html.text(AGAIN)}</code></div>"
        )
    sentence = d.trace_of_layer(neuron.layer)
    if sentence is None:
        return (
            '<div class="and-tracenote">This layer gives one value a clip, so there is no activation over time.</div>'
        )
    return f'<div class="and-tracenote"><i></i>{html.text(sentence)} All clips share one scale.</div>'
