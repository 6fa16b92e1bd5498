"""One look for all charts: quiet paper, one ink, colour only where it means something."""

from __future__ import annotations

import html
from collections.abc import Iterator
from itertools import cycle

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


def themed(figure: go.Figure, x: str, y: str, height: int = 200) -> go.Figure:
    """Apply the theme and title both axes, units included."""
    figure.update_layout(
        height=height,
        margin={"l": 48, "r": 10, "t": 8, "b": 40},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        bargap=0.08,
        showlegend=False,
        autotypenumbers="strict",  # a layer that is called 0 is a name, not a number
        font={"family": "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif", "size": 12, "color": INK},
        colorway=list(PALETTE),
        hoverlabel={"bgcolor": "#ffffff", "font_size": 12},
    )
    axis = {
        "gridcolor": "#f0ede5",
        "linecolor": LINE,
        "zeroline": False,
        "ticks": "",
        "title_font": {"size": 12, "color": MUTED},
    }
    figure.update_xaxes(title_text=x, showgrid=False, **axis)
    figure.update_yaxes(title_text=y, **axis)
    return figure
