"""Play stimuli to the published AudioSet tagger: does the unit of a class that sounds like a stimulus answer it?

    python examples/audioset/tuning.py --data PATH/TO/data

The stimuli of each class were written down before any was played: all levels, all rates and frequencies that the name
covers. A unit's rank is its place among the 527 by the mean of its output over the class's stimuli, every class by its
own logit; 1 is the highest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from and_core.config import TuningConfig, absolute_config, make_config, read_mapping  # noqa: E402
from and_core.targets.base import TARGETS  # noqa: E402
from and_core.tuning.battery import battery, stimuli_of, stimulus_table  # noqa: E402
from and_core.tuning.passes import play  # noqa: E402
from and_core.tuning.presentation import presentation  # noqa: E402
from and_core.tuning.stimulus import Stimulus  # noqa: E402

LOUD = -50.0  # dB: below, a tone is hardly there
CLASSES: dict[str, Callable[[Stimulus], bool]] = {
    "Sine_wave": lambda s: s.family == "tone" and 100 <= s.frequency <= 8000 and s.level >= LOUD,
    "Chirp_tone": lambda s: s.kind in ("chirp", "sweep"),
    "White_noise": lambda s: s.kind == "white" and s.level >= LOUD,
    "Pink_noise": lambda s: s.kind == "pink" and s.level >= LOUD,
    "Harmonic": lambda s: s.kind == "harmonic",
    "Pulse": lambda s: s.kind == "train" and s.rate <= 16,
    "Clicking": lambda s: s.kind == "train" and 2 <= s.rate <= 32,
}
BESIDE: dict[str, Callable[[Stimulus], bool]] = {
    "Hum": lambda s: s.kind == "harmonic" and s.frequency <= 130,
    "Static": lambda s: s.kind == "white" and s.level >= LOUD,
    "Throbbing": lambda s: s.kind == "modulated" and s.frequency != s.frequency and s.rate <= 8,
}


def ranks(data: Path) -> dict[str, tuple[int, list[str]]]:
    """Return, of each class, its unit's rank for its own stimuli, and the classes that answer these most."""
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
    wanted = [
        s
        for s in battery(config, target.sample_rate, how.seconds)
        if any(test(s) for test in (*CLASSES.values(), *BESIDE.values()))
    ]
    table = stimulus_table(wanted, config, 0)
    outputs = play(target, how, table)["fc"]
    names, every = target.classes or [], stimuli_of(table)
    made = {}
    for name, test in (CLASSES | BESIDE).items():
        mean = outputs[[test(s) for s in every]].mean(0)
        order = np.argsort(-mean)
        made[name] = (int(np.flatnonzero(order == names.index(name))[0]) + 1, [names[i] for i in order[:3]])
    return made


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    made = ranks(parser.parse_args().data)
    print("| class | rank of its unit among 527 | answered most by |\n|---|---|---|")
    for name, (rank, first) in made.items():
        print(f"| {name} | {rank} | {', '.join(first)} |")
    print(f"\nMedian rank of {', '.join(CLASSES)}: {np.median([made[name][0] for name in CLASSES]):.0f}")


if __name__ == "__main__":
    main()
