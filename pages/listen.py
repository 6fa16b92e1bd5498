"""The Listen page: a decision taken apart into sounds that can be heard, added and removed, with the prediction after
each."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from and_core import Dissection
from and_core.audio.media import read_flac
from and_core.errors import ANDError
from and_core.figures.catalogue import TABLES
from and_core.figures.listening import FEW
from and_core.listen.decision import component_sound, dissection_listener, interpret, keep_components
from and_core.query.heard import explained_decision, trust, trusted_mode
from pages.ui import html, player
from pages.ui.own import bring_in, brought, reaction
from pages.ui.setup import BOUND, explain, fold, provenance, setup

OWN = "Your sound"
ABOUT = (
    "The network's decision on a clip is taken apart into components: sounds of a learned dictionary, each with its "
    "relevance to the class. Untick a component to hear the clip without it, and to see what the network says then."
)
MOST = 8  # components that are shown
MOST_LISTED = 1_000  # clips that can be chosen from a list
MODES = {
    "post-hoc": "The dissected network decides, and an interpreter reads from inside it which sounds it went by.",
    "by-design": "The interpreter itself decides, so what is heard is what the decision was made from.",
}


def _trust(d: Dissection) -> None:
    """Draw, in one line a mode, how far what is heard can be trusted."""
    lines = []
    for one in trust(d):
        clips = f"{one.clips} clips" + (", which are few" if one.low is None and one.clips < FEW else "")
        claim = {
            True: "What is heard is what decides",
            False: "What is heard is not what decides: take it with care",
            None: "No difference from chance is shown: take it with care",
        }[one.better]
        lines.append(
            f"{claim}. Without the relevant components the class loses "
            f"{100 * one.lost:.0f} points of probability, without random ones of as much energy "
            f"{100 * one.random_lost:.0f} ({clips})."
        )
    if lines:
        shown = "<br>".join(
            f"{html.term(one.mode.capitalize(), 'by-design')}: {html.text(line)}"
            for one, line in zip(trust(d), lines, strict=True)
        )
        st.html(html.box(f"<b>How far to trust it.</b> {shown}"))


def _open_on_the_best(d: Dissection, mode: str) -> None:
    """Choose the decision that the components explain best, where neither the address nor the session names one."""
    asked = {"listen_class", "listen_clip"} & {*st.query_params, *st.session_state}
    best = None if asked else explained_decision(d, mode)
    if best is not None and d.clips[best.clip].labels:
        st.session_state["listen_class"], st.session_state["listen_clip"] = d.clips[best.clip].labels[0], best.clip


def _choose(d: Dissection, left: DeltaGenerator, right: DeltaGenerator) -> tuple[np.ndarray, int, str] | None:
    """Return waveform, rate and name of the sound that is listened to."""
    own = brought()
    kinds = [*d.classes, *(["all"] if any(not c.labels for c in d.clips) else []), *([OWN] if own else [])]
    kind = left.selectbox("Class", kinds, key="listen_class", format_func=lambda s: s.replace("_", " "), **BOUND)
    if kind == OWN and own is not None:
        return own.sound.wave, own.sound.rate, own.sound.name
    clips = [c for c in d.clips if kind in c.labels or kind == "all"]
    held = [c for c in clips if c.trained is False] or clips
    names = {
        c.index: f"{c.name}{'' if c.trained is None else ', trained on' if c.trained else ', never trained on'}"
        for c in (*held, *(c for c in clips if c not in held))
    }
    if len(names) > MOST_LISTED:
        chosen = str(st.session_state.get("listen_clip", st.query_params.get("listen_clip")))
        names = {i: name for place, (i, name) in enumerate(names.items()) if place < MOST_LISTED or str(i) == chosen}
        right.caption(f"The first {MOST_LISTED:,} of {len(clips):,} clips; an address names any: listen_clip.")
    index = right.selectbox("Clip", list(names), key="listen_clip", format_func=names.__getitem__, **BOUND)
    if index is None:
        return None
    wave, rate = read_flac(d.audio(index))
    return wave, rate, d.clips[index].name


@st.cache_data(max_entries=16, show_spinner="Taking the decision apart")
def _found(_d: Dissection, key: str, identity: str, _wave: np.ndarray, rate: int, mode: str, shown: int | None) -> Any:
    return interpret(_d, _wave, rate, mode, shown)


def _top(values: np.ndarray, classes: list[str], count: int = 3) -> str:
    return ", ".join(f"{classes[i].replace('_', ' ')} {values[i]:.0%}" for i in np.argsort(-values)[:count])


def _apart(d: Dissection) -> None:
    mode = st.segmented_control(
        "Mode",
        d.listener_modes,
        default=trusted_mode(d),
        key="mode",
        required=True,
        help=" ".join(f"{k}: {v}" for k, v in MODES.items()),
        **BOUND,
    )
    _open_on_the_best(d, str(mode))
    with fold("Bring a sound of your own", "bring_own"):
        if bring_in() and (own := brought()) is not None:
            st.session_state["listen_class"] = OWN
            reaction(d, own)  # its line in the neurons' histograms
        st.html(
            html.empty("It stays in this session: nothing is stored. The page Your sound tells which neurons it moves.")
        )
    left, middle, right = st.columns([1, 2, 1])
    chosen, own = _choose(d, left, middle), brought()
    if chosen is None:
        return
    wave, rate, name = chosen
    listener = dissection_listener(d, mode or "post-hoc")
    classes = listener.target.classes or [f"class {i}" for i in range(int(listener.interpreter.theta.shape[0]))]
    shown = right.selectbox(
        "Explain",
        [None, *range(len(classes))],
        format_func=lambda i: "the predicted class" if i is None else classes[i].replace("_", " "),
        key="shown_class",
    )
    if own is not None and wave is own.sound.wave:
        decision = interpret(
            d, wave, rate, mode or "post-hoc", shown
        )  # a user's own sound is in no cache that outlives the session
    else:
        decision = _found(
            d, d.manifest.stages["listening"].key, f"{d.name} {name}", wave, rate, mode or "post-hoc", shown
        )
    p = decision.probabilities
    heard = len(decision.wave) / listener.target.sample_rate
    st.html(
        html.heading(
            name,
            f"the first {heard:.1f} s are heard" if len(wave) / rate > heard + 0.05 else f"{len(wave) / rate:.1f} s",
        )
    )
    st.html(
        html.box(
            f"The network says <b>{html.text(_top(p, classes))}</b>. Below is explained why it says "
            f"<b>{html.text(classes[decision.shown].replace('_', ' '))}</b>."
        )
    )
    if decision.remark:
        st.html(html.box(html.empty(f"{decision.remark[:1].upper()}{decision.remark[1:]}.")))
        st.html(player.sound(decision.wave, listener.target.sample_rate, name))
        return
    tau = float(d.listening_report["tau"][0])
    _components(d, decision, classes, tau, mode or "post-hoc", listener.target.sample_rate)


def _components(d: Dissection, decision: Any, classes: list[str], tau: float, mode: str, rate: int) -> None:
    most = max(MOST, int((decision.relevance > tau).sum()))
    order = [int(k) for k in np.argsort(-decision.relevance)[:most] if decision.relevance[k] > 0]
    kept = []
    left, right = st.columns([1.3, 1], gap="medium")
    with left:
        st.html(
            html.heading("Components by relevance", f"ticked: above \u03c4 = {tau:g}", "relevance", "tau-relevance")
        )
        for k in order:
            row = st.columns([1.2, 1, 3], vertical_alignment="center")
            if row[0].checkbox(
                f"component {k}",
                value=bool(decision.relevance[k] > tau),
                key=f"keep {mode} {hash(decision.wave.tobytes())} {decision.shown} {k}",
            ):
                kept.append(k)
            relevance = float(decision.relevance[k])
            bar = f'<i class="high" style="width:{100 * max(0.0, relevance):.0f}%"></i>'
            row[1].html(f'<div class="and-bar">{bar}</div>{relevance:.2f}')
            row[2].html(player.sound(component_sound(d, decision, k, mode), rate, f"component {k}", low=True))
    with right:
        result = keep_components(d, decision, kept, mode)
        st.html(html.heading("What you hear", f"{len(kept)} of {len(decision.relevance)} components are kept"))
        heard = [
            ("The clip", decision.wave, decision.probabilities),
            ("What is kept: the interpretation", result.kept, result.kept_probabilities),
        ]
        cards = ""
        for label, sound, sentence in (*heard, ("What is left", result.left, result.left_probabilities)):
            cards += player.sound(sound, rate, label, note=_top(sentence, classes))
        st.html(f'<div class="and-group">{cards}</div>')
        c = decision.shown
        p, kept_p, left_p = (
            values[c] for values in (decision.probabilities, result.kept_probabilities, result.left_probabilities)
        )
        sentence = (
            f"{classes[c].replace('_', ' ')}: {p:.0%} on the clip, {kept_p:.0%} on what is kept, {left_p:.0%} on "
            "what is left."
        )
        st.html(html.empty(sentence))
        _one_by_one(d, decision, order, classes, mode)


def _one_by_one(d: Dissection, decision: Any, order: list[int], classes: list[str], mode: str) -> None:
    with fold("Added one by one, removed one by one", "one_by_one"):
        c = decision.shown
        cells = []
        for count in range(1, len(order) + 1):
            after = keep_components(d, decision, order[:count], mode)
            cells.append(
                {
                    "components": str(count),
                    "added last": str(order[count - 1]),
                    "kept alone says": _top(after.kept_probabilities, classes, 1),
                    "class, kept": f"{after.kept_probabilities[c]:.0%}",
                    "class, left": f"{after.left_probabilities[c]:.0%}",
                }
            )
        st.html(html.box(html.plain_table(cells)))


def _measured(d: Dissection) -> None:
    measured = fold("How faithful this is, measured", "faithful")
    if measured.open:
        for part in TABLES["listening"](d).parts:
            measured.html(html.heading(part.title) + html.box(html.plain_table(part.cells) + html.empty(part.note)))


def page() -> None:
    """Draw the page."""
    d = setup("Listen")
    st.html('<h1 class="and">Listen</h1>')
    provenance(d)
    try:
        if not d.has("listening"):
            st.html(
                html.box(
                    html.empty(
                        "No listener has been trained for this network yet. Add listening: {} to the configuration "
                        "and run",
                        "and-dissect run CONFIG.yaml",
                    )
                )
            )
            return
        st.html(html.note(ABOUT, "component", "dictionary", "relevance"))
        _trust(d)
        _apart(d)
        _measured(d)
    except ANDError as error:
        explain(error)


page()
