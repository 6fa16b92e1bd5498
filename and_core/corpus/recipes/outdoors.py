"""Traffic and machines: engines, rotors, sirens, horns, trains."""

import numpy as np

from and_core.corpus.recipes import recipe
from and_core.corpus.synth import (
    SAMPLES,
    Scene,
    band,
    curve,
    harmonics,
    hump,
    level,
    modes,
    noise,
    seconds,
    tone,
    wobble,
)


@recipe
def helicopter(s: Scene) -> None:
    """Synthesise blade slap: low thumps 9 to 16 times a second with broad noise pulsing along."""
    rate = s.uniform(9, 16) * s.rate**0.6
    s.regular = True
    t = seconds(3)
    phase = (rate * t + s.uniform(0, 1)) % 1
    pulse = np.exp(-phase * s.uniform(4, 8))
    thump = band(noise(s.rng, 3, -6), 40, 300 * s.pitch) * pulse
    wash = band(noise(s.rng, 3, -3), 300, 4000) * (0.25 + pulse)
    turbine = tone(np.full(SAMPLES, s.uniform(900, 1500) * s.pitch))
    s.add(
        (level(thump, 1) + s.uniform(0.35, 0.7) * level(wash, 1) + 0.05 * turbine)
        * curve(3, [(0, s.uniform(0.5, 1)), (1, s.uniform(0.5, 1))])[:SAMPLES],
        0,
    )


@recipe
def chainsaw(s: Scene) -> None:
    """Synthesise a two-stroke engine: rough harmonics of 80 to 150 Hz that rev up and bite."""
    idle, full = s.uniform(55, 80) * s.pitch, s.uniform(105, 160) * s.pitch
    points = [(0.0, s.uniform(idle, full))]
    for x in np.sort(s.rng.uniform(0.1, 0.9, 3)):
        points.append((float(x), full if s.rng.random() < 0.7 else idle))
    points.append((1.0, full))
    f = curve(3, points) * (1 + 0.02 * (wobble(s.rng, 3, 25, 1)[:SAMPLES] - 1))
    engine = np.tanh(2.5 * harmonics(f, 1.5, 50)) * wobble(s.rng, 3, 45, 0.3)[:SAMPLES]
    rasp = band(noise(s.rng, 3), 1500, 6500) * (0.4 + np.clip(tone(f), 0, 1))
    s.add(level(band(engine, 90), 1) + s.uniform(0.3, 0.6) * level(rasp, 1) * (f / full), 0)


@recipe
def siren(s: Scene) -> None:
    """Synthesise wailing, yelping or two-tone, a strong harmonic glide between 600 and 1500 Hz."""
    low, high = s.uniform(520, 750) * s.pitch, s.uniform(1000, 1500) * s.pitch
    kind = s.rng.choice(["wail", "yelp", "two-tone"])
    rate = {"wail": 0.35, "yelp": 2.8, "two-tone": 0.9}[str(kind)] * s.rate
    cycle = np.sin(2 * np.pi * (rate * seconds(3) + s.uniform(0, 1)))
    if kind == "two-tone":
        f = np.where(cycle > 0, low * 1.33, low)
    else:
        f = low + (high - low) * (0.5 + 0.5 * cycle)
    s.add(level(harmonics(f, s.uniform(3, 7), 10), 1) * wobble(s.rng, 3, 2, 0.1)[:SAMPLES], 0)


@recipe
def car_horn(s: Scene) -> None:
    """Synthesise honks: two steady tones a third apart, brassy, with hard edges."""
    f = s.uniform(330, 480) * s.pitch
    for at in s.times(s.uniform(0.7, 1.3), 0.3, most=4):
        d = s.uniform(0.2, 0.9) / s.rate**0.5
        n = max(64, int(d * 16000))
        x = harmonics(np.full(n, f), 1.5, 18) + harmonics(np.full(n, f * 1.26), 1.5, 18)
        s.add(level(np.tanh(0.8 * x), 1) * hump(d, 0.03, 0.06)[:n], at)


@recipe
def engine(s: Scene) -> None:
    """Synthesise a car engine: low firing pulses at idle, sometimes revved, muffled."""
    idle = s.uniform(24, 38) * s.pitch
    rev = s.rng.random() < 0.5
    peak = idle * s.uniform(1.8, 3) if rev else idle * 1.03
    f = (
        curve(3, [(0, idle), (s.uniform(0.2, 0.4), idle), (0.6, peak), (1, idle * 1.1)])
        * wobble(s.rng, 3, 12, 0.015)[:SAMPLES]
    )
    firing = np.clip(harmonics(f, 0.5, 26), 0, None)
    x = band(firing, 40, 900) + 0.15 * band(noise(s.rng, 3, -3), 200, 3000) * (0.4 + np.clip(tone(f), 0, 1))
    s.add(level(x, 1) * (f / f.max()) ** 0.5, 0)


@recipe
def train(s: Scene) -> None:
    """Synthesise wheels over rail joints: pairs of clacks at a steady beat over rumble and squeal."""
    rumble = band(noise(s.rng, 3, -5), 40, 800) * wobble(s.rng, 3, 8, 0.15)
    hiss = band(noise(s.rng, 3, -1), 1500, 5000)
    s.add(level(rumble, 1) + 0.15 * level(hiss, 1), 0, 0.7, event=False)
    for at in s.times(s.uniform(0.5, 0.75), 0.03):
        for k in range(4):
            clack = modes(
                0.12, [(s.uniform(300, 420) * s.pitch, 0.02, 1), (950 * s.pitch, 0.012, 0.8), (2100, 0.007, 0.5)]
            )
            late = (0, 0.085, 0.25, 0.335)[k] / s.rate**0.5
            s.add(clack * 2.2, at + late, s.uniform(0.6, 1), event=k in (0, 2))
    if s.rng.random() < 0.35:
        d = s.uniform(0.5, 1.2)
        horn = sum(harmonics(np.full(int(d * 16000), 311 * r * s.pitch), 4, 10) for r in (1, 1.19, 1.5))
        s.add(level(np.asarray(horn), 1) * hump(d, 0.1, 0.2)[: int(d * 16000)], s.uniform(0.1, 1.4), 0.9)
