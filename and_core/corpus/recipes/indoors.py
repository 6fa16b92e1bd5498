"""Household and office: knocks, clicks, ticks, alarms, motors."""

import numpy as np

from and_core.corpus.recipes import recipe
from and_core.corpus.synth import (
    SAMPLES,
    Array,
    Scene,
    band,
    curve,
    decay,
    formants,
    harmonics,
    hump,
    level,
    modes,
    noise,
    seconds,
    tone,
)


def click(s: Scene, centre: float, tau: float, duration: float = 0.03) -> Array:
    """Synthesise a dry plastic or metal click: resonant noise that dies within milliseconds."""
    x = formants(noise(s.rng, duration), [(centre, centre * 0.25, 1), (centre * 1.9, centre * 0.4, 0.6)])
    return level(x * decay(duration, tau, 0.0003), 0.3)


@recipe
def door_wood_knock(s: Scene) -> None:
    """Synthesise groups of knocks: woody modes of 150 to 700 Hz that die quickly."""
    body = s.uniform(150, 260) * s.pitch
    for group in s.times(s.uniform(1.2, 1.8), 0.15, most=2):
        for k in range(int(s.rng.integers(2, 6))):
            partials = [
                (body * m, t * s.uniform(0.8, 1.2), a)
                for m, t, a in ((1, 0.05, 1), (2.3, 0.03, 0.7), (3.7, 0.018, 0.5), (6.1, 0.01, 0.3))
            ]
            s.add(modes(0.25, partials), group + k * s.uniform(0.15, 0.2) / s.rate, s.uniform(0.75, 1))
            s.add(click(s, 1800, 0.003), group + k * 0.17 / s.rate, 0.2, event=False)


@recipe
def mouse_click(s: Scene) -> None:
    """Synthesise pairs of tiny clicks, press and release, few and far between, in near silence."""
    centre = s.uniform(2400, 3800) * s.pitch
    for at in s.times(s.uniform(0.5, 1.1), 0.35):
        for _ in range(int(s.rng.choice([1, 1, 2]))):
            s.add(click(s, centre, 0.0025, 0.02), at, s.uniform(0.8, 1))
            s.add(click(s, centre * 1.25, 0.0018, 0.02), at + s.uniform(0.06, 0.1), 0.6, event=False)
            at += 0.19


@recipe
def keyboard_typing(s: Scene) -> None:
    """Synthesise fast uneven clacks, each a dull bottom and a brighter top, bursts of words."""
    centre = s.uniform(1300, 2300) * s.pitch
    for word in s.times(s.uniform(0.7, 0.95), 0.25):
        at = word
        for _ in range(int(s.rng.integers(3, 8))):
            key = centre * s.uniform(0.8, 1.25)
            s.add(click(s, key, 0.005), at, s.uniform(0.5, 1))
            s.add(modes(0.05, [(s.uniform(220, 380), 0.012, 0.25)]), at, 1, event=False)
            s.add(click(s, key * 1.5, 0.003), at + s.uniform(0.04, 0.07), 0.4, event=False)
            at += s.uniform(0.08, 0.15) / s.rate


@recipe
def clock_tick(s: Scene) -> None:
    """Synthesise ticks and tocks: two alternating dry metallic clicks, perfectly regular."""
    centre = s.uniform(1900, 3600) * s.pitch
    for index, at in enumerate(s.times(s.uniform(0.24, 0.5), 0.004)):
        f = centre * (1.0 if index % 2 else 1.18)
        x = modes(0.06, [(f, 0.007, 0.6), (f * 1.63, 0.005, 0.4), (f * 0.45, 0.006, 0.4)])
        s.add(x + click(s, f, 0.0015, 0.06)[: len(x)], at, 1.0 if index % 2 else 0.8)


