"""Choosing an ablation: every setting stands in the address, so that a link opens the same view again."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from and_core import Dissection
from and_core.errors import ConfigError
from and_core.unlearn.request import CRITERIA, HOW, PAPER_SHARE, SEEDS, STRATEGIES, AblationRequest, make_request
from and_core.unlearn.selection import adjectives
from pages.ui.setup import BOUND, fold
from pages.ui.terms import meaning

ABOUT = {
    "OCP": "Open-concept pruning takes the neurons whose calibrated summary names the concept by a noun.",
    "DB": "Takes the neurons that have the concept among their best closed concepts by captions.",
    "TAB": "Takes the neurons that have the concept among their best closed concepts by sound.",
    "adjective": "Takes the neurons whose open concepts hold the adjective.",
    "criterion": "Takes the neurons whose calibrated summaries have most of one kind of word.",
    "random": "Takes any hidden neurons at random; the paper takes 3,000 of AST's 55,296.",
    "list": "Takes the neurons of your own list.",
}
HELP_HOW = "weights: row and bias to zero, as the paper; mean, zero: the activation is patched instead"


def choose_request(d: Dissection) -> AblationRequest:
    """Draw the widgets for one ablation."""
    concepts = d.concept_set
    asked = st.selectbox("Concept to unlearn", concepts, key="concept", **BOUND)
    strategy = st.selectbox(
        "Neurons chosen by", STRATEGIES, key="strategy", help=" ".join(f"{k}: {v}" for k, v in ABOUT.items()), **BOUND
    )
    st.caption(ABOUT[strategy])
    seen = bool(st.session_state.get("seen"))
    options = _options(d, strategy, seen)
    dose = st.slider("Share of the chosen neurons, %", 0, 100, 100, 5, key="dose", help=meaning("dose"), **BOUND)
    with fold("How", "how_open"):
        how = st.selectbox("Ablate by", HOW, key="how", help=HELP_HOW, **BOUND)
        seen = st.toggle(
            "choose on the tested clips too",
            key="seen",
            help="off: neurons are chosen from explanations that never saw the tested clips",
            **BOUND,
        )
    return make_request(
        concept=asked, strategy=strategy, dose=dose / 100, how=how, choose_on="all" if seen else "others", **options
    )


def _options(d: Dissection, strategy: str, seen: bool) -> dict:
    if strategy in ("DB", "TAB"):
        return {"top": st.number_input("Among its top", 1, 10, 3, key="top", **BOUND)}
    if strategy == "OCP":
        substring = st.toggle(
            "match substrings",
            key="substring",
            help="as the reference implementation does: 'in' or 's' match too",
            **BOUND,
        )
        if substring:
            return {"substring": True}
        shared = st.toggle(
            "leave out shared words",
            key="leave_shared",
            help="words that name several concepts: bird, wood, clock, water",
            **BOUND,
        )
        synonyms = st.toggle(
            "count synonyms",
            key="with_synonyms",
            help="nouns whose embedding lies close to the concept's name",
            **BOUND,
        )
        least = st.slider("Least cosine similarity", 0.4, 1.0, 0.6, 0.05, key="synonyms", **BOUND) if synonyms else None
        return {"leave_shared": shared, "synonyms": least}
    if strategy == "adjective":
        words = adjectives(d, seen)
        return {"adjective": st.selectbox("Adjective", words, key="adjective", **BOUND) or ""} if words else {}
    if strategy == "criterion":
        criterion = st.selectbox(
            "Most",
            CRITERIA,
            key="criterion",
            help="basic: high-pitched, high-quality, clear, loud; high-level: all others",
            **BOUND,
        )
        return {"criterion": criterion, "share": _share()}
    if strategy == "random":
        return {"share": _share(), "seed": int(st.number_input("Seed", 0, 999_999, SEEDS[0], key="seed", **BOUND))}
    typed = st.text_input(
        "Neurons, most important first", key="neurons", placeholder="layer2_intermediate/412 layer3_output/7", **BOUND
    )
    return {"neurons": tuple(typed.replace(",", " ").split())}


def _share() -> float:
    percent = st.number_input(
        "Share of hidden neurons, %", 0.1, 100.0, round(100 * PAPER_SHARE, 1), 0.5, key="share", **BOUND
    )
    return percent / 100


def address(dissection: str, request: AblationRequest) -> str:
    """Query of the page that shows a request: the widgets' keys, defaults left out."""
    settled = request.settled()
    plain = AblationRequest(strategy=request.strategy)
    values = {
        name: value
        for name, value in settled.items()
        if value != getattr(plain, name) and name not in ("dose", "choose_on", "share", "neurons")
    }
    values |= {"dissection": dissection, "concept": request.concept, "strategy": request.strategy}
    if request.dose < 1:
        values["dose"] = round(100 * request.dose)
    if request.choose_on == "all":
        values["seen"] = "true"
    if "share" in settled:
        values["share"] = round(100 * request.share, 4)
    if "neurons" in settled:
        values["neurons"] = " ".join(request.neurons)
    if "synonyms" in values:
        values["with_synonyms"] = "true"
    return urlencode({name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()})


def request_of(query: str) -> AblationRequest:
    """Return the request that an address shows, as :func:`address` writes it.

    Raises
    ------
    ConfigError
        With the setting, its value and what is allowed.
    """
    given = dict(parse_qsl(query))
    settings: dict[str, Any] = {name: value for name, value in given.items() if name in AblationRequest.model_fields}
    for name in ("dose", "share"):
        if name in settings:
            settings[name] = _number(name, settings[name]) / 100
    if "neurons" in settings:
        settings["neurons"] = tuple(settings["neurons"].replace(",", " ").split())
    return make_request(**settings, choose_on="all" if given.get("seen") == "true" else "others")


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{name}={text[:80]!r} is no number; per cent from 0 to 100 are allowed") from None
