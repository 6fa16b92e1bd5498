"""Results of a human study as tables and figures; rows in, drawings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from and_core.figures.paper_table import Part
from and_core.figures.theme import GREY, HIGH, INK, LEGEND, MUTED, line_styles, plain, themed

Rows = Sequence[Mapping[str, Any]]
TABLE_3 = (
    "Mean rating 1 to 5 with a 95 % bootstrap interval over neurons; raters who could not tell are left out of the "
    "mean. "
    "The paper's: 120 neurons of an AST on ESC-50."
)
HATCH = "#c9c4b6"
OTHER_MODEL = "BERTScore depends on its model: only columns of one model compare."


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _estimate(value: Any) -> str:
    return "-" if value is None else str(value)


def table_3(ratings: Rows, texts: Rows, how: str = "", mark: str | None = None) -> Part:
    """Return Table 3 of AND: rating, cosine similarity, BERTScore by method, beside the paper's numbers."""
    by_method = {row["method"]: row for row in texts}
    rated = {row["method"]: row for row in ratings}
    cells = []
    for method in sorted({*by_method, *rated}):
        row, text = rated.get(method, {}), by_method.get(method, {})
        cells.append(
            {
                "method": str(method),
                "rating": _estimate(row.get("rating")),
                "paper's rating": _number(row.get("paper")),
                "neurons": str(row["rating"].items) if row.get("rating") else "-",
                "can't tell": _percent(row["cant_tell"]) if row else "-",
                "cosine": _estimate(text.get("cosine")),
                "paper's cosine": _number(text.get("paper_cosine")),
                "BERTScore": _estimate(text.get("bertscore")),
                "paper's BERTScore": _number(text.get("paper_bertscore")),
            }
        )
    return Part(
        f"Table 3 ({mark})" if mark else "Table 3",
        cells,
        TABLE_3 + (f" {how[:1].upper()}{how[1:]}. {OTHER_MODEL}" if how else ""),
    )


def result_parts(results: Mapping[str, Rows], texts: Rows = (), how: str = "", mark: str | None = None) -> list[Part]:
    """Return every result that there is, as tables; `mark` says that raters are simulated, or that this is a pilot."""
    parts = [table_3(results["ratings"], texts, how, mark)] if results["ratings"] or texts else []
    made = {
        "paired": (
            "Methods compared on the same neurons",
            "Mean difference of ratings; Wilcoxon signed-rank test over neurons, q corrected for all pairs.",
            [
                {
                    "methods": f"{r['one']} - {r['two']}",
                    "difference": str(r["difference"]),
                    "neurons": str(r["neurons"]),
                    "p": f"{r['p']:.3g}",
                    "q": f"{r['q']:.3g}",
                }
                for r in results["paired"]
            ],
        ),
        "agreement": (
            "Agreement of raters",
            "Krippendorff's \u03b1: 1 all agree, 0 as by chance. Not defined where everybody says the same everywhere.",
            [
                {
                    "task": f"{r['task']}{', ' + r['of'] if r['of'] else ''}",
                    "\u03b1": "not defined" if r["alpha"] is None else f"{r['alpha']:.2f}",
                    "level": r["level"],
                    "raters": str(r["raters"]),
                    "units": str(r["units"]),
                }
                for r in results["agreement"]
            ],
        ),
        "consistency": (
            "Repeated items",
            "Share that the same rater answered alike (ratings: within 1), and the mean difference of ratings.",
            [
                {
                    "task": r["task"],
                    "repeats": str(r["repeats"]),
                    "alike": _percent(r["alike"]),
                    "difference": _number(r["difference"]),
                }
                for r in results["consistency"]
            ],
        ),
        "presence": (
            "Is it there?",
            "Share of raters who hear what is described in the neuron's most and least active clip shown, and rank "
            "correlation with the activation.",
            [
                {
                    "method": r["method"],
                    "most active": str(r["high"]),
                    "least active": str(r["low"]),
                    "correlation": str(r["correlation"]),
                }
                for r in results["presence"]
            ],
        ),
        "choices": (
            "Which description fits best?",
            "Share of choices where the method stood to be chosen.",
            [
                {"method": r["method"], "chosen": str(r["share"]), "chance": _number(r["chance"])}
                for r in results["choices"]
            ],
        ),
        "intruders": (
            "Is the intruder found?",
            "Share of answers that name the clip on which the neuron does not fire: do its high clips have something "
            "in common at all?",
            [
                {"block": str(r["block"]), "found": str(r["found"]), "chance": _number(r["chance"])}
                for r in results["intruders"]
            ],
        ),
        "raters": (
            "Raters beside the others",
            "How much higher a rater rates than the others who rated the same items, with an interval over items; and "
            "how far apart, as a standard deviation.",
            [
                {"rater": r["who"].strip("/"), "bias": str(r["bias"]), "noise": _number(r["noise"])}
                for r in results["raters"]
                if r["bias"] is not None
            ],
        ),
        "scores": (
            "Automatic scores against ratings",
            "Over all rated descriptions; interval over neurons. A score that follows people has a \u03c1 well above "
            "0.",
            [
                {
                    "score": r["score"].replace("_", " "),
                    "\u03c1": f"{r['rho']:+.2f}"
                    + ("" if r["low"] is None else f" [{r['low']:+.2f}, {r['high']:+.2f}]"),
                    "r": f"{r['r']:+.2f}",
                    "descriptions": str(r["descriptions"]),
                }
                for r in results["scores"]
            ],
        ),
    }
    named = f" ({mark})" if mark else ""
    return parts + [Part(f"{title}{named}", cells, note) for title, note, cells in made.values() if cells]


