"""The Unlearning page: take out what responds to a concept, and see and hear what the network forgets."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.catalogue import TABLES
from and_core.figures.theme import EXPORT
from and_core.figures.unlearning import dose_figure, layer_counts
from and_core.query.comparable import comparable
from and_core.query.flips import clearest_unlearning
from and_core.unlearn.export import mask_json
from and_core.unlearn.live import queue
from and_core.unlearn.request import AblationRequest
from and_core.unlearn.result import Result, forget, inputs_of, keep, kept
from and_core.unlearn.runs import read_split
from and_core.unlearn.selection import RankedSelection, select_neurons
from pages.ui import html, pins, story
from pages.ui.ablation import address, choose_request
from pages.ui.ablation_result import draw, file_name, number
from pages.ui.runs import POLL, failed, run_or_result, start, waiting
from pages.ui.setup import explain, fold, provenance, setup

SHOWN = 300


def page() -> None:
    """Draw the page."""
    d = setup("Unlearning")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html('<h1 class="and">Unlearning</h1>', width="stretch")
        presenting = story.presented()
        st.html(html.COPY_LINK, width=110)
    try:
        provenance(d)
        if not d.has("split"):
            command = f"and-dissect prune {d.name} --all"
            st.html(
                html.empty(
                    "This dissection has no tested split yet, so nothing can be unlearned. Make it, and Table 4, with",
                    command,
                )
            )
            st.stop()
        _about(d)
        left, right = st.columns([1, 2.5], gap="medium")
        with left:
            _open_on_the_clearest(d)
            request = choose_request(d)
            choice = select_neurons(d, request)
            if not presenting:
                _preview(d, request, choice)
        with right:
            story.draw(d, request, choice)
            result = run_or_result(d, "run", request, choice, "Run")
            if result is not None:
                pins.offer(request)
                draw(d, read_split(d), result)
                _dose(d, request, choice)
                _compare(d, request)
                _keep(d, result)
    except ANDError as error:
        explain(error)
    try:
        pins.draw(d)
        _kept(d)
        _table(d)
    except ANDError as error:
        explain(error)


def _open_on_the_clearest(d: Dissection) -> None:
    """Choose the concept and strategy whose unlearning is clearest, where neither the address nor the session names
    any."""
    asked = {"concept", "strategy"} & {*st.query_params, *st.session_state}
    clear = None if asked or not d.has("unlearning") else clearest_unlearning(d)
    if clear is not None:
        st.session_state["concept"], st.session_state["strategy"] = clear.concept, clear.strategy


def _about(d: Dissection) -> None:
    notes = d.notes("split")
    folds = (
        f" (fold {', '.join(map(str, notes['tested_folds']))})"
        if notes["tested_folds"]
        else " (a fifth of the recordings)"
    )
    whole = (
        f"mean average precision of the whole network over {notes['classes_tested']} classes {notes['accuracy']:.1f} %"
        if d.multi_label
        else f"the whole network names {notes['accuracy']:.1f} % of them"
    )
    st.html(
        html.empty(
            f"The effect is measured on {notes['tested_clips']} clips{folds}; {whole}. "
            f"Neurons are chosen from explanations over the other {notes['choosing_clips']} clips, unless you say "
            "otherwise."
        )
    )


def _preview(d: Dissection, request: AblationRequest, choice: RankedSelection) -> None:
    hidden = [layer for layer in d.layers if layer.kind != "fc"]
    total = sum(layer.size for layer in hidden)
    st.html(html.heading("Neurons to silence", f"{choice.count:,} of {total:,} hidden neurons", "ablation"))
    for note in choice.notes:
        st.html(html.empty(note))
    if not choice.count:
        return
    counts = [choice.selection.per_layer[layer.name] for layer in hidden]
    st.plotly_chart(
        layer_counts([x.title for x in hidden], counts, [x.size for x in hidden]),
        config=EXPORT,
        theme=None,
        key="chosen_layers",
    )
    st.caption("Share of each layer that is taken out; the count stands on the bar.")
    listed = fold(
        f"The neurons, most responsive first{f' (first {SHOWN})' if choice.count > SHOWN else ''}",
        "chosen_list",
    )
    if listed.open:
        neurons = [d.neuron_id(int(i)) for i in choice.order[:SHOWN]]
        frame = pd.DataFrame(
            {"neuron": [str(n) for n in neurons], "open": [html.neuron_link(d.name, n) for n in neurons]}
        )
        listed.dataframe(
            frame,
            hide_index=True,
            height=240,
            column_config={"open": st.column_config.LinkColumn("open", display_text="open")},
        )
    st.download_button(
        "Mask (JSON)",
        lambda: mask_json(d, request),
        f"{file_name(request)}.json",
        "application/json",
        on_click="ignore",
        width="stretch",
    )


def _dose(d: Dissection, request: AblationRequest, choice: RankedSelection) -> None:
    st.html(html.heading("Dose curve", "how much is forgotten for how few neurons", "dose"))
    result = run_or_result(d, "dose", request, choice, "Draw the dose curve")
    if result is None:
        return
    prefix = "p_" if st.session_state.get("unit_of_change") == "probabilities" else ""
    st.plotly_chart(dose_figure(result.rows, prefix), config=EXPORT, theme=None, key="dose_curve")
    st.caption(
        "The chosen neurons are taken out from the most responsive on; shaded, 95 % bootstrap intervals over clips; "
        "dotted, as many random "
        "neurons in the same layers."
    )
    st.download_button(
        "Dose curve (CSV)", _csv(result), f"{file_name(request)}-dose.csv", "text/csv", on_click="ignore"
    )


def _compare(d: Dissection, request: AblationRequest) -> None:
    st.html(
        html.heading(
            "Strategies compared",
            f"for {request.concept.replace('_', ' ')}, at their own numbers of neurons and at equal ones",
            "strategy",
        )
    )
    result = run_or_result(d, "compare", request, None, "Compare OCP, DB and TAB")
    if result is None:
        return
    rows = []
    for row in (r for r in result.rows if not r["control"]):
        fair = [
            r["gap"]
            for r in result.rows
            if r["control"] and (r["strategy"], r["number"]) == (row["strategy"], row["number"])
        ]
        rows.append(
            {
                "strategy": row["strategy"],
                "neurons": f"{row['count']:,}" + (" (equal)" if row["number"] == "equal" else ""),
                "\u0394A": number(row["ablating"]),
                "\u0394R": number(row["remaining"]),
                "gap": number(row["gap"]),
                "interval": f"{number(row['gap_low'])} to {number(row['gap_high'])}",
                "fair random gap": number(float(np.mean(fair))) if fair else "",
            }
        )
    table = html.plain_table(rows, "delta", "fair-random", "gap", "ocp")
    st.html(html.box(table) + "".join(html.empty(note) for note in result.notes))


def _keep(d: Dissection, result: Result) -> None:
    st.html(html.heading("Take away"))
    one, two, three = st.columns(3)
    here = result.key in {key for key, _, _ in kept(d)}
    if here:
        one.button("Kept; forget it", key="forget", on_click=_said(forget, d, result.key), width="stretch")
    else:
        help_text = "written into the dissection; the address of this page opens it again"
        one.button(
            "Keep in the dissection", key="keep", on_click=_said(keep, d, result), width="stretch", help=help_text
        )
    name = file_name(result.request)
    free: dict = {"on_click": "ignore", "width": "stretch"}
    two.download_button(
        "Mask and effect (JSON)",
        lambda: mask_json(d, result.request, result),
        f"{name}.json",
        "application/json",
        **free,
    )
    with three:
        _checkpoint(d, result, name)
    if st.session_state.get("keep_failed"):
        st.html(html.empty(st.session_state.pop("keep_failed")))


def _checkpoint(d: Dissection, result: Result, name: str) -> None:
    """Offer the pruned network: written in the queue like any run, then offered for download."""
    key = result.request.key("checkpoint", inputs_of(d))
    job = queue().find(key)
    if job is not None and job.state == "done" and job.file is not None:
        path = job.file
        st.download_button(
            "Pruned checkpoint (ZIP)",
            path.read_bytes,
            f"{name}.zip",
            "application/zip",
            on_click="ignore",
            width="stretch",
        )
    elif job is not None and job.state in ("queued", "running"):
        st.fragment(waiting, run_every=POLL)(key)
    else:
        if job is not None and job.state == "failed":
            failed(job, "The checkpoint could not be made", "checkpoint")
        nothing, about = (
            not result.rows[0]["count"],
            "in the network's own format, with a model card; loaded back and compared before it is offered",
        )
        st.button(
            "Make the pruned checkpoint",
            key="checkpoint",
            on_click=start,
            args=(d, "checkpoint", result.request),
            disabled=nothing,
            help=about,
            width="stretch",
        )


def _said(act: Callable, *arguments: object) -> Callable[[], None]:
    """Return a callback whose failure is a sentence on the page."""

    def go() -> None:
        try:
            act(*arguments)
        except ANDError as error:
            st.session_state["keep_failed"] = str(error)

    return go


def _kept(d: Dissection) -> None:
    every = [(key, kind, request) for key, kind, request in kept(d) if kind == "run"]
    if not every:
        return
    st.html(html.heading("Kept in this dissection", f"{len(every)}"))
    lines = []
    for key, _, request in every:
        row = d.kept_run(key).slice(0, 1).to_pylist()[0]
        link = html.text(f"/unlearning?{address(d.name, request)}")
        cells = (
            f"{row['count']:,} neurons",
            f"gap {number(row['gap'])}",
            "chosen on all clips" if request.choose_on == "all" else "chosen on other clips",
        )
        rest = "".join(f"<td>{html.text(cell)}</td>" for cell in cells)
        lines.append(f'<tr><td><a href="{link}" target="_self">{html.text(request.describe())}</a></td>{rest}</tr>')
    st.html(html.box(f"<table>{''.join(lines)}</table>"))


def _table(d: Dissection) -> None:
    st.html(html.heading("Table 4: all concepts", "beside the paper's"))
    counts = {x.name: x.notes("unlearning") for x in comparable(d, "unlearning")}
    if d.name not in counts:
        st.html(html.empty(f"Not run yet for {d.name}. Run", f"and-dissect prune {d.name} --all"))
    if not counts:
        return
    partial = [name for name, notes in counts.items() if notes["concepts"] < notes["of"]]
    st.html(
        html.empty(
            " ".join(f"{name}: {notes['concepts']} of {notes['of']} concepts." for name, notes in counts.items())
        )
    )
    if partial:
        st.html(html.empty("All concepts:", "; ".join(f"and-dissect prune {name} --all" for name in partial)))
    made = TABLES["unlearning"](d)
    for part in made.parts:
        st.html(
            (html.heading(part.title, "") if part.title != "Table 4" else "")
            + html.box(html.plain_table(part.cells, "delta", "fair-random", "gap"))
            + html.note(part.note, "fair-random", "gap")
        )
    st.download_button(
        "Table 4 (CSV)", csv_text(pd.DataFrame(made.rows)).encode(), "unlearning.csv", "text/csv", on_click="ignore"
    )


def _csv(result: Result) -> bytes:
    return csv_text(pd.DataFrame(result.rows)).encode()


page()
