"""Figures 6 and 11 to 14, uninterpretable neurons by depth, and what the seed of K-means makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from and_core.figures.theme import GREY, LEGEND, line_styles, plain, themed
from and_core.store.dissection import Dissection

ABOUT_SEEDS = (
    "All layers together. The first number is the run's own clustering, as in the paper; beside it the mean over the "
    "seeds of K-means, and in brackets the lowest and the highest. The difference is taken seed by seed, neurons less "
    "random clips: below 0, neurons are more interpretable than chance."
)
Rows = Sequence[Mapping[str, Any]]
BySeed = tuple[Rows, Rows]
"""Rows by layer and of random clips, both of one K and tau, under every seed of K-means."""


def by_depth(
    networks: Sequence[Dissection], k: int, tau: int
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """Return network -> its rows of uninterpretable neurons by layer, and -> the percentage that random clips give, at
    one K and tau."""
    rows = {
        x.name: [r for r in x.interpretability_table.to_pylist() if (r["k"], r["tau"]) == (k, tau)] for x in networks
    }
    chance = {
        x.name: r["percent"] for x in networks for r in x.interpretability_chance if (r["k"], r["tau"]) == (k, tau)
    }
    return rows, chance


def by_seed(networks: Sequence[Dissection], k: int, tau: int) -> dict[str, BySeed]:
    """Return network -> its rows at one K and tau under every seed of K-means; networks that were dissected without
    other seeds are left out."""
    return {
        x.name: (
            [r for r in x.interpretability_by_seed.to_pylist() if (r["k"], r["tau"]) == (k, tau)],
            [r for r in x.interpretability_chance_by_seed if (r["k"], r["tau"]) == (k, tau)],
        )
        for x in networks
        if x.has("interpretability_seeds")
    }


def over_seeds(rows: Rows, chance: Rows) -> dict[str, tuple[float, float, float, float]]:
    """Return what the seed of K-means makes of a percentage of uninterpretable neurons.

    The interval is from the lowest to the highest of all seeds, with no assumption on how they are distributed: of ten,
    another seed falls inside with probability 9 / 11.

    Parameters
    ----------
    rows : sequence of mapping
        Of one K and tau and every seed: ``seed``, ``neurons``, ``uninterpretable``; layers count together.
    chance : sequence of mapping
        Of the same K and tau: ``seed``, ``percent`` of random sets of clips.

    Returns
    -------
    dict
        ``neurons``, ``chance``, and ``difference`` (neurons less chance, seed by seed): each the first seed's number,
        mean, lowest and highest. Empty where no neuron counts.
    """
    counts: dict[int, tuple[int, int]] = {}
    for row in rows:
        low, total = counts.get(row["seed"], (0, 0))
        counts[row["seed"]] = low + row["uninterpretable"], total + row["neurons"]
    null = {row["seed"]: row["percent"] for row in chance}
    seeds = [seed for seed, (_, total) in counts.items() if total and seed in null]
    if not seeds:
        return {}
    neurons = np.array([100 * counts[seed][0] / counts[seed][1] for seed in seeds])
    by_random = np.array([null[seed] for seed in seeds])
    found = {"neurons": neurons, "chance": by_random, "difference": neurons - by_random}
    return {
        name: (float(values[0]), float(values.mean()), float(values.min()), float(values.max()))
        for name, values in found.items()
    }


def hidden(rows: Rows, kind: str | None = None) -> list[Mapping[str, Any]]:
    """Return rows of layers that lie in a block and have neurons that count, of one kind or all."""
    return [r for r in rows if r["block"] is not None and r["neurons"] and (kind is None or r["kind"] == kind)]


def uninterpretable_curves(
    networks: Mapping[str, Rows],
    chance: Mapping[str, float],
    kind: str | None = None,
    height: int = 290,
    seeds: Mapping[str, BySeed] | None = None,
) -> go.Figure:
    """Return Figs. 6, 11 to 14: percentage of uninterpretable neurons by block; dotted, what random sets of clips give.

    Parameters
    ----------
    networks : mapping
        Network -> rows of one K and tau, as :func:`and_core.analyze.interpretability.uninterpretable` gives them.
    chance : mapping of str to float
        Network -> percentage for random sets of clips, with that network's own clusters; one line where all are the
        same.
    kind : str, optional
        One kind of layer; without it, all hidden layers of a block together.
    seeds : mapping, optional
        See :func:`by_seed`: drawn as bars, and as a band about chance, from the lowest to the highest.
    """
    figure, seeds = go.Figure(), seeds or {}
    every: set[int] = set()
    for (colour, dash), (name, rows) in zip(line_styles(), networks.items(), strict=False):
        every |= _line(figure, plain(name, spaces=False), hidden(rows, kind), seeds.get(name), kind, colour, dash)
    alike = len({round(percent, 1) for percent in chance.values()}) == 1
    for (colour, _), name in zip(line_styles(), networks, strict=False):
        if name not in chance or not every:
            continue
        label = "random clips" if alike else f"random clips, {plain(name, spaces=False)}"
        ends, ink = [min(every), max(every)], GREY if alike else colour
        if name in seeds:
            _band(figure, ends, [r["percent"] for r in seeds[name][1]], ink)
        figure.add_scatter(
            x=ends,
            y=[chance[name]] * 2,
            mode="lines",
            name=label,
            line={"color": ink, "dash": "dot"},
            opacity=1 if alike else 0.55,
            hovertemplate=f"{label}: %{{y:.1f}} %<extra></extra>",
        )
        if alike:
            break
    themed(figure, "block", "uninterpretable neurons, %", height)
    figure.update_yaxes(range=[0, 102])
    figure.update_xaxes(dtick=1)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def _line(
    figure: go.Figure, label: str, points: Rows, seeds: BySeed | None, kind: str | None, colour: str, dash: str
) -> set[int]:
    """Draw one network, with a bar over the seeds at each block; return its blocks."""
    blocks = sorted({r["block"] for r in points})
    share = []
    for block in blocks:
        inside = [r for r in points if r["block"] == block]
        share.append(100 * sum(r["uninterpretable"] for r in inside) / sum(r["neurons"] for r in inside))
    bars: dict[str, Any] = {}
    beside = [""] * len(blocks)
    if seeds is not None and blocks:
        rows, chance = hidden(seeds[0], kind), seeds[1]
        every = [over_seeds([r for r in rows if r["block"] == block], chance)["neurons"] for block in blocks]
        up = [high - own for (*_, high), own in zip(every, share, strict=True)]
        down = [own - low for (_, _, low, _), own in zip(every, share, strict=True)]
        bars = {"error_y": {"array": up, "arrayminus": down, "symmetric": False, "thickness": 1, "width": 3}}
        beside = [f", over seeds {low:.1f} to {high:.1f} %" for _, _, low, high in every]
    figure.add_scatter(
        x=blocks,
        y=share,
        mode="lines+markers",
        name=label,
        line={"color": colour, "dash": dash},
        customdata=beside,
        hovertemplate=f"{label}, block %{{x}}: %{{y:.1f}} %%{{customdata}}<extra></extra>",
        **bars,
    )
    return set(blocks)


def _band(figure: go.Figure, x: Sequence[float], values: Sequence[float], colour: str) -> None:
    """Draw a band across the figure from the lowest to the highest value, without a place in the legend."""
    low, high = min(values), max(values)
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[high, high, low, low],
        mode="none",
        fill="toself",
        fillcolor=colour,
        opacity=0.25,
        showlegend=False,
        hoverinfo="skip",
    )


def seed_remarks(seeds: Mapping[str, BySeed], kind: str | None = None) -> list[str]:
    """Return a sentence a network: uninterpretable neurons of its hidden layers over the seeds, chance, and the
    difference."""
    remarks = []
    for name, (rows, chance) in seeds.items():
        found = over_seeds(hidden(rows, kind), chance)
        if found:
            own, mean, low, high = found["neurons"]
            _, null, null_low, null_high = found["chance"]
            _, less, less_low, less_high = found["difference"]
            remarks.append(
                f"{name}: over {len({r['seed'] for r in chance})} seeds of K-means, {low:.1f} to {high:.1f} % of the "
                f"neurons are uninterpretable (mean {mean:.1f}; the run's own seed {own:.1f}), and {null_low:.1f} to "
                f"{null_high:.1f} % of random sets of clips (mean {null:.1f}). Seed by seed, the share of neurons "
                f"differs from that of random clips by {less:+.1f} points on average, between {less_low:+.1f} and "
                f"{less_high:+.1f}."
            )
    return remarks


def layer_spans(networks: Sequence[Dissection]) -> dict[tuple[str, str, int, int], dict[str, float]]:
    """Return (network, layer, K, tau) -> lowest and highest percentage over the seeds of K-means."""
    spans: dict[tuple[str, str, int, int], dict[str, float]] = {}
    for x in networks:
        if not x.has("interpretability_seeds"):
            continue
        for row in x.interpretability_by_seed.to_pylist():
            found = spans.setdefault(
                (x.name, row["layer"], row["k"], row["tau"]), {"low": row["percent"], "high": row["percent"]}
            )
            found["low"], found["high"] = min(found["low"], row["percent"]), max(found["high"], row["percent"])
    return spans


def seed_table(networks: Sequence[Dissection]) -> list[dict[str, str]]:
    """Return one row a network, K and tau: the run's own number, mean and interval over the seeds of K-means, chance,
    and the difference from it; all layers together."""
    table = []
    for x in networks:
        for at in x.interpretability_chance:
            k, tau = at["k"], at["tau"]
            for rows, chance in by_seed([x], k, tau).values():
                found = over_seeds(rows, chance)
                if found:
                    cells = {
                        "uninterpretable %": f"{found['neurons'][0]:.1f}",
                        "over seeds": _interval(found["neurons"], ".1f"),
                        "random clips %": f"{found['chance'][0]:.1f}",
                        "random clips over seeds": _interval(found["chance"], ".1f"),
                        "difference, points": _interval(found["difference"], "+.1f"),
                    }
                    table.append({"network": x.name, "K": str(k), "\u03c4": str(tau), **cells})
    return table


def _interval(found: tuple[float, float, float, float], form: str) -> str:
    _, mean, low, high = found
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"
