"""The Your sound page: record or upload.

What the network takes it for, which neurons fire unusually, what unlearning changes.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.store.files import cache_root
from and_core.uploads.sound import Reaction, forget, keep, unusual, without_concept
from pages.ui import html, player, scores
from pages.ui.explorer import neuron_button
from pages.ui.own import SOURCES, Own, bring, bring_in, brought, reaction
from pages.ui.setup import explain, fold, provenance, setup

ABOUT = (
    "These neurons lie furthest above their mean over the probing clips, in standard deviations (SD). Each links to "
    "its page, where this sound stands in the histogram."
)


def _keep(own: Own) -> None:
    with fold("Keep this sound", "keep_sound"):
        st.html(
            html.empty(
                "Nothing is stored unless you keep it here. It then lies in the cache, where everybody who opens this "
                "dashboard can hear and delete it."
            )
        )
        name = st.text_input("Name", key="keep_name")
        first, second = st.columns(2)
        if first.button("Keep", disabled=not name):
            try:
                keep(cache_root(), own.sound, name)
                st.success(f"Kept as {name}.")
            except ANDError as error:
                explain(error)
        if own.sound.name == st.session_state.get(SOURCES, {}).get("kept") and second.button(
            f"Delete {own.sound.name}"
        ):
            forget(cache_root(), own.sound.name)
            bring(None)
            st.rerun()


def _prediction(response: Reaction) -> None:
    if response.probabilities is None:
        st.html(html.empty("This network has no classifier, so it takes the sound for nothing in particular."))
        return
    order = response.probabilities.argsort()[::-1][:5]
    cells = [
        {"class": response.classes[i].replace("_", " "), "probability": f"{response.probabilities[i]:.1%}"}
        for i in order
    ]
    st.html(html.heading("The network takes it for") + html.box(html.plain_table(cells)))


def _neurons(d: Dissection, response: Reaction) -> None:
    st.html(html.heading("Neurons that fire unusually", "of the hidden layers", "activation"))
    rows = unusual(d, response.activations)
    for i, row in enumerate(rows):
        neuron = row["neuron"]
        line = (
            scores.sentence(d.headline(neuron)) + scores.verdict(d.headline(neuron))
            if d.has("explanations")
            else html.text("It is not explained yet.")
        )
        with st.container(border=True, gap=None, key=f"unusual_{i}"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                neuron_button(str(neuron), d.name, neuron, f"open_{i}")  # within the session: the sound comes along
                st.html(
                    html.empty(
                        f"{row['activation']:+.2f}, {row['deviations']:+.1f} SD, above {row['below']:.0%} of the "
                        "probing clips"
                    ),
                    width="content",
                )
            st.html(f'<div class="and-told">{line}</div>')
    frame = pd.DataFrame([{**row, "neuron": str(row["neuron"])} for row in rows])
    st.download_button("Unusual neurons (CSV)", csv_text(frame).encode(), "unusual.csv", "text/csv", on_click="ignore")


def _unlearned(d: Dissection, own: Own, response: Reaction) -> None:
    st.html(html.heading("When a concept is unlearned"))
    if response.probabilities is None or not d.has("split"):
        st.html(
            html.empty(
                "Needs a classifier, and explanations that never saw the tested clips. Add unlearning: {} to the "
                "configuration and run",
                "and-dissect run CONFIG.yaml",
            )
        )
        return
    concept = st.selectbox(
        "Concept", d.explained_concepts, index=None, placeholder="choose a concept to unlearn", key="own_concept"
    )
    if not concept:
        return
    after, count = without_concept(d, own.sound, concept)
    before = response.probabilities
    assert before is not None  # there is no concept to choose where the network has no classifier
    change = after - before
    order = sorted(range(len(change)), key=lambda i: -max(before[i], after[i]))[:5]
    cells = [
        {
            "class": response.classes[i].replace("_", " "),
            "before": f"{response.probabilities[i]:.1%}",
            "after": f"{after[i]:.1%}",
            "change": f"{100 * change[i]:+.1f} points",
        }
        for i in order
    ]
    st.html(
        html.box(html.plain_table(cells))
        + html.empty(
            f"{count} neurons that DB names {concept.replace('_', ' ')} are silenced, as on the Unlearning page."
        )
    )


def page() -> None:
    """Draw the page."""
    d = setup("Your sound")
    st.html('<h1 class="and">Your sound</h1>')
    provenance(d)
    bring_in()
    own = brought()
    if own is None:
        st.html(
            html.empty(
                "Record or upload a sound, and see what the network makes of it. It stays in this session: nothing is "
                "stored."
            )
        )
        return
    try:
        response = reaction(d, own)
        seconds = len(own.sound.wave) / own.sound.rate
        st.html(
            html.heading(
                own.sound.name,
                f"{seconds:.1f} s"
                + (f", of which the network hears {response.heard:.1f} s" if response.heard < seconds - 0.05 else ""),
            )
        )
        st.html(player.sound(own.sound.wave, own.sound.rate, own.sound.name))
        left, right = st.columns([1.6, 1], gap="medium")
        with right:
            _prediction(response)
            _unlearned(d, own, response)
            _keep(own)
        with left:
            _neurons(d, response)
    except ANDError as error:
        explain(error)


page()