@recipe
def clock_alarm(s: Scene) -> None:
    """Synthesise electronic beeps in groups of four, or a mechanical bell that rattles on."""
    if s.rng.random() < 0.65:
        f = s.uniform(1800, 2700) * s.pitch
        group = int(s.rng.choice([1, 2, 4, 4]))
        for start in s.times(0.25 * group + 0.2, 0.0, s.uniform(0.02, 0.3)):
            for k in range(group):
                beep = harmonics(np.full(1280, f), 9, 3, odd_only=True) * hump(0.08, 0.05, 0.1)
                s.add(beep, start + k * 0.125 / s.rate)
    else:
        f = s.uniform(1500, 2300) * s.pitch
        for at in s.times(1 / s.uniform(16, 24), 0.03):
            s.add(modes(0.3, [(f, 0.09, 1), (f * 1.51, 0.06, 0.7), (f * 2.67, 0.04, 0.5)]), at, s.uniform(0.7, 1))


@recipe
def vacuum_cleaner(s: Scene) -> None:
    """Synthesise a steady motor whine with harmonics inside loud rushing air."""
    f = s.uniform(210, 340) * s.pitch
    spin = curve(3, [(0, f * s.uniform(0.95, 1)), (0.2, f), (1, f * s.uniform(0.97, 1.02))])
    whine = harmonics(spin, 3, 22)[:SAMPLES]
    air = band(noise(s.rng, 3, -2), 200, 6500)
    air = air + formants(air, [(1100 * s.pitch, 500, 1.2), (2600, 900, 0.5)])
    s.add(level(air, 1) + s.uniform(0.25, 0.6) * level(whine, 1), 0)


@recipe
def washing_machine(s: Scene) -> None:
    """Synthesise a low hum with slow sloshing and thumps at the pace of the drum."""
    f = s.uniform(48, 60) * s.pitch
    hum = harmonics(np.full(SAMPLES, f), 5, 14)
    turn = s.uniform(1.0, 1.8) * s.rate
    slosh = band(noise(s.rng, 3, -3), 250, 2500) * (0.3 + np.clip(np.sin(2 * np.pi * turn * seconds(3)), 0, 1) ** 2)
    s.add(level(hum, 1) + s.uniform(0.4, 0.8) * level(slosh, 1), 0, event=False)
    for at in s.times(s.rate / turn, 0.05):
        s.add(modes(0.25, [(70, 0.06, 1.5), (130, 0.05, 1), (240, 0.03, 0.6)]), at, s.uniform(0.6, 1.1))


@recipe
def hand_saw(s: Scene) -> None:
    """Synthesise strokes to and fro: rasping noise, brighter one way than the other."""
    teeth = s.uniform(70, 130)
    for index, at in enumerate(s.times(s.uniform(0.32, 0.48), 0.06)):
        d = s.uniform(0.24, 0.34) / s.rate
        forward = index % 2 == 0
        speed = np.sin(np.pi * np.linspace(0, 1, int(d * 16000)))
        rasp = 0.35 + np.clip(tone(teeth * (0.3 + speed)), 0, 1)
        n = noise(s.rng, d)[: len(rasp)]
        x = formants(
            n * rasp, [((1900 if forward else 1250) * s.pitch, 900, 1), (3800 * s.pitch, 1500, 0.8 if forward else 0.3)]
        )
        s.add(level(x * speed, 1), at, 1.0 if forward else 0.6)


@recipe
def church_bells(s: Scene) -> None:
    """Synthesise bells: inharmonic partials (hum, prime, minor third, fifth, nominal) that ring on."""
    nominal = s.uniform(330, 620) * s.pitch
    for at in s.times(s.uniform(0.6, 1.1), 0.1, first=s.uniform(0, 0.2)):
        f = nominal * float(s.rng.choice([1, 1, 0.84, 0.75, 1.12]))
        ratios = (
            (0.5, 2.0, 0.5),
            (1, 1.5, 0.8),
            (1.19, 1.2, 0.8),
            (1.5, 0.9, 0.5),
            (2, 0.9, 1),
            (2.66, 0.5, 0.5),
            (3.0, 0.4, 0.4),
            (4.1, 0.25, 0.3),
        )
        bell = modes(2.5, [(f * r * (1 + 0.002 * s.rng.standard_normal()), t, a) for r, t, a in ratios])
        strike = band(noise(s.rng, 0.03), 2000, 6000) * decay(0.03, 0.006)
        s.add(bell, at, s.uniform(0.6, 1))
        s.add(level(strike, 0.3), at, 1, event=False)
