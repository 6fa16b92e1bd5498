"""Figures of concepts over layers."""

from __future__ import annotations

import plotly.graph_objects as go

from and_core.figures.theme import HIGH, plain, themed


def neurons_per_layer(layers: list[str], counts: list[int], sizes: list[int], height: int = 240) -> go.Figure:
    """Share of each layer's neurons that a concept or word is said of; the hover gives the count."""
    share = [100 * c / s for c, s in zip(counts, sizes, strict=True)]
    hover = [f"{c} of {s} neurons" for c, s in zip(counts, sizes, strict=True)]
    figure = go.Figure(
        go.Bar(
            x=[plain(name, spaces=False) for name in layers],
            y=share,
            marker_color=HIGH,
            text=counts,
            textposition="outside",
            customdata=hover,
            hovertemplate="%{x}: %{customdata}<extra></extra>",
            cliponaxis=False,
        )
    )
    themed(figure, "layer", "% of the layer", height)
    figure.update_xaxes(automargin=True, title_standoff=8)  # names of layers are long and turned where it is narrow
    figure.update_layout(margin={"t": 22, "b": 100})
    return figure
