"""What an ablation did, to see and to hear."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.display import csv_text
from and_core.figures.class_changes import change_by_class
from and_core.figures.theme import EXPORT, plain
from and_core.figures.unlearning import FEWEST, clip_verdict, tested_on
from and_core.labels.hierarchy import related
from and_core.labels.outputs import accuracy_name
from and_core.unlearn.measure import accuracy_by_class, named_rightly
from and_core.unlearn.request import AblationRequest
from and_core.unlearn.result import Result
from and_core.unlearn.runs import TestedClips
from pages.ui import html, player
from pages.ui.media import media_url
from pages.ui.setup import BOUND, fold

CARDS, BAR = 10, "bar"
NO_CLASS = "the concept is no class of the network with tested clips"


def draw(d: Dissection, split: TestedClips, result: Result) -> None:
    """Draw figures, change by class, and clips before and after."""
    _figures(split, result)
    _by_class(d, split, result)
    _clips(d, split, result)


def number(value: float, digits: int = 2) -> str:
    """Return a change, with its sign."""
    return "undefined" if np.isnan(value) else f"{value:+.{digits}f}"


def file_name(request: AblationRequest) -> str:
    """Return a file name from a request, of letters and digits alone."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in request.describe()).split())[:80].lower()


def _figures(split: TestedClips, result: Result) -> None:
    row, fair = result.rows[0], [r for r in result.rows[1:] if r["control"] and r["number"] == "own"]
    unit = st.segmented_control(
        "Unit",
        ["logits", "probabilities"],
        default="logits",
        key="unit_of_change",
        required=True,
        label_visibility="collapsed",
        **BOUND,
    )
    p, digits = ("p_", 3) if unit == "probabilities" else ("", 2)

    def prediction(name: str) -> tuple[str, str]:
        if np.isnan(row[p + name]):
            return "undefined", NO_CLASS if not split.numbers(row["concept"]) else "no other class has tested clips"
        beside = f"{row[f'{p}{name}_low']:+.{digits}f} to {row[f'{p}{name}_high']:+.{digits}f}"
        return f"{row[p + name]:+.{digits}f}", beside

    random = f"{np.mean([r[p + 'gap'] for r in fair]):+.{digits}f}" if fair else "not run"
    spread = f"the gap of as many random neurons in the same layers, {len(fair)} draw{'s' if len(fair) != 1 else ''}"
    concept = (
        "undefined"
        if np.isnan(row["concept_accuracy_before"])
        else f"{row['concept_accuracy_before']:.0f} \u2192 {row['concept_accuracy_after']:.0f} %"
    )
    st.html(
        html.figures(
            [
                ("Neurons ablated", f"{row['count']:,}", result.request.describe()),
                ("\u0394A, the concept", *prediction("ablating")),
                ("\u0394R, other classes", *prediction("remaining")),
                ("Gap, \u0394R \u2212 \u0394A", *prediction("gap")),
                ("Fair random", random, spread),
                (
                    accuracy_name(split.multi_label).capitalize(),
                    f"{row['accuracy_before']:.1f} \u2192 {row['accuracy_after']:.1f} %",
                    "all tested clips",
                ),
                ("On the concept's clips", concept, "average precision" if split.multi_label else "accuracy"),
            ],
            "delta",
            "gap",
            "fair-random",
        )
    )
    counts = [int(n) for n in split.truth.sum(0) if n]
    clips = int(split.of_concept(row["concept"]).sum())
    few = f" That is fewer than {FEWEST}: too few to say whether the concept is unlearned." if clips < FEWEST else ""
    st.caption(f"The network was {tested_on(counts, len(split.clips))}; {clips} of them of the concept.{few}")
    st.caption(
        "Changes are means over clips, with 95 % bootstrap intervals. A good ablation moves the concept down and "
        "leaves the others where they are: its gap is large, and well above that of as many random neurons."
    )


