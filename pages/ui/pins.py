"""Ablations side by side: up to three, pinned to the address, each with its figures, its change by class and one clip
before and after."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import numpy as np
import streamlit as st

from and_core import Dissection
from and_core.errors import ANDError
from and_core.figures.class_changes import most_changed, span_of
from and_core.figures.theme import EXPORT
from and_core.unlearn.request import AblationRequest
from and_core.unlearn.result import Result
from and_core.unlearn.runs import TestedClips, read_split
from and_core.unlearn.selection import select_neurons
from pages.ui import html
from pages.ui.ablation import address, request_of
from pages.ui.ablation_result import cards, number
from pages.ui.runs import run_or_result

MOST, PIN = 3, "pin"


def pinned() -> list[str]:
    """Return the pinned ablations, as their addresses say them."""
    return list(dict.fromkeys(st.query_params.get_all(PIN)))[:MOST]


def pin_of(request: AblationRequest) -> str:
    """Return how a request stands among the pinned ones."""
    return urlencode([pair for pair in parse_qsl(address("", request)) if pair[0] != "dissection"])


def _set(pins: list[str]) -> None:
    if pins:
        st.query_params[PIN] = pins
    else:
        st.query_params.pop(PIN, None)


def offer(request: AblationRequest) -> None:
    """Draw the button that pins the result at hand, or takes it off."""
    pins, own = pinned(), pin_of(request)
    if own in pins:
        st.button("Unpin", key="pin", on_click=_set, args=([pin for pin in pins if pin != own],))
        return
    full = len(pins) >= MOST
    about = f"{MOST} are pinned; unpin one of them first" if full else "below, beside other strategies, concepts, doses"
    st.button("Pin side by side", key="pin", on_click=_set, args=([*pins, own],), disabled=full, help=about)


def draw(d: Dissection) -> None:
    """Draw the pinned ablations in columns."""
    pins = pinned()
    if not pins:
        return
    st.html(html.heading("Pinned, side by side", f"{len(pins)} of at most {MOST}; they stand in the address"))
    split, shown = read_split(d), []
    for place, (column, pin) in enumerate(zip(st.columns(MOST, gap="medium"), pins, strict=False)):
        others = [other for other in pins if other != pin]
        with column:
            body = st.container()
            st.button("Unpin", key=f"unpin_{place}", on_click=_set, args=(others,))
            try:
                with body:
                    result = _one(d, pin, place, others)
            except ANDError as error:
                body.html(html.box(html.empty(str(error))))
                continue
        if result is not None:
            shown.append((body, place, result))
    unit = st.session_state.get("unit_of_change") or "logits"
    changes = [result.by_class[0, int(unit == "probabilities")] for _, _, result in shown]
    for (body, place, result), change in zip(shown, changes, strict=True):
        with body:
            st.html(html.box(html.plain_table(_figures(result, unit), "delta", "gap", "fair-random")))
            own = [split.classes[number] for number in split.numbers(result.request.concept)]
            figure = most_changed(split.classes, change, own, unit, span_of(changes))
            st.plotly_chart(figure, config=EXPORT, theme=None, key=f"pin_change_{place}")
            clip = _clip(split, result)
            if clip is not None:
                st.html(cards(d, split, result, [clip], columns=1))


def _one(d: Dissection, pin: str, place: int, others: list[str]) -> Result | None:
    """Draw what is pinned, and return its result; None where it has not been run yet."""
    request = request_of(pin)
    link = html.text(f"/unlearning?{address(d.name, request)}&{urlencode([(PIN, pin), *((PIN, p) for p in others)])}")
    st.html(f'<h2 class="and"><a href="{link}" target="_self">{html.text(request.describe())}</a></h2>')
    return run_or_result(d, "run", request, select_neurons(d, request), "Run", f"_{place}")


def _figures(result: Result, unit: str) -> list[dict[str, str]]:
    row = result.rows[0]
    prefix, digits = ("p_", 3) if unit == "probabilities" else ("", 2)
    fair = [r[prefix + "gap"] for r in result.rows[1:] if r["control"] and r["number"] == "own"]

    def ends(name: str) -> str:
        value = number(row[prefix + name], digits)
        if np.isnan(row[prefix + name]):
            return value
        low, high = (number(row[f"{prefix}{name}_{side}"], digits) for side in ("low", "high"))
        return f"{value} [{low}, {high}]"

    values = {
        "neurons": f"{row['count']:,}",
        "\u0394A, the concept": ends("ablating"),
        "\u0394R, other classes": ends("remaining"),
        "gap": ends("gap"),
        "fair random gap": number(float(np.mean(fair)), digits) if fair else "not run",
        "accuracy": f"{row['accuracy_before']:.1f} \u2192 {row['accuracy_after']:.1f} %",
    }
    if not np.isnan(row["concept_accuracy_before"]):
        before, after = (row[f"concept_accuracy_{when}"] for when in ("before", "after"))
        values["on the concept's clips"] = f"{before:.0f} \u2192 {after:.0f} %"
    return [{"": name, "value": value} for name, value in values.items()]


def _clip(split: TestedClips, result: Result) -> int | None:
    """Return the tested clip of the concept on which its own output falls furthest; None where it has none."""
    of_concept = np.flatnonzero(split.of_concept(result.request.concept))
    numbers = np.array(split.numbers(result.request.concept), int)
    if not len(of_concept) or not len(numbers):
        return None
    cells = np.ix_(of_concept, numbers)
    before, after = (split.probabilities(logits)[cells].max(1) for logits in (split.before, result.after))
    return int(of_concept[int((before - after).argmax())])
