"""Play stimuli to CREPE, whose 360 units are pitches: is each unit's best frequency its own pitch?

    python examples/crepe/tuning.py [--size full]

Inside 60 Hz to 1.8 kHz, where the network is reliable. Level means nothing to it, for each frame is normalised, so
level functions must come out flat.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from nets import HERTZ  # noqa: E402

from and_core.config import PluginConfig, TuningConfig  # noqa: E402
from and_core.targets.base import TARGETS  # noqa: E402
from and_core.tuning.battery import battery, stimulus_table  # noqa: E402
from and_core.tuning.design import Design  # noqa: E402
from and_core.tuning.passes import play  # noqa: E402
from and_core.tuning.presentation import presentation  # noqa: E402
from and_core.tuning.selectivity import corrected  # noqa: E402
from and_core.tuning.statistics import Reference, block_statistics, tuned  # noqa: E402

RANGE = (60.0, 1800.0)  # Hz, where the network is reliable
CONFIG = TuningConfig(seconds=0.4, fine=True, chords=0, levels=(-40, -20, -5))
STEP = 800  # samples from a frame to the next


def measure(size: str = "tiny", batch: int = 32) -> dict[str, Any]:
    """Return how far each unit's best frequency lies from its pitch, and what comes of level."""
    settings = {
        "factory": f"{HERE / 'nets.py'}:build", "settings": {"size": size, "step": STEP}, "classifier": "classifier",
        "pooling": "mean", "layers": ["fc"],
    }  # fmt: skip
    target = TARGETS.create(PluginConfig(kind="python", **settings))
    target.load("cpu")
    how = presentation(target, CONFIG, CONFIG.seconds)
    table = stimulus_table(battery(CONFIG, target.sample_rate, how.seconds), CONFIG, 0)
    raw = play(target, how, table, batch)["fc"]
    columns = block_statistics(raw, Design(table), Reference(raw.std(0), np.percentile(raw, 95, axis=0), 200, 0))
    columns |= tuned(columns, corrected)
    inside = (RANGE[0] <= HERTZ) & (RANGE[1] >= HERTZ)
    cents = 1200 * np.abs(np.log2(columns["fine_frequency"] / HERTZ))[inside]
    return {
        "units": int(inside.sum()),
        "within 50 cents": float((cents <= 50).mean()),
        "within 20 cents": float((cents <= 20).mean()),
        "median cents": float(np.median(cents)),
        "tuned to frequency": float(columns["tuned_to_frequency"][inside].mean()),
        "excited": float((columns["sign"] > 0)[inside].mean()),
        "level removed": how.level_removed,
        "level slope, SD for 10 dB, median": float(np.median(np.abs(columns["level_slope"][inside]))),
        "flat": float((columns["level_shape"] == "flat")[inside].mean()),
        "far": [f"{h:.0f}" for h in HERTZ[inside][cents > 50]],
        "best": columns["fine_frequency"],
        "bandwidth": float(np.median(columns["bandwidth"][inside])),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny", "full"), default="tiny")
    made = measure(parser.parse_args().size)
    for name, value in made.items():
        if name != "best":
            print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    main()
