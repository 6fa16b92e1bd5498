"""The sound that a user brought into this session: it lives in the session, and nowhere else unless the user keeps it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.listen.own import OwnSound, Reaction, react, value_of

KEY = "own_sound"


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
        before = st.session_state.get(KEY)
        same = before is not None and before.sound.identity == sound.identity
        st.session_state[KEY] = Own(sound, before.reactions if same else {})


def brought() -> Own | None:
    """The session's sound."""
    return st.session_state.get(KEY)


def reaction(d: Dissection, own: Own) -> Reaction:
    """What the dissection's network makes of it, passed once."""
    key = f"{d.name} {d.manifest.stages['activations'].key}"
    if key not in own.reactions:
        own.reactions[key] = react(d, own.sound)
    return own.reactions[key]


def own_value(d: Dissection, neuron: NeuronId) -> float | None:
    """The session's sound in a neuron's histogram: its activation, where the sound has been through this network."""
    own = brought()
    key = f"{d.name} {d.manifest.stages['activations'].key}"
    return value_of(d, own.reactions[key].activations, neuron) if own is not None and key in own.reactions else None
