"""How good a neuron's explanations are, as the Neurons page shows it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.analyze.interpretability import TAUS
from and_core.figures.confidence import basis
from and_core.figures.scores import SAID
from and_core.query.cluster_names import cluster_names
from and_core.query.openings import disagreement
from and_core.query.scores import confident_words, judged_scores, neuron_scores, wrong_clips
from and_core.store.headline import SURE, Headline
from pages.ui import html, terms
from pages.ui.media import media_url
from pages.ui.setup import fold

METHOD_OF = {"by captions": "db", "by sound": "tab"}  # how a concept was found -> the method's entry in the glossary
SHORT = {"DB": "DB", "TAB": "TAB", "ICL": "ICL", "SUM": "summary", "OPEN": "open"}  # for a narrow column


def sentence(headline: Headline) -> str:
    """Return the headline's sentence as markup."""
    return "".join(f"<mark>{html.text(part)}</mark>" if marked else html.text(part) for part, marked in headline.parts)


def verdict(headline: Headline, *beside: str) -> str:
    """Return how surely a headline holds, as every page shows it: the meter, what it is the probability of, and what
    stands beside it."""
    if headline.dead:
        return ""
    probable = {word: p for word, p in headline.adjectives.items() if p is not None}
    alone = not headline.adjectives and headline.composition is None
    if headline.concept and headline.probability is not None and (headline.holds or alone):
        probable[headline.concept.replace("_", " ")] = headline.probability
    if headline.composition is not None:
        lines = [
            headline.composition.evidence,
            *(f"probability of {word} {html.points_of(p)}" for word, p in probable.items()),
        ]
        what = html.explained("; ".join(lines), "auroc", "held-out")
    elif headline.certainty is None:
        what = f"The {html.term('probability', 'confidence')} that it holds is not known here."
    else:
        each = "this" if len(probable) < 2 else "each part"
        what = f"{html.term('probability', 'confidence')} that {each} holds"
        parts = ", ".join(f"{word} {html.points_of(p)}" for word, p in probable.items())
        what += f": {html.text(parts)}" if len(probable) > 1 else ""
    rest = "".join(f"<span>{html.text(line)}</span>" for line in beside if line)
    known = headline.certainty is not None or headline.composition is None
    meter = html.meter(headline.certainty) if known else ""
    return f'<div class="and-sure">{meter}<span>{what}</span>{rest}</div>'


def short(value: float) -> str:
    """Return a number below 1 without its zero, for a narrow column."""
    return f"{value:.2f}".replace("0.", ".", 1)


def probability_column() -> Any:
    """Return how a table shows the probability of a headline: as the meter, with its number."""
    about = terms.meaning("confidence")
    return st.column_config.ProgressColumn("probability", help=about, format="%.2f", min_value=0.0, max_value=1.0)


def differing(d: Dissection, neuron: NeuronId) -> str:
    """Return the line under a headline that says where captions and sound put another concept first; empty where they
    agree with it."""
    beside = disagreement(d, neuron)
    if not beside:
        return ""
    by: dict[str, list[str]] = {}
    for how, concept in beside:
        by.setdefault(concept.replace("_", " "), []).append(html.term(how, METHOD_OF[how]))
    parts = ", ".join(f"{' and '.join(hows)} <b>{html.text(concept)}</b>" for concept, hows in by.items())
    return f'<div class="and-differ">The methods disagree: {parts}.</div>'


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
                "Pearson": f"{short(row['pearson'])} [{short(row['pearson_low'])}, {short(row['pearson_high'])}]",
                "beside": short(max((v for v in row["pearson_beside"].values() if v is not None), default=0.0)),
                "AUPRC": short(row["auprc"]),
                "holds": "" if row["confidence"] is None else html.points_of(row["confidence"]),
            }
        )
    remark = (
        "Each explanation is scored on the half of the clips that it was not made from; brackets hold 95 % bootstrap "
        "intervals over clips. Holds is the probability that the concept is what the neuron fires on best."
    )
    remark += (
        " Beside is the best score of what says nothing of this neuron: another neuron's explanation, shuffled "
        "activations, the layer's most common explanation and an empty one."
    )
    remark += f" {basis(d)}"
    st.html(
        html.about(
            neuron,
            html.heading("Held-out scores", "by similarity to captions", "held-out")
            + html.box(
                html.plain_table(
                    [{k: row[k] for k in ("by", "holds", "Pearson", "AUPRC", "beside")} for row in rows], "auroc"
                )
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
            f"{row['word']} {html.points_of(row['confidence'])}" + ("" if row["confidence"] >= SURE else " (unclear)")
            for row in words
        )
        st.html(html.about(neuron, html.empty(f"Each adjective holds with a probability of its own: {baselines}.")))


def captions_agree(d: Dissection, neuron: NeuronId) -> None:
    """Draw which cluster of captions the highest clips share, and whether enough of them do."""
    if not d.has("interpretability"):
        return
    index, lines = d.index(neuron), []
    if d.statistics(neuron)["dead"]:
        return
    for k, tau in ((k, TAUS[k][1]) for k in d.notes("interpretability")["k"]):
        most, cluster = int(d.most_in_one_cluster(k)[index]), int(d.shared_cluster(k)[index])
        if cluster < 0:
            continue
        name = cluster_names(d)[cluster] if cluster < len(cluster_names(d)) else f"cluster {cluster}"
        address = f"/words?dissection={quote(d.name)}&cluster={cluster}"
        link = f'<a href="{html.text(address)}" target="_self">{html.text(name)}</a>'
        lines.append(
            f"<li>{most} of its {k} highest clips share {link}: {'they agree' if most >= tau else 'too few agree'} "
            f"(\u03c4 = {tau})</li>"
        )
    body = f"<ul>{''.join(lines)}</ul>" if lines else html.empty("Its highest clips have no captions in any cluster.")
    st.html(
        html.about(
            neuron,
            html.heading("Do its clips' captions agree?", "the paper's cluster test", "cluster")
            + html.box(
                body + html.note("Interpretable is what the paper calls a neuron where they do.", "interpretable")
            ),
        )
    )


def most_wrong(d: Dissection, neuron: NeuronId) -> None:
    """Draw clips that the chosen method's explanation gets most wrong."""
    if not d.has("scores"):
        return
    opened = fold("Clips that an explanation gets most wrong", "most_wrong")
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
