"""How good a neuron's explanations are, as the Neurons page shows it."""

from __future__ import annotations

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.figures.confidence import basis
from and_core.figures.scores import SAID
from and_core.query.scores import confident_words, judged_scores, neuron_scores, wrong_clips
from and_core.store.headline import SURE, Headline
from pages.ui import html
from pages.ui.media import media_url

SHORT = {"DB": "DB", "TAB": "TAB", "ICL": "ICL", "SUM": "summary", "OPEN": "open"}  # for a narrow column


def sentence(headline: Headline) -> str:
    """Return the headline's sentence as markup."""
    return "".join(f"<mark>{html.text(part)}</mark>" if marked else html.text(part) for part, marked in headline.parts)


def box(d: Dissection, neuron: NeuronId) -> None:
    """Draw held-out scores of every method, adjectives with their probabilities, and the clips that an explanation gets
    most wrong."""
    if not d.has("scores"):
        st.html(
            html.heading("Held-out scores")
            + html.box(html.empty("Not scored yet. Run", "and-dissect run CONFIG.yaml --only scores"))
        )
        return
    if not d.scored_methods:
        st.html(
            html.heading("Held-out scores")
            + html.box(html.empty(f"Nothing could be scored: {d.notes('scores').get('reason', 'no method')}."))
        )
        return
    rows = []
    for row in neuron_scores(d, neuron):
        if row["pearson"] is None:
            rows.append({"by": SHORT[row["method"]], "Pearson": "says nothing", "beside": "", "AUPRC": "", "holds": ""})
            continue
        rows.append(
            {
                "by": SHORT[row["method"]],
                "Pearson": f"{row['pearson']:.2f} [{row['pearson_low']:.2f}, {row['pearson_high']:.2f}]",
                "beside": f"{max((v for v in row['pearson_beside'].values() if v is not None), default=0.0):.2f}",
                "AUPRC": f"{row['auprc']:.2f}",
                "holds": "" if row["confidence"] is None else f"{row['confidence']:.2f}",
            }
        )
    remark = (
        "On clips that the explanation was not made from, both halves in turn; 95 % bootstrap over clips. Holds: "
        "probability that the concept is what the neuron fires on best."
    )
    remark += (
        " Beside: the best of another neuron's explanation, shuffled activations, the layer's most common "
        "explanation and an empty one."
    )
    remark += f" {basis(d)}"
    st.html(
        html.about(
            neuron,
            html.heading("Held-out scores", "by similarity to captions")
            + html.box(
                html.plain_table([{k: row[k] for k in ("by", "holds", "Pearson", "AUPRC", "beside")} for row in rows])
                + html.empty(remark)
            ),
        )
    )
    judged = judged_scores(d, neuron)
    if judged:
        baselines = "; ".join(
            f"{SAID[row['method']]} " + ("not defined" if row["pearson"] is None else f"{row['pearson']:.2f}")
            for row in judged
        )
        failed = sum(row["failed"] for row in judged)
        lost = f" {failed} answers are missing; the next run asks again." if failed else ""
        st.html(
            html.about(
                neuron,
                html.empty(
                    f"By the judge ({d.notes('judged')['judge']}), Pearson over {judged[0]['clips']} clips: "
                    f"{baselines}.{lost}"
                ),
            )
        )
    words = [row for row in confident_words(d, neuron) if row["confidence"] is not None]
    if words:
        baselines = ", ".join(
            f"{row['word']} {row['confidence']:.2f}" + ("" if row["confidence"] >= SURE else " (unclear)")
            for row in words
        )
        st.html(html.about(neuron, html.empty(f"Adjectives, probability that each holds: {baselines}.")))


def most_wrong(d: Dissection, neuron: NeuronId) -> None:
    """Draw clips that the chosen method's explanation gets most wrong."""
    if not d.has("scores"):
        return
    opened = st.expander("Clips that an explanation gets most wrong", key="most_wrong", on_change="rerun")
    if not opened.open:
        return
    with opened:
        methods = [row["method"] for row in neuron_scores(d, neuron) if row["pearson"] is not None]
        if not methods:
            st.html(html.empty("No method says anything of this neuron."))
            return
        method = st.segmented_control(
            "Explanation by", methods, default=methods[0], key="wrong_by", format_func=SAID.__getitem__, required=True
        )
        wrong = wrong_clips(d, neuron, str(method) if method in methods else methods[0])
        labels = {
            "missed": "It fires, the explanation does not say so",
            "false": "The explanation says so, it does not fire",
        }
        for side, clips in wrong.items():
            cards = [
                html.clip_card(d.clips[c], d.caption(c), media_url(d, c, "flac"), media_url(d, c, "jpg")) for c in clips
            ]
            st.html(html.heading(labels[side]) + f'<div class="and-cards">{"".join(cards)}</div>')