def fault_part(rows: Rows, about: str) -> Part | None:
    """Return how many bad descriptions are put down to each step, by method."""
    if not rows:
        return None
    steps = list(dict.fromkeys(row["step"] for row in rows))
    cells = [
        {"method": m, **{s: str(sum(r["method"] == m and r["step"] == s for r in rows)) for s in sorted(steps)}}
        for m in sorted({row["method"] for row in rows})
    ]
    return Part("What went wrong where", cells, about)


def rating_figure(ratings: Rows, mark: str | None = None) -> go.Figure:
    """Return the mean ratings with intervals; the paper's as rings. `mark` says that raters are simulated, or that this
    is a pilot."""
    names = [plain(str(row["method"])) for row in ratings]
    values = [row["rating"].value if row["rating"] else None for row in ratings]
    up = [
        row["rating"].high - row["rating"].value if row["rating"] and row["rating"].high is not None else 0
        for row in ratings
    ]
    down = [
        row["rating"].value - row["rating"].low if row["rating"] and row["rating"].low is not None else 0
        for row in ratings
    ]
    figure = go.Figure()
    figure.add_scatter(
        x=names,
        y=values,
        mode="markers",
        name="here",
        marker={"size": 11, "color": HIGH},
        error_y={"type": "data", "array": up, "arrayminus": down, "color": HIGH, "thickness": 2},
    )
    figure.add_scatter(
        x=names,
        y=[row["paper"] for row in ratings],
        mode="markers",
        name="paper",
        marker={"size": 11, "color": "rgba(0,0,0,0)", "line": {"color": MUTED, "width": 2}},
    )
    themed(figure, "", "mean rating, 1 to 5", 260)
    figure.update_yaxes(range=[0.9, 5.1], tick0=1, dtick=1, tickmode="linear").update_layout(
        showlegend=True, legend=LEGEND
    )
    return marked(figure, mark)


def block_figure(blocks: Rows, mark: str | None = None) -> go.Figure:
    """Return the mean rating by block, a line a method."""
    figure = go.Figure()
    for (colour, dash), method in zip(line_styles(), sorted({row["method"] for row in blocks}), strict=False):
        points = [row for row in blocks if row["method"] == method]
        spread = {
            way: [
                abs((r["rating"].high if way == "array" else r["rating"].low) - r["rating"].value)
                if r["rating"].low is not None
                else 0
                for r in points
            ]
            for way in ("array", "arrayminus")
        }
        figure.add_scatter(
            x=[r["block"] for r in points],
            y=[r["rating"].value for r in points],
            name=plain(str(method)),
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            error_y={"type": "data", **spread, "thickness": 1},
        )
    themed(figure, "block", "mean rating, 1 to 5", 260)
    figure.update_yaxes(range=[0.9, 5.1], tick0=1, dtick=1, tickmode="linear").update_xaxes(dtick=1)
    return marked(figure.update_layout(showlegend=True, legend=LEGEND), mark)


def score_figure(points: Rows, score: str, mark: str | None = None) -> go.Figure:
    """Return one automatic score against the mean rating, a point a description, coloured by method."""
    figure = go.Figure()
    for (colour, _), method in zip(line_styles(), sorted({row["method"] for row in points}), strict=False):
        shown = [row for row in points if row["method"] == method]
        figure.add_scatter(
            x=[r["score"] for r in shown],
            y=[r["rating"] for r in shown],
            name=plain(str(method)),
            mode="markers",
            marker={"color": colour, "size": 7, "opacity": 0.75, "line": {"color": GREY, "width": 0.5}},
            text=[plain(str(r["neuron"])) for r in shown],
            hovertemplate="%{text}<br>%{x:.2f}, rating %{y:.2f}<extra></extra>",
        )
    themed(figure, f"{plain(score)} (automatic)", "mean rating, 1 to 5", 280)
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "font": {"color": INK}}
    )
    return marked(figure, mark)


def marked(figure: go.Figure, mark: str | None) -> go.Figure:
    """Hatch a figure and write on it what it is, so that no copy passes for a study of people; None: unchanged."""
    if mark is None:
        return figure
    whole = {"range": [0, 1], "visible": False, "fixedrange": True}
    hatch = {"shape": "/", "size": 9, "solidity": 0.12, "fgcolor": HATCH, "bgcolor": "rgba(0,0,0,0)"}
    figure.add_scatter(
        x=[0, 1, 1, 0], y=[0, 0, 1, 1], xaxis="x2", yaxis="y2", mode="none", fill="toself", fillpattern=hatch,
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    figure.update_layout(
        xaxis={"overlaying": "x2"}, yaxis={"overlaying": "y2"},
        xaxis2={**whole, "anchor": "y2"}, yaxis2={**whole, "anchor": "x2"}, plot_bgcolor="rgba(0,0,0,0)",
    )  # fmt: skip
    return figure.add_annotation(
        text=mark.upper(), xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="top", showarrow=False,
        font={"color": INK, "size": 12}, bgcolor="#f7ecd2", borderpad=4,
    )  # fmt: skip
