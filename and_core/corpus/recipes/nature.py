"""Weather, water and fire: shaped noise, grains and drops."""

import numpy as np
from scipy.signal import fftconvolve

from and_core.corpus.recipes import recipe
from and_core.corpus.synth import (
    SAMPLES,
    Array,
    Scene,
    band,
    curve,
    decay,
    formants,
    hump,
    impulses,
    level,
    noise,
    seconds,
    tone,
    wobble,
)


def drop(s: Scene, frequency: float, length: float = 0.06) -> Array:
    """Synthesise a water drop: a sine that glides up while it dies away (a shrinking bubble)."""
    d = length * 2.5
    f = frequency * (1 + 0.9 * seconds(d) / d)
    return tone(f) * decay(d, length * 0.45, 0.003)


@recipe
def rain(s: Scene) -> None:
    """Synthesise dense fine grains over steady bright hiss."""
    hiss = band(noise(s.rng, 3, s.uniform(-2.5, -0.5)), 350) * wobble(s.rng, 3, 2, 0.05)
    patter = band(impulses(s.rng, 3, s.uniform(250, 900) * s.rate, 0.9), 900 * s.pitch, 6500)
    s.add(level(hiss, 1), 0, s.uniform(0.5, 1.0))
    s.add(level(patter, 1), 0, s.uniform(0.4, 0.9), event=False)


@recipe
def sea_waves(s: Scene) -> None:
    """Synthesise surf: broad noise that swells, breaks brightly and draws back, over a low roar."""
    roar = band(noise(s.rng, 3, -6), 60, 500)
    s.add(level(roar, 1), 0, 0.25, event=False)
    for at in s.times(s.uniform(1.5, 2.6), 0.2, first=s.uniform(-0.0, 0.5), most=2):
        d = s.uniform(1.9, 2.9)
        shape = curve(d, [(0, 0), (s.uniform(0.3, 0.5), 1), (0.65, 0.55), (1, 0)]) ** 1.5
        body = band(noise(s.rng, d, -3.5), 150, 2500 * s.pitch)[: len(shape)] * shape
        spray = band(noise(s.rng, d, -1), 1800 * s.pitch, 7000)[: len(shape)] * shape**2
        s.add(level(body, 1) + 0.5 * level(spray, 1), at)


@recipe
def wind(s: Scene) -> None:
    """Synthesise gusts: low noise through a wandering resonance that howls."""
    gust = np.clip(wobble(s.rng, 3, 1.2, 0.6), 0.1, 2.2)
    low = band(noise(s.rng, 3, -6), 50, 500) * gust
    centre = 420 * s.pitch * np.clip(gust, 0.5, 1.6)
    whistle = tone(centre + 30 * band(s.rng.standard_normal(SAMPLES), None, 20)) * np.abs(
        band(s.rng.standard_normal(SAMPLES), None, 15)
    )
    howl = band(noise(s.rng, 3), 300 * s.pitch, 900 * s.pitch) * gust**2
    s.add(level(low, 1) + s.uniform(0.25, 0.6) * level(howl, 1) + s.uniform(0, 0.35) * level(whistle * gust, 1), 0)


@recipe
def thunderstorm(s: Scene) -> None:
    """Synthesise a crack, then low rumbling that rolls and dies away, with rain behind."""
    at = s.uniform(0.05, 0.7)
    d = 3 - at
    crack = band(noise(s.rng, 0.35, -2), 200, 5000) * decay(0.35, 0.07)
    s.add(level(crack, 1), at, s.uniform(0.3, 2.2))
    roll = wobble(s.rng, d, 7, 0.5) * np.exp(-seconds(d) / s.uniform(0.7, 1.6))
    rumble = band(noise(s.rng, d, -7), 25, 260 * s.pitch) * roll
    s.add(level(rumble, 1), at, 1.6)
    s.add(level(band(noise(s.rng, 3, -2), 500, 7000), 1), 0, s.uniform(0.02, 0.12), event=False)


@recipe
def water_drops(s: Scene) -> None:
    """Synthesise single drops, each a short rising blip, in a resonant place."""
    base = s.uniform(750, 1800) * s.pitch
    for at in s.times(s.uniform(0.3, 0.8), 0.3):
        x = drop(s, base * s.uniform(0.8, 1.3), s.uniform(0.025, 0.06))
        s.add(x, at, s.uniform(0.5, 1))
        if s.rng.random() < 0.5:
            s.add(drop(s, base * s.uniform(1.1, 1.6), 0.03), at + s.uniform(0.04, 0.09), 0.5, event=False)


