"""One look for all charts: quiet paper, one ink, colour only where it means something."""

from __future__ import annotations

import html
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import plotly.graph_objects as go

INK, MUTED, LINE, PAPER = "#1b2430", "#5d6672", "#e3dfd4", "#ffffff"
HIGH, LOW, HELD, GREY = "#0072b2", "#d55e00", "#009e73", "#c9cdd4"
PALETTE = (
    HIGH,
    LOW,
    HELD,
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
)  # Okabe and Ito: told apart by colour-blind readers

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}  # above the data, however many lines it takes
EXPORT = {
    "displaylogo": False,
    "toImageButtonOptions": {"format": "svg", "scale": 2},
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}


def line_styles() -> Iterator[tuple[str, str]]:
    """Yield (colour, dash) without end: the palette drawn through, then dashed."""
    return ((colour, dash) for dash in cycle(("solid", "longdash")) for colour in PALETTE)


def plain(name: str, spaces: bool = True) -> str:
    """Return a name from data as text: Plotly reads `<` and `&` as markup."""
    return html.escape(name.replace("_", " ") if spaces else name, quote=False)


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return both, the other's where both have a value."""
    return {
        **one,
        **{
            key: _joined(one[key], value) if isinstance(value, dict) and isinstance(one.get(key), dict) else value
            for key, value in other.items()
        },
    }


def themed(figure: go.Figure, x: str, y: str, height: int = 200) -> go.Figure:
    """Apply the theme and title both axes, units included."""
    axis = {
        "gridcolor": "#f0ede5",
        "linecolor": LINE,
        "zeroline": False,
        "ticks": "",
    }
    title = {"font": {"size": 12, "color": MUTED}}
    own = {"title": {"text": x, **title}, "showgrid": False, **axis}, {"title": {"text": y, **title}, **axis}
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 48, "r": 10, "t": 8, "b": 40},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "bargap": 0.08,
        "showlegend": False,
        "autotypenumbers": "strict",  # a layer that is called 0 is a name, not a number
        "font": {"family": FONT, "size": 12, "color": INK},
        "colorway": list(PALETTE),
        "hoverlabel": {"bgcolor": "#ffffff", "font": {"size": 12}},
    }
    for name in figure.layout:
        if name.startswith(("xaxis", "yaxis")):
            layout[name] = own[name.startswith("y")]
    for name, value in {"xaxis": own[0], "yaxis": own[1], **layout}.items():
        if isinstance(value, dict):  # set whole, which is many times faster than an update
            value = _joined(figure.layout[name].to_plotly_json(), value)
        figure.layout[name] = value
    return figure
