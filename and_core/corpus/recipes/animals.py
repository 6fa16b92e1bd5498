"""Animals: voiced calls through formants, chirps, stridulation."""

import numpy as np

from and_core.corpus.recipes import recipe
from and_core.corpus.synth import (
    Scene,
    band,
    curve,
    decay,
    formants,
    harmonics,
    hump,
    noise,
    seconds,
    tone,
    voice,
    wobble,
)


@recipe
def dog(s: Scene) -> None:
    """Synthesise barks: short rough voiced bursts whose pitch jumps up and drops, in groups."""
    base = s.uniform(320, 620) * s.pitch
    for at in s.times(s.uniform(0.32, 0.75), 0.3, most=int(s.rng.integers(2, 9))):
        d = s.uniform(0.12, 0.24)
        f = curve(d, [(0, base * 0.7), (0.2, base * 1.25), (0.5, base), (1, base * 0.55)])
        x = voice(s.rng, f, 4, 0.7, 0.05) * (1 + 0.5 * np.sin(2 * np.pi * 55 * seconds(d))[: len(f)])
        x = formants(x, [(base * 1.6, 250, 1), (1500 * s.pitch, 400, 0.8), (2800, 700, 0.35)])
        s.add(x * hump(d, 0.08, 0.55)[: len(x)], at, s.uniform(0.7, 1))


@recipe
def rooster(s: Scene) -> None:
    """Synthesise a crow: three short notes and one long falling one, nasal, strongly harmonic."""
    base = s.uniform(520, 760) * s.pitch
    at = s.uniform(0.05, 0.5)
    notes = [(0.16, 0.85, 0.9), (0.14, 1.0, 1.05), (0.18, 1.05, 1.2), (s.uniform(0.75, 1.2), 1.3, 0.8)]
    for length, start, end in notes:
        d = length / s.rate**0.5
        f = curve(
            d, [(0, base * start * 0.9), (0.15, base * start), (0.6, base * (start + end) / 2 * 1.03), (1, base * end)]
        )
        x = voice(s.rng, f, 2.5, 0.25, 0.015)
        x = formants(x, [(1250 * s.pitch, 350, 1), (2500 * s.pitch, 500, 0.9), (4100, 700, 0.4)])
        s.add(x * hump(d, 0.1, 0.25)[: len(x)], at)
        at += d + s.uniform(0.02, 0.08)


@recipe
def crow(s: Scene) -> None:
    """Synthesise caws: noisy, low formants, half a second each, nearly flat pitch."""
    base = s.uniform(330, 470) * s.pitch
    for at in s.times(s.uniform(0.6, 0.95), 0.15, most=5):
        d = s.uniform(0.26, 0.42)
        f = curve(d, [(0, base), (0.3, base * 1.12), (1, base * 0.85)])
        x = voice(s.rng, f, 1.5, 0.9, 0.09) * wobble(s.rng, d, 70, 0.45)[: len(f)]
        x = formants(x, [(1150 * s.pitch, 300, 1), (1750 * s.pitch, 350, 1), (3300, 900, 0.4)])
        s.add(x * hump(d, 0.15, 0.35)[: len(x)], at)


@recipe
def frog(s: Scene) -> None:
    """Synthesise croaks: pulse trains of a low resonance, about 25 pulses a second."""
    resonance = s.uniform(380, 900) * s.pitch
    for at in s.times(s.uniform(0.45, 0.9), 0.15, most=6):
        d = s.uniform(0.22, 0.45)
        pulse_rate = s.uniform(22, 40) * s.rate**0.5
        x = np.zeros(int(d * 16000) + 800)
        for k in range(int(d * pulse_rate)):
            pulse = decay(0.045, 0.011) * tone(np.full(720, resonance * (1 + 0.15 * k / (d * pulse_rate))))
            start = int(k / pulse_rate * 16000)
            piece = pulse[: len(x) - start]
            x[start : start + len(piece)] += piece
        x += 0.4 * band(x, resonance * 1.8, resonance * 2.6)
        s.add(x[: int(d * 16000)] * hump(d, 0.25, 0.2)[: int(d * 16000)], at)


