"""Figures of tuning: one neuron's curves, and how tuning is spread over a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from and_core.figures.theme import GREY, HIGH, INK, LOW, PALETTE, plain, themed
from and_core.query.tuning import NeuronTuning, column, hertz
from and_core.records import NeuronId
from and_core.store.dissection import Dissection

DIVERGING = [[0.0, LOW], [0.5, "#f7f5ef"], [1.0, HIGH]]
TICKS = [62.5, 125, 250, 500, 1000, 2000, 4000, 8000, 16000]
RESPONSE = "response, SD"
BINS = 3  # an octave


def _log(figure: go.Figure, low: float, high: float, ticks: list[float] | None = None, axis: str = "x") -> None:
    chosen = [t for t in (ticks or TICKS) if low * 0.99 <= t <= high * 1.01]
    text = [f"{t / 1000:g}k" if t >= 1000 else f"{t:g}" for t in chosen]
    update = figure.update_xaxes if axis == "x" else figure.update_yaxes
    update(type="log", tickvals=chosen, ticktext=text, range=[np.log10(low), np.log10(high)])


def response_area(t: NeuronTuning, height: int = 260, at: tuple[float, float] | None = None) -> go.Figure:
    """Return the frequency-response area: responses to tones by frequency and level, the best frequency marked, and a
    frequency in Hz with a level in dB."""
    design = t.design
    values = t.at(design.tones)
    most = max(float(np.abs(values).max()), 1e-6)
    figure = go.Figure(
        go.Heatmap(
            x=design.frequencies,
            y=design.levels,
            z=values,
            zmin=-most,
            zmax=most,
            colorscale=DIVERGING,
            colorbar={"thickness": 10, "outlinewidth": 0},
            hovertemplate="%{x:.0f} Hz, %{y:.0f} dB: %{z:+.2f} SD<extra></extra>",
        )
    )
    themed(figure, "frequency of the tone, Hz", "level, dB", height)
    step = design.frequencies[1] / design.frequencies[0] if len(design.frequencies) > 1 else 1.1
    _log(figure, design.frequencies[0] / step**0.5, design.frequencies[-1] * step**0.5)
    figure.update_yaxes(type="category", showgrid=False)
    if t.row["tuned_to_frequency"] and t.row["best_frequency"] is not None:
        figure.add_vline(x=t.row["best_frequency"], line={"color": INK, "width": 1, "dash": "dot"})
    if at is not None:
        nearest = int(np.argmin(np.abs(design.levels - at[1])))
        figure.add_scatter(
            x=[at[0]], y=[design.levels[nearest]], mode="markers", hoverinfo="skip",
            marker={"color": INK, "size": 13, "symbol": "circle-open", "line": {"width": 2}},
        )  # fmt: skip
    return figure


def _curve(
    x: np.ndarray, lines: list[tuple[str, np.ndarray, np.ndarray | None, str]], title: str, height: int
) -> go.Figure:
    figure = go.Figure()
    for name, y, spread, colour in lines:
        figure.add_scatter(
            x=x,
            y=y,
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 5},
            error_y=None if spread is None else {"array": spread, "thickness": 1, "width": 0},
            hovertemplate="%{x:.3g}: %{y:+.2f} SD<extra>" + name + "</extra>",
        )
    themed(figure, title, RESPONSE, height)
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    if len(lines) > 1:
        figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 0})
    return figure


def frequency_curve(t: NeuronTuning, height: int = 230) -> go.Figure:
    """Return the response by frequency at the level at which the best frequency is clearest."""
    design = t.design
    level = int(np.argmin(np.abs(design.levels - (t.row["best_frequency_level"] or 0))))
    at = design.tones[level]
    title = f"frequency of the tone at {design.levels[level]:.0f} dB, Hz"
    figure = _curve(design.frequencies, [("tones", t.at(at), t.std[at], HIGH)], title, height)
    _log(figure, design.frequencies[0], design.frequencies[-1])
    return figure


def level_curve(t: NeuronTuning, height: int = 230) -> go.Figure:
    """Return the response by level: of the tone at the best frequency, and of white noise."""
    design = t.design
    best = t.row["best_frequency"]
    place = int(np.argmin(np.abs(np.log2(design.frequencies / best)))) if best else len(design.frequencies) // 2
    at = design.tones[:, place]
    name = f"tone of {hertz(design.frequencies[place])}"
    figure = _curve(design.levels, [(name, t.at(at), t.std[at], HIGH)], "level, dB", height)
    noise = design.chosen("noise", kind="white")
    figure.add_scatter(
        x=design.of("level")[noise],
        y=t.at(noise),
        name="white noise",
        mode="lines+markers",
        line={"color": GREY, "width": 2},
        marker={"size": 5},
    )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 0})
    return figure


def modulation_curve(t: NeuronTuning, height: int = 230) -> go.Figure:
    """Return the response by rate of amplitude modulation, on the carrier that counts and on noise."""
    design = t.design
    lines: list[tuple[str, np.ndarray, str]] = []
    for carrier, colour in ((t.carrier, HIGH), (0, GREY)):
        at = design.modulated(carrier)
        value = design.carriers[carrier]
        name = "on noise" if value != value else f"on {hertz(value)}"
        if len(at) and name not in [line[0] for line in lines]:
            lines.append((name, at, colour))
    figure = go.Figure()
    for name, at, colour in lines:
        figure.add_scatter(
            x=design.of("rate")[at], y=t.at(at), name=name, mode="lines+markers", line={"color": colour, "width": 2},
            marker={"size": 5}, hovertemplate="%{x:.3g} Hz: %{y:+.2f} SD<extra>" + name + "</extra>",
        )  # fmt: skip
    themed(figure, "rate of amplitude modulation, Hz", RESPONSE, height)
    _log(figure, 1, 256, [1, 4, 16, 64, 256])
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 0})
    return figure


def sweep_curve(t: NeuronTuning, height: int = 230) -> go.Figure:
    """Return the response to rising and falling sweeps by speed."""
    speeds, sweeps = t.design.sweeps
    lines = [
        (name, t.at(sweeps[:, i]), t.std[sweeps[:, i]], colour)
        for i, (name, colour) in enumerate((("rising", HIGH), ("falling", LOW)))
    ]
    figure = _curve(speeds, lines, "speed of the sweep, octaves a second", height)
    if len(speeds):
        _log(figure, float(speeds[0]), float(speeds[-1]), [1, 2, 4, 8, 16, 32, 64])
    return figure


def ripple_map(t: NeuronTuning, height: int = 230) -> go.Figure:
    """Return responses to ripples by rate, rising to the right, and density."""
    design = t.design
    at = design.chosen("ripple")
    rate = design.of("rate")[at] * np.where(design.of("direction")[at] == 0, 1, design.of("direction")[at])
    density = design.of("density")[at]
    rates, densities = np.unique(rate), np.unique(density)
    grid = np.full((len(densities), len(rates)), np.nan)
    grid[np.searchsorted(densities, density), np.searchsorted(rates, rate)] = t.at(at)
    flat = np.searchsorted(densities, 0.0)
    if len(densities) and densities[flat] == 0:  # without density a ripple has no direction
        known = np.where(np.isfinite(grid[flat]), grid[flat], grid[flat][::-1])
        grid[flat] = known
    most = max(float(np.nanmax(np.abs(grid))), 1e-6) if grid.size else 1.0
    figure = go.Figure(
        go.Heatmap(
            x=[f"{r:+.0f}" if r else "0" for r in rates], y=[f"{x:g}" for x in densities], z=grid, zmin=-most,
            zmax=most, colorscale=DIVERGING, showscale=False,
            hovertemplate="%{x} Hz, %{y} cycles an octave: %{z:+.2f} SD<extra></extra>",
        )
    )  # fmt: skip
    themed(figure, "rate, Hz (rising: positive)", "cycles an octave", height)
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", showgrid=False)
    return figure


def time_curve(t: NeuronTuning, height: int = 230) -> go.Figure:
    """Return the response by duration of noise, and by repetition of clicks."""
    seconds, bursts = t.design.durations
    figure = _curve(1000 * seconds, [("noise", t.at(bursts), t.std[bursts], HIGH)], "duration of noise, ms", height)
    if len(seconds):
        _log(figure, 1000 * float(seconds[0]), 1000 * float(seconds[-1]), [10, 20, 50, 100, 200, 500, 1000, 3000])
    return figure


def repetition_curve(t: NeuronTuning, height: int = 230) -> go.Figure:
    """Return the response by repetition rate of clicks."""
    at = t.design.chosen("click", kind="train")
    rates = t.design.of("rate")[at]
    figure = _curve(rates, [("clicks", t.at(at), t.std[at], HIGH)], "clicks a second", height)
    _log(figure, float(rates[0]), float(rates[-1]), [1, 2, 4, 8, 16, 32, 64, 128])
    return figure


def receptive_field(d: Dissection, neuron: NeuronId, height: int = 230) -> go.Figure | None:
    """Return the spectro-temporal receptive field of a neuron, or a spectral one where its layer has no map over time;
    None where it foretells nothing on clips that were not fitted."""
    index, about = d.index(neuron), d.receptive_fields_about
    low = d.tuning["field_low"][index].as_py()
    if low is None or not low > 0:
        return None
    own = about["layers"][neuron.layer]
    weights = np.asarray(d.receptive_fields[index], float)[: own["lags"]]
    hertz = np.array(about["hertz"])
    if not own["step"]:
        figure = go.Figure(go.Bar(x=hertz, y=weights[0], marker_color=np.where(weights[0] > 0, HIGH, LOW)))
        themed(figure, "frequency, Hz", "weight", height)
        _log(figure, float(hertz[0]), float(hertz[-1]))
        return figure
    most = max(float(np.abs(weights).max()), 1e-9)
    names = [f"{-1000 * lag * own['step']:.0f}" for lag in range(own["lags"])]
    figure = go.Figure(
        go.Heatmap(
            x=names[::-1], y=[f"{h:.0f}" for h in hertz], z=weights[::-1].T, zmin=-most, zmax=most, showscale=False,
            colorscale=DIVERGING, hovertemplate="%{x} ms, %{y} Hz: %{z:+.3f}<extra></extra>",
        )
    )  # fmt: skip
    themed(figure, "time before, ms", "frequency, Hz", height)
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", nticks=6, showgrid=False)
    return figure


NEURON_FIGURES: dict[str, Callable[[NeuronTuning], go.Figure]] = {
    "area": response_area, "frequency": frequency_curve, "level": level_curve, "modulation": modulation_curve,
    "sweeps": sweep_curve, "ripples": ripple_map, "duration": time_curve, "repetition": repetition_curve,
}  # fmt: skip


def frequencies_by_depth(d: Dissection, height: int = 320) -> go.Figure:
    """Return best frequencies of the neurons that are tuned to frequency, layer by layer."""
    best, mask = column(d, "best_frequency"), np.asarray(column(d, "tuned_to_frequency"), bool)
    figure = go.Figure()
    for layer in d.layers:
        units = slice(layer.offset, layer.offset + layer.size)
        values = best[units][mask[units]]
        if len(values):
            figure.add_box(
                x=[plain(layer.title)] * len(values), y=values, name=plain(layer.title), line={"width": 1},
                marker={"color": HIGH, "size": 2}, boxpoints=False, hoverinfo="y",
            )  # fmt: skip
    themed(figure, "", "best frequency, Hz", height)
    if mask.any():
        _log(figure, float(best[mask].min()), float(best[mask].max()), axis="y")
    return _layers_below(figure)


def _layers_below(figure: go.Figure) -> go.Figure:
    """Make room for names of layers under a figure."""
    figure.update_xaxes(tickangle=-40, automargin=True)
    return figure


def shares_by_depth(d: Dissection, height: int = 320) -> go.Figure:
    """Return what share of each layer's neurons is excited by frequency bands of less than an octave, prefers a
    direction, passes a band of modulation rates, or has a level function that is not monotone."""
    figure = go.Figure()
    names = [plain(layer.title) for layer in d.layers]
    for (label, mask), colour in zip(kinds(d).items(), PALETTE, strict=False):
        shares = [100 * float(mask[x.offset : x.offset + x.size].mean()) for x in d.layers]
        figure.add_scatter(
            x=names, y=shares, name=label, mode="lines+markers", line={"color": colour, "width": 2},
            hovertemplate="%{x}: %{y:.0f} %<extra>" + label + "</extra>",
        )  # fmt: skip
    themed(figure, "", "% of neurons", height)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0})
    figure.update_layout(margin={"t": 48})
    return _layers_below(figure)


def kinds(d: Dissection) -> dict[str, np.ndarray]:
    """Return (R,) bool by what neurons are distinctly tuned to."""

    def yes(name: str) -> np.ndarray:
        return np.asarray(column(d, name), bool)

    index = np.abs(np.nan_to_num(column(d, "direction_index")))
    return {
        "band of less than an octave": yes("tuned_to_frequency") & (np.nan_to_num(column(d, "bandwidth"), nan=9) < 1),
        "direction (index above 1/3)": yes("tuned_to_direction") & (index > 1 / 3),
        "band of modulation rates": yes("tuned_to_modulation") & (column(d, "modulation_shape") == "band-pass"),
        "level, not monotone": yes("tuned_to_level") & (column(d, "level_shape") == "non-monotone"),
    }
