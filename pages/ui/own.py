"""The sound that a user brought into this session: it lives in the session,
and nowhere else unless the user keeps it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.store.files import cache_root, safe_name
from and_core.uploads.sound import KEPT, LONGEST, OwnSound, Reaction, kept_sounds, react, read_sound, value_of
from pages.ui import html

KEY, SOURCES = "own_sound", "own_sources"
TYPES = ["wav", "flac", "ogg", "opus", "mp3", "aif", "aiff", "au", "m4a", "webm", "mp4", "wma"]


@dataclass
class Own:
    """A sound with what each dissection's network made of it."""

    sound: OwnSound
    reactions: dict[str, Reaction]


def bring(sound: OwnSound | None) -> None:
    """Take a sound into the session, or let go of it."""
    if sound is None:
        st.session_state.pop(KEY, None)
    else:
        before: Own | None = st.session_state.get(KEY)
        same = before is not None and before.sound.identity == sound.identity
        st.session_state[KEY] = Own(sound, before.reactions if before is not None and same else {})


def bring_in() -> bool:
    """Draw what a sound comes in by: record, upload, or one that was kept; whether one came just now."""
    left, middle, right = st.columns(3, gap="medium")
    recorded = left.audio_input("Record", sample_rate=16_000)
    uploaded = middle.file_uploader(f"Or upload (at most {LONGEST:.0f} s)", type=TYPES)
    names = kept_sounds(cache_root())
    chosen = right.selectbox("Or one you kept", names, index=None, placeholder="choose") if names else None
    given = {
        "recorded": getattr(recorded, "file_id", None),
        "uploaded": getattr(uploaded, "file_id", None),
        "kept": chosen,
    }
    before = st.session_state.get(SOURCES, {})
    changed = [name for name, mark in given.items() if mark is not None and mark != before.get(name)]
    st.session_state[SOURCES] = given
    try:
        if "kept" in changed and chosen:  # what came last counts
            bring(read_sound((cache_root() / KEPT / f"{safe_name(chosen)}.flac").read_bytes(), chosen))
        elif changed:
            source = uploaded if "uploaded" in changed else recorded
            bring(None if source is None else read_sound(source.getvalue(), source.name))
    except (ANDError, OSError) as error:
        bring(None)
        st.html(html.box(html.empty(f"This sound can't be used: {error}")))
        return False
    return bool(changed)


def brought() -> Own | None:
    """Return the session's sound."""
    return st.session_state.get(KEY)


def reaction(d: Dissection, own: Own) -> Reaction:
    """Return what the dissection's network makes of it, passed once."""
    key = f"{d.name} {d.manifest.stages['activations'].key}"
    if key not in own.reactions:
        own.reactions[key] = react(d, own.sound)
    return own.reactions[key]


def own_value(d: Dissection, neuron: NeuronId) -> float | None:
    """Return the session's sound in a neuron's histogram: its activation, where the sound has been through this
    network."""
    own = brought()
    key = f"{d.name} {d.manifest.stages['activations'].key}"
    return value_of(d, own.reactions[key].activations, neuron) if own is not None and key in own.reactions else None