@recipe
def cat(s: Scene) -> None:
    """Synthesise meows: one long voiced glide up and down while the mouth opens and closes."""
    base = s.uniform(430, 680) * s.pitch
    for at in s.times(s.uniform(1.1, 1.6), 0.15, most=2):
        d = s.uniform(0.6, 1.0)
        f = curve(d, [(0, base * 0.8), (0.25, base * 1.15), (0.6, base * 1.05), (1, base * 0.65)])
        x = voice(s.rng, f, 6, 0.08, 0.01)
        closed = formants(x, [(650, 200, 1), (1200, 300, 0.3)])
        opened = formants(x, [(1100, 300, 1), (2300, 400, 0.9), (3600, 600, 0.4)])
        mix = curve(d, [(0, 0), (0.35, 1), (0.6, 0.9), (1, 0)])[: len(x)]
        s.add((closed * (1 - mix) + opened * mix) * hump(d, 0.2, 0.35)[: len(x)], at)


@recipe
def hen(s: Scene) -> None:
    """Synthesise clucks: short nasal notes in uneven rows, some drawn out."""
    base = s.uniform(480, 700) * s.pitch
    for at in s.times(s.uniform(0.22, 0.34), 0.35):
        long = s.rng.random() < 0.12
        d = s.uniform(0.3, 0.5) if long else s.uniform(0.05, 0.1)
        f = curve(d, [(0, base * 0.8), (0.4, base * (1.5 if long else 1.1)), (1, base * 0.8)])
        x = formants(voice(s.rng, f, 4, 0.35, 0.03), [(950, 250, 1), (1900, 400, 0.6), (3000, 600, 0.2)])
        s.add(x * hump(d, 0.15, 0.5)[: len(x)], at, s.uniform(0.4, 1))


@recipe
def chirping_birds(s: Scene) -> None:
    """Synthesise several birds: quick whistled sweeps and trills between 2 and 6 kHz."""
    for _ in range(int(s.rng.integers(2, 5))):
        centre = s.uniform(2300, 4600) * s.pitch
        motif = [
            (s.uniform(0.04, 0.14), s.uniform(0.8, 1.25), s.uniform(0.8, 1.25))
            for _ in range(int(s.rng.integers(2, 6)))
        ]
        gain = s.uniform(0.25, 1)
        for start in s.times(s.uniform(0.5, 1.1), 0.35):
            at = start
            for length, a, b in motif:
                d = length / s.rate**0.5
                x = tone(curve(d, [(0, centre * a), (1, centre * b)])) * hump(d, 0.2, 0.4)
                s.add(x, at, gain)
                at += d * 1.25


@recipe
def crickets(s: Scene) -> None:
    """Synthesise chirps of three or four fast pulses at one high frequency, very regular, one or two insects."""
    for voice_index in range(int(s.rng.integers(1, 3))):
        f = s.uniform(3900, 5000) * s.pitch**0.5
        pulses = int(s.rng.integers(3, 5))
        pulse = tone(np.full(256, f)) * np.hanning(256)
        for at in s.times(s.uniform(0.28, 0.5), 0.04, s.uniform(0, 0.4)):
            for k in range(pulses):
                s.add(pulse, at + k * 0.032, 1.0 if voice_index == 0 else 0.5, event=k == 0)


@recipe
def insects(s: Scene) -> None:
    """Synthesise buzzing wings: a harmonic buzz that comes and goes, over a thin high shimmer."""
    base = s.uniform(150, 260) * s.pitch
    f = base * (1 + 0.06 * (wobble(s.rng, 3, 2.5, 1.0) - 1))
    near = np.clip(wobble(s.rng, 3, 1.5, 0.6), 0.05, 2)
    buzz = band(harmonics(f, 2.0, 40) * near[: len(f)], 200, 5500)
    s.add(buzz / np.std(buzz), 0)
    shimmer = band(noise(s.rng, 3), 5200, 7000) * (
        1 + 0.6 * np.sign(np.sin(2 * np.pi * s.uniform(30, 60) * seconds(3)))
    )
    s.add(shimmer, 0, s.uniform(0.05, 0.25), event=False)
