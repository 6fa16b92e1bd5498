"""Captions of the synthetic corpus, as a good but fallible listener might write them.

What the sound is stands in varying words; it is hedged or left out in a fifth of the clips or more, and a tenth or more
get a confusable wrong guess. How it sounds follows the acoustic measures, with words missed and, rarely, mistaken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from and_core.audio.adjectives import earned
from and_core.corpus.clips import clip_rng

VERSION = "3"
P_WRONG, P_HEDGED, P_LEFT_OUT = 0.16, 0.14, 0.18

# category -> noun phrases for the source, then clauses for the event
NAMES: dict[str, tuple[str, ...]] = {
    "airplane": ("an airplane passing overhead", "a jet plane flying by", "an aircraft in flight"),
    "breathing": ("a person breathing", "someone breathing in and out", "human breaths"),
    "car_horn": ("a car horn honking", "a car horn", "a driver honking a horn"),
    "cat": ("a cat meowing", "a cat's meow", "a cat mewing"),
    "chainsaw": ("a chainsaw running", "a chainsaw cutting wood", "a motor saw"),
    "chirping_birds": ("birds chirping", "chirping birds", "several birds singing"),
    "church_bells": ("church bells ringing", "bells tolling in a church tower", "church bells"),
    "clapping": ("people clapping hands", "hands clapping", "applause from clapping hands"),
    "clock_alarm": ("an alarm clock going off", "a clock alarm beeping", "the alarm of a clock"),
    "clock_tick": ("a clock ticking", "the ticking of a clock", "a ticking clock"),
    "crackling_fire": ("a crackling fire", "a fire crackling and popping", "burning wood that crackles"),
    "crickets": ("crickets chirping", "the chirp of crickets", "crickets at night"),
    "crow": ("a crow cawing", "the caw of a crow", "crows cawing"),
    "crying_baby": ("a baby crying", "the cry of a baby", "a crying infant"),
    "dog": ("a dog barking", "the bark of a dog", "a barking dog"),
    "door_wood_knock": ("knocking on a wooden door", "someone knocking at a door", "knocks on wood"),
    "engine": ("a car engine idling", "an engine running", "a motor engine"),
    "fireworks": ("fireworks exploding", "fireworks going off", "the bang of fireworks"),
    "footsteps": ("footsteps on a floor", "someone walking, footsteps", "the footsteps of a person"),
    "frog": ("a frog croaking", "croaking frogs", "the croak of a frog"),
    "glass_breaking": ("glass breaking", "a glass shattering", "breaking glass"),
    "hand_saw": ("a hand saw cutting wood", "someone sawing wood by hand", "a handsaw"),
    "helicopter": ("a helicopter hovering", "the rotor of a helicopter", "a helicopter flying"),
    "hen": ("a hen clucking", "clucking hens", "a chicken clucking"),
    "insects": ("insects buzzing", "a buzzing insect", "flying insects"),
    "keyboard_typing": ("typing on a keyboard", "someone typing on a computer keyboard", "keyboard typing"),
    "mouse_click": ("a computer mouse clicking", "clicks of a mouse button", "mouse clicks"),
    "pouring_water": ("water being poured", "pouring water into a vessel", "water pouring into a glass"),
    "rain": ("rain falling", "steady rain", "rainfall"),
    "rooster": ("a rooster crowing", "the crow of a rooster", "a cockerel crowing"),
    "sea_waves": ("sea waves breaking on a shore", "waves of the sea", "ocean waves rolling in"),
    "siren": ("a siren wailing", "an emergency siren", "the siren of a police car"),
    "sneezing": ("a person sneezing", "a sneeze", "someone sneezing"),
    "snoring": ("a person snoring", "someone snoring", "a sleeper's snore"),
    "thunderstorm": ("thunder in a thunderstorm", "a thunderstorm", "a clap of thunder"),
    "train": ("a train passing on rails", "a train", "a train rolling over tracks"),
    "vacuum_cleaner": ("a vacuum cleaner running", "vacuum cleaning", "a vacuum cleaner"),
    "washing_machine": ("a washing machine running", "a washing machine", "laundry turning in a washing machine"),
    "water_drops": ("water drops falling", "dripping water drops", "drops of water"),
    "wind": ("wind blowing", "gusts of wind", "howling wind"),
}
GROUPS: tuple[tuple[str, ...], ...] = (
    ("airplane", "helicopter", "train", "wind", "engine", "vacuum_cleaner", "washing_machine"),
    ("breathing", "snoring", "wind", "hand_saw"),
    ("car_horn", "siren", "clock_alarm", "train"),
    ("cat", "crying_baby", "rooster", "siren"),
    ("chainsaw", "engine", "hand_saw", "vacuum_cleaner", "insects"),
    ("chirping_birds", "crickets", "insects", "frog"),
    ("church_bells", "clock_alarm", "glass_breaking"),
    ("clapping", "door_wood_knock", "footsteps", "fireworks", "keyboard_typing"),
    ("clock_tick", "mouse_click", "keyboard_typing", "water_drops"),
    ("crackling_fire", "rain", "keyboard_typing", "fireworks"),
    ("crow", "dog", "hen", "frog", "rooster"),
    ("pouring_water", "rain", "sea_waves", "water_drops"),
    ("sea_waves", "wind", "rain", "airplane"),
    ("sneezing", "dog", "clapping", "breathing"),
    ("thunderstorm", "fireworks", "airplane", "wind"),
)
SYNONYMS: dict[str, tuple[str, ...]] = {
    "loud": ("loud", "loud", "powerful", "strong"),
    "quiet": ("quiet", "soft", "faint"),
    "high-pitched": ("high-pitched", "high-pitched", "high in pitch", "shrill"),
    "low-pitched": ("low-pitched", "deep", "low in pitch"),
    "bright": ("bright", "crisp"),
    "dull": ("dull", "muffled", "dark"),
    "tonal": ("tonal", "ringing", "clear in tone"),
    "noisy": ("noisy", "hissing", "noise-like"),
    "regular": ("regular", "steady", "rhythmic"),
    "irregular": ("irregular", "uneven"),
    "rapid": ("rapid", "fast"),
    "continuous": ("continuous", "constant", "sustained"),
    "intermittent": ("intermittent", "broken by pauses"),
    "short": ("short", "brief"),
    "rising": ("rising in pitch",),
    "falling": ("falling in pitch",),
    "growing": ("growing louder",),
    "fading": ("fading away", "fading"),
}
OPPOSITES = {
    "loud": "quiet",
    "high-pitched": "low-pitched",
    "bright": "dull",
    "tonal": "noisy",
    "regular": "irregular",
    "rising": "falling",
}
OPPOSITES |= {b: a for a, b in OPPOSITES.items()}
BACKGROUNDS = {
    "hiss": ("There is some hiss in the background.", "A faint hiss lies behind it."),
    "hum": ("An electric hum is heard in the background.", "There is a mains hum behind it."),
    "wind": ("Some wind blows in the background.", "There is light wind noise behind it."),
    "traffic": ("Distant traffic is heard in the background.", "There is traffic far behind it."),
    "room": ("There is room noise in the background.", "The recording has some rumble in the background."),
    "none": ("There is no background noise.", "Nothing else is heard."),
}


def write_caption(row: dict[str, Any]) -> str:
    """Caption of one synthetic clip.

    Parameters
    ----------
    row : dict
        Its row of the clips table: `label`, `recipe`, the truth (``true_*``) and the acoustic measures.

    Returns
    -------
    str
        Two to five sentences; the same for the same row.
    """
    category, index, seed = str(row["recipe"]).split("/")
    rng = np.random.default_rng([7, *clip_rng(int(seed), category, int(index)).integers(0, 2**31, 2)])
    sentences = _identity(rng, category) + _character(rng, row)
    if rng.random() < (0.25 if row["true_background"] == "none" else 0.75 if row["true_background_db"] > -26 else 0.2):
        sentences.append(_pick(rng, BACKGROUNDS[row["true_background"]]))
    if len(sentences) < 2:
        sentences.append("It sounds rather plain.")
    return " ".join(sentences[:5])


def _identity(rng: np.random.Generator, category: str) -> list[str]:
    draw = rng.random()
    if draw < P_LEFT_OUT:
        return []
    name = _pick(rng, NAMES[category])
    if draw < P_LEFT_OUT + P_WRONG:
        near = sorted({other for group in GROUPS if category in group for other in group} - {category})
        name = _pick(rng, NAMES[_pick(rng, tuple(near) or tuple(sorted(set(NAMES) - {category})))])
        return [_pick(rng, ("This is {}.", "The recording captures {}.", "It is probably {}.")).format(name)]
    if draw < P_LEFT_OUT + P_WRONG + P_HEDGED:
        return [
            _pick(rng, ("It might be {}.", "It could be {}, but this is hard to tell.", "Perhaps this is {}.")).format(
                name
            )
        ]
    return [
        _pick(
            rng, ("This is {}.", "The recording captures {}.", "We hear {}.", "The audio features {}.", "One hears {}.")
        ).format(name)
    ]


def _character(rng: np.random.Generator, row: dict[str, Any]) -> list[str]:
    """Return sentences on how it sounds and how it goes on, from the measures, missing a third and mistaking one in
    thirty."""
    words: dict[str, str] = {}
    for attribute, rule in earned(row).items():
        if rng.random() < 0.3:
            continue
        word = OPPOSITES[rule.word] if rule.word in OPPOSITES and rng.random() < 0.03 else rule.word
        words[attribute] = _pick(rng, SYNONYMS[word])
    parts = []
    sound = [words[a] for a in ("loudness", "pitch", "brightness") if a in words]
    if sound:
        parts.append(_pick(rng, ("The sound is {}.", "It sounds {}.", "The overall sound is {}.")).format(_and(sound)))
    tone = [words[a] for a in ("noisiness",) if a in words]
    if row["true_distance"] == "far" and rng.random() < 0.6:
        tone.append(_pick(rng, ("distant", "far away", "reverberant")))
    elif row["true_distance"] == "near" and rng.random() < 0.2:
        tone.append("close")
    if tone:
        parts.append(_pick(rng, ("Its character is {}.", "It is {}.")).format(_and(tone)))
    course = [words[a] for a in ("events", "rhythm", "continuity", "length") if a in words]
    if course:
        parts.append(
            _pick(rng, ("In time it is {}.", "It goes on in a way that is {}.", "The pattern is {}.")).format(
                _and(course[:2])
            )
        )
    change = [words[a] for a in ("glide", "envelope") if a in words]
    if change:
        parts.append(f"It is {_and(change)}.")
    return parts


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