def _by_class(d: Dissection, split: TestedClips, result: Result) -> None:
    unit = st.session_state.get("unit_of_change") or "logits"
    which = 1 if unit == "probabilities" else 0
    numbers = split.numbers(result.request.concept)
    known = d.concept_terms.get(result.request.concept, {})
    names = [split.classes[number] for number in numbers]
    near = [*known.get("related", []), *(other for name in names for other in related(split.classes, name))]
    fair = [i for i, r in enumerate(result.rows) if i and r["control"] and r["number"] == "own"]
    st.html(html.heading("Change by class", "Figure 10; the concept and related classes in red"))
    control = result.by_class[fair, which].mean(0) if fair else None
    figure = change_by_class(split.classes, result.by_class[0, which], control, names, near, unit)
    st.plotly_chart(
        figure, config=EXPORT, theme=None, key="by_class_change", on_select=_choose_bar, selection_mode="points"
    )
    chosen = st.query_params.get(BAR)
    if chosen:
        _class_clips(d, split, result, chosen)
    st.caption(
        "Each class's own output on its own clips; a click on a bar opens them. Short marks across the bars: as many "
        "random neurons in the same layers. Unlearning that is selective moves the concept and little else."
    )
    accuracy = "average precision" if split.multi_label else "accuracy"
    frame = pd.DataFrame({
        "class": split.classes, "change, logits": result.by_class[0, 0], "change, probability": result.by_class[0, 1],
        **{
            f"{accuracy} {when}, %": 100 * accuracy_by_class(logits, split.truth, split.multi_label)
            for when, logits in (("before", split.before), ("after", result.after))
        },
    }).dropna().round(3)  # fmt: skip
    table = fold("Every class", "every_class")
    if table.open:
        table.dataframe(frame, hide_index=True, height=260)
    csv = csv_text(frame).encode()
    st.download_button(
        "Changes by class (CSV)", csv, f"{file_name(result.request)}-classes.csv", "text/csv", on_click="ignore"
    )


def _choose_bar() -> None:
    """Put the class whose bar is chosen into the address, from where its clips are drawn: a step back shows those of
    the bar before."""
    points = st.session_state["by_class_change"]["selection"]["points"]
    names = [str(point["customdata"]) for point in points if "customdata" in point]
    if names:
        st.query_params[BAR] = names[0]
    else:
        st.query_params.pop(BAR, None)


def cards(d: Dissection, split: TestedClips, result: Result, chosen: list[int], columns: int | None = None) -> str:
    """Return tested clips to hear, with what the network takes them for before and after."""
    numbers, of_concept = split.numbers(result.request.concept), split.of_concept(result.request.concept)
    right = [named_rightly(logits, split.truth) for logits in (split.before, result.after)]

    def verdict(i: int, logits: np.ndarray) -> tuple[str, float]:
        """Return the class with the highest output; where there may be several, the concept's own on its clips."""
        among = numbers if split.multi_label and of_concept[i] else ()
        return clip_verdict(split.classes, logits[i], split.multi_label, among)

    made = []
    for i in chosen[:CARDS]:
        clip = d.clips[int(split.clips[i])]
        made.append(
            html.verdict_card(
                clip,
                verdict(i, split.before),
                verdict(i, result.after),
                (bool(right[0][i]), bool(right[1][i])),
                media_url(d, clip.index, "flac"),
                media_url(d, clip.index, "jpg"),
                player.level_attribute(d, clip),
            )
        )
    across = "" if columns is None else f' style="--and-columns:{columns}"'
    return f'<div class="and-cards"{across}>{"".join(made)}</div>'


def _class_clips(d: Dissection, split: TestedClips, result: Result, name: str) -> None:
    """Draw the tested clips of one class before and after."""
    names = [plain(label) for label in split.classes]
    if name not in names:
        return
    mine = np.flatnonzero(split.truth[:, names.index(name)]).tolist()
    shown = cards(d, split, result, mine)
    st.html(
        player.group(f"Clips of {name}", shown, f"{len(mine)} tested, the first {min(CARDS, len(mine))}", keys=False)
    )


def _clips(d: Dissection, split: TestedClips, result: Result) -> None:
    of_concept = split.of_concept(result.request.concept)
    tops = [split.before.argmax(1), result.after.argmax(1)]
    clips = np.flatnonzero(of_concept).tolist()
    changed = np.flatnonzero(~of_concept & (tops[0] != tops[1])).tolist()
    if clips:
        st.html(
            player.group(
                "The concept's clips",
                cards(d, split, result, clips),
                "before and after, with the network's own probability",
            )
        )
    note = f"{len(changed)} of {len(split.clips) - len(clips)}" + (
        f", the first {CARDS}" if len(changed) > CARDS else ""
    )
    nothing = html.empty("No other clip is taken for something else than before.")
    title = "Other clips that are now taken for something else"
    st.html(
        player.group(title, cards(d, split, result, changed), note, keys=False)
        if changed
        else html.heading(title, note) + nothing
    )