@recipe
def pouring_water(s: Scene) -> None:
    """Synthesise a stream into a vessel: many bubbles, over a resonance that rises as it fills."""
    base = s.uniform(420, 800) * s.pitch
    for at in np.sort(s.rng.uniform(0, 2.95, int(150 * s.rate))):
        s.add(drop(s, base * s.uniform(0.7, 2.8), s.uniform(0.008, 0.025)), float(at), s.uniform(0.2, 1), event=False)
    stream = band(noise(s.rng, 3, -2), 400, 4500) * wobble(s.rng, 3, 18, 0.35)
    rising = tone(curve(3, [(0, base * 1.1), (1, base * 1.9)])) * np.abs(band(s.rng.standard_normal(SAMPLES), None, 40))
    s.add(level(stream, 1), 0, 0.45)
    s.add(level(rising, 1), 0, 0.35, event=False)


@recipe
def crackling_fire(s: Scene) -> None:
    """Synthesise sparse sharp snaps of very uneven height over a soft low roar."""
    body = band(noise(s.rng, 3, -5), 60, 700) * wobble(s.rng, 3, 6, 0.3)
    hits = impulses(s.rng, 3, s.uniform(12, 40) * s.rate, 1.3)
    snaps = np.zeros(SAMPLES)
    for low, high, tau in ((900, 3000, 0.004), (2000, 7000, 0.0025), (400, 1500, 0.008)):
        ring = band(s.rng.standard_normal(400), low * s.pitch, high * s.pitch) * decay(0.025, tau, 0.0003)
        snaps += fftconvolve(hits * (s.rng.random(SAMPLES) < 0.6), ring)[:SAMPLES]
    fine = band(impulses(s.rng, 3, 120 * s.rate, 0.8), 2500, 7500)
    s.add(level(body, 1), 0, s.uniform(0.12, 0.35), event=False)
    s.add(level(snaps, 1) + 0.25 * level(fine, 1), 0)


@recipe
def glass_breaking(s: Scene) -> None:
    """Synthesise a sharp burst, then a shower of high ringing splinters."""
    at = s.uniform(0.05, 0.9)
    s.add(level(band(noise(s.rng, 0.08), 1500, 7500) * decay(0.08, 0.02, 0.0005), 1), at, 1.2)
    for _ in range(int(s.rng.integers(30, 60))):
        later = float(s.rng.exponential(0.28)) / s.rate
        f = s.uniform(2300, 6800) * s.pitch**0.5
        ring = tone(np.full(1600, f)) * decay(0.1, s.uniform(0.008, 0.04), 0.0005)
        ring += 0.6 * tone(np.full(1600, min(7400, f * s.uniform(1.2, 1.5)))) * decay(0.1, 0.012, 0.0005)
        s.add(ring, at + later, s.uniform(0.1, 0.6) * np.exp(-later), event=False)


@recipe
def airplane(s: Scene) -> None:
    """Synthesise a jet overhead: a broad low roar that swells and sinks, with a thin falling whine."""
    passing = hump(3, s.uniform(0.4, 0.7), s.uniform(0.5, 0.8)) + 0.15
    roar = band(noise(s.rng, 3, -4.5), 60, 1800 * s.pitch) * wobble(s.rng, 3, 5, 0.15)
    whine = tone(curve(3, [(0, 2300 * s.pitch), (1, 1500 * s.pitch)])) + 0.6 * tone(
        curve(3, [(0, 3100 * s.pitch), (1, 2050 * s.pitch)])
    )
    s.add((level(roar, 1) + s.uniform(0.03, 0.12) * whine) * passing[:SAMPLES], 0)


@recipe
def fireworks(s: Scene) -> None:
    """Synthesise a whistling rise, a deep bang, crackling sparks."""
    for at in s.times(s.uniform(0.9, 1.5), 0.25, most=3):
        if s.rng.random() < 0.6:
            d = s.uniform(0.3, 0.5)
            s.add(tone(curve(d, [(0, 1100 * s.pitch), (1, 2600 * s.pitch)])) * hump(d, 0.3, 0.3), at, 0.2, event=False)
            at += d
        boom = level(band(noise(s.rng, 0.6, -5), 35, 900) * decay(0.6, 0.13), 1)
        s.add(boom + 0.5 * level(band(noise(s.rng, 0.6), 900, 5000) * decay(0.6, 0.04), 1), at)
        sparks = band(impulses(s.rng, 0.9, 90 * s.rate, 0.8), 1800, 7000) * decay(0.9, 0.35, 0.1)
        s.add(formants(level(sparks, 1), [(2600, 900, 1), (4800, 1500, 1)]), at + 0.15, 0.6, event=False)
