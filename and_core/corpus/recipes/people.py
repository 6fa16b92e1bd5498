"""People: crying, sneezing, breathing, snoring, clapping, footsteps."""

import numpy as np

from and_core.corpus.recipes import recipe
from and_core.corpus.synth import Scene, band, curve, decay, formants, hump, level, modes, noise, seconds, voice, wobble


@recipe
def crying_baby(s: Scene) -> None:
    """Synthesise wails of about a second around 450 Hz, rising and falling, with gasps between."""
    base = s.uniform(400, 540) * s.pitch
    for at in s.times(s.uniform(0.9, 1.3), 0.12, most=4):
        d = s.uniform(0.55, 0.95) / s.rate**0.3
        f = curve(d, [(0, base * 0.85), (0.2, base * 1.1), (0.7, base * s.uniform(1.0, 1.15)), (1, base * 0.75)])
        f = f * (1 + 0.012 * np.sin(2 * np.pi * 7 * seconds(d))[: len(f)])
        x = voice(s.rng, f, 3, 0.12, 0.02)
        x = formants(x, [(1100, 250, 1), (1700, 350, 0.6), (3300, 500, 0.9), (4900, 800, 0.35)])
        s.add(x * hump(d, 0.15, 0.3)[: len(x)], at)
        gasp = band(noise(s.rng, 0.14), 1500, 5000) * hump(0.14, 0.5, 0.3)
        s.add(level(gasp, 0.1), at + d + 0.05, 0.7, event=False)


@recipe
def sneezing(s: Scene) -> None:
    """Synthesise an intake of breath, then a burst: a voiced onset turning into strong noise."""
    for start in s.times(s.uniform(1.5, 2.4), 0.15, first=s.uniform(0.05, 0.7), most=2):
        at = start
        d = s.uniform(0.25, 0.5)
        intake = formants(noise(s.rng, d), [(900, 300, 0.5), (1900, 600, 1)]) * hump(d, 0.7, 0.15)[: int(d * 16000)]
        s.add(level(intake, 0.15), at, s.uniform(0.3, 0.9), event=False)
        at += d + 0.06
        d = s.uniform(0.22, 0.4)
        f = curve(d, [(0, 300 * s.pitch), (0.3, 420 * s.pitch), (1, 200 * s.pitch)])
        vowel = (
            formants(voice(s.rng, f, 4, 0.5), [(700, 250, 1), (1400, 350, 0.7), (2600, 500, 0.4)])
            * decay(d, 0.07, 0.01)[: len(f)]
        )
        burst = band(noise(s.rng, d, -1), 1200, 7000)[: len(f)] * decay(d, 0.09, 0.015)[: len(f)]
        s.add(level(vowel, 0.7) + level(burst, 0.9), at)


@recipe
def breathing(s: Scene) -> None:
    """Synthesise breaths in and out, soft filtered noise, the way out darker."""
    for index, at in enumerate(s.times(s.uniform(0.65, 1.0), 0.06)):
        d = s.uniform(0.45, 0.65) / s.rate**0.7
        centre = (1700 if index % 2 == 0 else 950) * s.pitch
        x = formants(noise(s.rng, d, -2), [(centre, 500, 1), (centre * 1.9, 900, 0.5)])
        s.add(x * hump(d, 0.35, 0.5)[: len(x)], at, 1.0 if index % 2 else 0.7)


@recipe
def snoring(s: Scene) -> None:
    """Synthesise rough low vibrations as breath goes in, near silence between."""
    for at in s.times(s.uniform(1.3, 1.9), 0.06, first=s.uniform(0.05, 0.5)):
        d = s.uniform(0.7, 1.0)
        flutter = s.uniform(26, 44) * s.pitch
        n = noise(s.rng, d, -4)
        t = seconds(d)[: len(n)]
        rough = n * (0.1 + np.clip(np.sin(2 * np.pi * flutter * t + 2 * np.sin(2 * np.pi * 1.5 * t)), 0, 1) ** 2)
        x = formants(rough, [(250 * s.pitch, 120, 1), (620, 200, 0.6), (1500, 500, 0.2)])
        s.add(x * hump(d, 0.3, 0.25)[: len(x)], at)
        out = formants(noise(s.rng, 0.5), [(800, 400, 1)]) * hump(0.5, 0.4, 0.5)
        s.add(level(out, 0.02), at + d + 0.1, 1, event=False)


@recipe
def clapping(s: Scene) -> None:
    """Hand claps: short bursts around 1 to 2 kHz, one pair of hands or several."""
    hands = int(s.rng.choice([1, 1, 2, 6]))
    for _ in range(hands):
        centre = s.uniform(900, 1900) * s.pitch
        for at in s.times(s.uniform(0.22, 0.34), 0.05 if hands < 3 else 0.25, s.uniform(0, 0.3)):
            x = formants(noise(s.rng, 0.06), [(centre, 500, 1), (centre * 2.3, 1500, 0.5)]) * decay(0.06, 0.009, 0.0008)
            s.add(x, at + s.rng.normal(0, 0.004 * hands) ** 2, s.uniform(0.6, 1))


@recipe
def footsteps(s: Scene) -> None:
    """Synthesise steps: a dull thud of the heel and a lighter scrape of the sole, like walking pace."""
    hard = s.rng.random() < 0.5
    for index, at in enumerate(s.times(s.uniform(0.45, 0.62), 0.05)):
        heel = modes(0.12, [(s.uniform(85, 130) * s.pitch, 0.03, 1), (s.uniform(190, 300), 0.02, 0.7)])
        click = band(noise(s.rng, 0.05), 1200, 4500 if hard else 2500) * decay(0.05, 0.006, 0.0005)
        grit = band(noise(s.rng, 0.16), 1800, 6000) * hump(0.16, 0.3, 0.6)
        s.add(heel, at, 1.0 if index % 2 else 0.85)
        s.add(level(click, 0.2 if hard else 0.06), at, 1, event=False)
        s.add(level(grit, 0.03 if hard else 0.09) * wobble(s.rng, 0.16, 80, 0.6), at + 0.07, 1, event=False)
