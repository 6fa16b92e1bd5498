"""What an ablation changes, class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from and_core.figures.theme import HIGH, INK, LOW, plain, themed

UNITS = {"logits": "logit, the network's own unit", "probabilities": "probability"}


def change_by_class(
    classes: Sequence[str],
    change: np.ndarray,
    fair: np.ndarray | None,
    concept: Sequence[str],
    related: Sequence[str],
    unit: str,
    height: int = 380,
) -> go.Figure:
    """Return Fig. 10: change of each class's own output on its own clips, largest loss first; the concept in vermilion,
    related classes named in red.

    Parameters
    ----------
    change, fair : (C,) float
        Under the ablation, and on average under the fair random controls; NaN for a class without clips, which is left
        out.
    concept : sequence of str
        Classes that were to be unlearned.
    related : sequence of str
    unit : str
        ``logits`` or ``probabilities``.
    """
    order = [i for i in np.argsort(change, kind="stable") if np.isfinite(change[i])]
    names = [plain(classes[i]) for i in order]
    colour = [LOW if classes[i] in concept else HIGH for i in order]
    known = {plain(name).lower() for name in related}
    marked = {classes[i]: f"color:{LOW}" for i in order if plain(classes[i]).lower() in known}
    marked |= dict.fromkeys(concept, f"color:{LOW};font-weight:700")
    ticks = [
        f'<span style="{marked[classes[i]]}">{name}</span>' if classes[i] in marked else name
        for i, name in zip(order, names, strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            x=list(range(len(order))),
            y=change[order],
            marker_color=colour,
            customdata=names,
            hovertemplate="%{customdata}: %{y:.3f}<extra></extra>",
        )
    )
    if fair is not None:
        label = "as many random neurons in the same layers"
        figure.add_scatter(
            x=list(range(len(order))),
            y=fair[order],
            mode="markers",
            marker={"color": INK, "size": 5, "symbol": "line-ew", "line": {"width": 2, "color": INK}},
            customdata=names,
            hovertemplate=f"%{{customdata}}, {label}: %{{y:.3f}}<extra></extra>",
        )
    themed(figure, "", f"change, {UNITS[unit]}", height)
    figure.update_xaxes(tickmode="array", tickvals=list(range(len(order))), ticktext=ticks, tickangle=-55)
    figure.update_layout(margin={"b": 120, "l": 56})
    return figure


def most_changed(
    classes: Sequence[str],
    change: np.ndarray,
    concept: Sequence[str],
    unit: str,
    span: tuple[float, float] | None = None,
    most: int = 8,
    height: int = 250,
) -> go.Figure:
    """Return the classes whose own output changes most, the concept first, for a narrow place.

    Parameters
    ----------
    classes : sequence of str
    change : (C,) array
        Of each class's output on its own clips, NaN where it has none.
    concept : sequence of str
        Classes that are the concept.
    unit : str
        ``logits`` or ``probabilities``.
    span : tuple of float, optional
        Ends of the axis, see :func:`span_of`, so that several figures beside each other can be compared.
    most : int
        Classes shown.
    """
    known = [i for i in np.argsort(-np.abs(change)) if np.isfinite(change[i])]
    own = [i for i in known if classes[i] in concept]
    order = [*own, *(i for i in known if i not in own)][:most]
    figure = go.Figure(
        go.Bar(
            x=change[order],
            y=[plain(classes[i]) for i in order],
            orientation="h",
            marker_color=[LOW if i in own else HIGH for i in order],
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    themed(figure, f"change, {UNITS[unit]}", "", height)
    figure.update_yaxes(autorange="reversed", automargin=True)
    if span is not None:
        figure.update_xaxes(range=span)
    return figure.update_layout(margin={"l": 10})


def span_of(changes: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return ends of an axis that holds all changes, and zero."""
    values = np.concatenate([[0.0], *(np.asarray(c)[np.isfinite(c)] for c in changes)])
    margin = 0.04 * float(values.max() - values.min() or 1)
    return float(values.min()) - margin, float(values.max()) + margin
