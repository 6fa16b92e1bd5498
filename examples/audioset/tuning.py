"""Play stimuli to the published AudioSet tagger: does the unit of a class whose sound is a stimulus answer it most?

    python examples/audioset/tuning.py --data PATH/TO/data

The stimuli of each class were written down before any was played: all rates and frequencies that the name covers; what
was at -20 dB alone was widened to all levels from -50 dB up after that. A unit's rank is its place among the 527 for
the class's stimuli, 1 is the highest: by the mean of its logit, of its response as everywhere else in tuning (less that
on silence, in standard deviations over the probing clips, here ESC-10), and of its probability.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from and_core.audio.decode import read_audio, resample  # noqa: E402
from and_core.config import TuningConfig, absolute_config, make_config, read_mapping  # noqa: E402
from and_core.targets.base import TARGETS, Target  # noqa: E402
from and_core.tuning.battery import LOUDEST_NOISE, battery, stimuli_of, stimulus_table  # noqa: E402
from and_core.tuning.passes import passes, play  # noqa: E402
from and_core.tuning.presentation import presentation  # noqa: E402
from and_core.tuning.statistics import responses  # noqa: E402
from and_core.tuning.stimulus import Stimulus  # noqa: E402

LEVELS = (-50.0, -40.0, -30.0, -20.0, -10.0, -5.0)  # dB
SINGLE_LEVEL = ("chirp", "sweep", "harmonic", "train", "modulated")  # of the battery: here at every level
CLASSES: dict[str, Callable[[Stimulus], bool]] = {
    "Sine_wave": lambda s: s.family == "tone" and 100 <= s.frequency <= 8000,
    "Chirp_tone": lambda s: s.kind in ("chirp", "sweep"),
    "White_noise": lambda s: s.kind == "white",
    "Pink_noise": lambda s: s.kind == "pink",
    "Harmonic": lambda s: s.kind == "harmonic",
    "Pulse": lambda s: s.kind == "train" and s.rate <= 16,
    "Clicking": lambda s: s.kind == "train" and 2 <= s.rate <= 32,
}
BESIDE: dict[str, Callable[[Stimulus], bool]] = {
    "Hum": lambda s: s.kind == "harmonic" and s.frequency <= 130,
    "Static": lambda s: s.kind == "white",
    "Throbbing": lambda s: s.kind == "modulated" and s.frequency != s.frequency and s.rate <= 8,
}


def wanted(config: TuningConfig, rate: int, seconds: float) -> list[Stimulus]:
    """Return silence and the stimuli of all classes, at every level."""
    tests = (*CLASSES.values(), *BESIDE.values())
    made = []
    for s in battery(config, rate, seconds):
        if s.kind == "silence":
            made.append(s)
        elif s.level >= LEVELS[0] and any(test(s) for test in tests):
            levels = [x for x in LEVELS if x <= LOUDEST_NOISE] if s.kind in SINGLE_LEVEL else [s.level]
            made += [replace(s, level=x) for x in levels]
    return made


def ranks(data: Path) -> dict[str, dict[str, tuple[int, list[str]]]]:
    """Return, by measure and class, its unit's rank for its own stimuli, and the classes that answer these most."""
    raw = absolute_config(read_mapping(HERE / "config.yaml"), HERE)
    tagger = data / "audioset_crnn"
    raw["target"] |= {
        "weights": str(tagger / "model.safetensors"),
        "settings": {"labels": str(tagger / "labels.txt")},
    }
    raw["dataset"]["path"] = str(data / "esc10")
    target = TARGETS.create(make_config(raw).target)
    target.load("cpu")
    config = TuningConfig(chords=0, seconds=2.0)
    how = presentation(target, config, 5.0)
    table = stimulus_table(wanted(config, target.sample_rate, how.seconds), config, 0)
    outputs, every = play(target, how, table)["fc"], stimuli_of(table)
    std = natural(target, data).std(0)
    silence = np.flatnonzero([s.kind == "silence" for s in every])
    names = target.classes or []
    made: dict[str, dict[str, tuple[int, list[str]]]] = {}
    shares = 1 / (1 + np.exp(-outputs))
    measures = {"logit": outputs, "response": responses(outputs, silence, std), "probability": shares}
    for measure, values in measures.items():
        made[measure] = {}
        for name, test in (CLASSES | BESIDE).items():
            mean = values[[test(s) for s in every]].mean(0)
            order = np.argsort(-mean)
            made[measure][name] = (
                int(np.flatnonzero(order == names.index(name))[0]) + 1,
                [names[i] for i in order[:3]],
            )
    return made


def natural(target: Target[Any], data: Path) -> np.ndarray:
    """Return (N, 527) logits on ESC-10's clips."""
    paths = sorted((data / "esc10").rglob("*.wav")) or sorted((data / "esc10").rglob("*.ogg"))

    def features(rows: range) -> Any:
        waves = [read_audio(paths[i]) for i in rows]
        return target.features([resample(wave, rate, target.sample_rate) for wave, rate in waves])

    return np.concatenate([outputs["fc"] for _, outputs in passes(target, features, range(len(paths)), 16, 2)])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    made = ranks(parser.parse_args().data)
    print(f"| class | {' | '.join(made)} | answered most by (logit) |\n|{'---|' * (len(made) + 2)}")
    for name, (_, first) in made["logit"].items():
        print(f"| {name} | {' | '.join(str(found[name][0]) for found in made.values())} | {', '.join(first)} |")
    for measure, found in made.items():
        print(
            f"\nMedian rank by {measure} of {', '.join(CLASSES)}: {np.median([found[name][0] for name in CLASSES]):.0f}"
        )


if __name__ == "__main__":
    main()
