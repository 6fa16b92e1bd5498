"""Dissect CREPE and report what its neurons are said to listen to, against the pitch that was measured.

    python examples/crepe/dissect.py --esc10 PATH/TO/esc10 --digits PATH/TO/fsdd

Makes the collection, runs config.yaml, and writes report.md. CREPE's unit for 220 Hz should be driven by what sounds at
220 Hz, and be called neither high nor low; that of 1760 Hz high-pitched. Both can be checked, for pitch can be measured
without the network: by pYIN (Mauch and Dixon, ICASSP 2014), and more simply by the measure behind the words. Natural
sounds alone judge the first, for the tones were made for the units.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from nets import HERTZ, RATE
from scipy.stats import spearmanr
from sounds import TONE, write_collection

from and_core import Dissection, open_dissection, pipeline
from and_core.audio.media import clip_wave
from and_core.config import load_config
from and_core.store.files import cache_root

HERE = Path(__file__).resolve().parent
SEED = 0
PITCHED_CLIPS = 3  # of the natural high clips, at least, whose pitch could be measured
VOICED_FRAMES = 3  # of a clip, at least, for pYIN to have measured it
RANDOM_SETS = 1000
WORDS = ("high-pitched", "low-pitched")


def run(cache: Path, **captions: str) -> Dissection:
    """Return the dissection of the collection below a cache; with other captions, under a name that says so."""
    config = load_config(HERE / "config.yaml")
    changes = {
        "name": "-".join([config.name, *captions.values()]),
        "dataset": config.dataset.model_copy(update={"path": str(cache / "data" / "crepe-sounds")}),
        "captions": config.captions.model_copy(update=captions),
    }
    pipeline.run(config.model_copy(update=changes), root=cache)
    return open_dissection(changes["name"], root=cache)


def fundamentals(d: Dissection) -> np.ndarray:
    """Return (N,) fundamental frequency of each clip in Hz, NaN where it has none."""
    return d.clip_table["fundamental"].to_numpy(zero_copy_only=False).astype(float)


def by_pyin(d: Dissection, clips: np.ndarray) -> np.ndarray:
    """Return (N,) median pitch in Hz of the given clips by pYIN, NaN for all others and where there is none."""
    hertz = np.full(len(d.clips), np.nan)
    for clip in np.unique(clips).tolist():
        wave = clip_wave(d, clip, RATE)
        pitch, voiced, _ = librosa.pyin(
            wave, fmin=31, fmax=2100, sr=RATE, frame_length=2048, hop_length=512, resolution=0.25, n_thresholds=50
        )
        if voiced.sum() >= VOICED_FRAMES:
            hertz[clip] = np.median(pitch[voiced])
    return hertz


def natural_clips(d: Dissection) -> np.ndarray:
    """Return (360, K) natural clips of each unit's highest activation."""
    natural = np.flatnonzero([clip.label != TONE for clip in d.clips])
    activations = d.layer_activations("fc")[natural]
    return natural[np.argsort(-activations, axis=0, kind="stable")[: d.k]].T


def median_pitch(hertz: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Return (R,) median pitch in Hz of sets of clips (R, K), NaN where too few have one."""
    measured = np.isfinite(hertz[clips]).sum(1) >= PITCHED_CLIPS
    median = np.full(len(clips), np.nan)
    median[measured] = np.nanmedian(hertz[clips[measured]], axis=1)
    return median


def pitch_words(d: Dissection, layer: str) -> np.ndarray:
    """Return the word for pitch among the adjectives of each neuron of a layer, an empty text where there is none."""
    offset, size = d.layer(layer).offset, d.layer(layer).size
    adjectives = d.explanation_table["adjectives"].to_pylist()[offset : offset + size]
    return np.array([next((word for word in WORDS if word in text.split(", ")), "") for text in adjectives])


def words_judged(d: Dissection, middle: float) -> dict[str, float]:
    """Return how many units have which word for pitch, and which share of these lies on that side of `middle` Hz."""
    words = pitch_words(d, "fc")
    with_word = words != ""
    right = np.where(middle < HERTZ, "high-pitched", "low-pitched") == words
    return {
        "high": int((words == "high-pitched").sum()),
        "low": int((words == "low-pitched").sum()),
        "with_word": float(with_word.mean()),
        "right": float(right[with_word].mean()) if with_word.any() else 0.0,
    }


def measure(d: Dissection, by_spectrum: Dissection, median: np.ndarray) -> dict[str, Any]:
    """Return the numbers of the report; `median` (360,) is the pitch of each unit's natural clips by pYIN.

    `by_spectrum` is the same dissection with words for pitch that the spectrum tells.
    """
    hertz = fundamentals(d)
    simple = median_pitch(hertz, natural_clips(d))
    both_ways = np.isfinite(simple)
    defined = np.isfinite(median)
    shuffled = np.random.default_rng(SEED).permutation(HERTZ[defined])
    middle = float(np.nanmedian(hertz))
    natural = np.array([clip.label != TONE for clip in d.clips])
    return {
        "clips": len(d.clips), "natural": int(natural.sum()), "pitched": int(np.isfinite(hertz[natural]).sum()),
        "units_measured": int(defined.sum()), "spearman": float(spearmanr(HERTZ[defined], median[defined])[0]),
        "spearman_shuffled": float(spearmanr(shuffled, median[defined])[0]),
        "spearman_simple": float(spearmanr(HERTZ[both_ways], simple[both_ways])[0]),
        "units_measured_simple": int(both_ways.sum()),
        "semitone": float(np.mean(np.abs(np.log2(median[defined] / HERTZ[defined])) <= 1 / 12)),
        "middle": middle, **words_judged(d, middle), "by_spectrum": words_judged(by_spectrum, middle),
    }  # fmt: skip


def spread(hertz: np.ndarray, tops: np.ndarray) -> float:
    """Return the median over sets of clips of the standard deviation of their pitch, in octaves."""
    octaves = np.log2(hertz[tops])
    enough = np.isfinite(octaves).sum(1) >= PITCHED_CLIPS
    return float(np.median(np.nanstd(octaves[enough], axis=1))) if enough.any() else float("nan")


def layer_rows(d: Dissection) -> list[str]:
    """Return a line of the table for each layer, and one for random sets of clips."""
    hertz, adjectives = fundamentals(d), d.explanation_table["adjectives"].to_pylist()
    rows = []
    for layer in d.layers:
        own = slice(layer.offset, layer.offset + layer.size)
        dead = d.dead[own]
        words = pitch_words(d, layer.name)
        tops = d.extreme_indices()[own][~dead, : d.k]
        with_word = np.mean([bool(text) for text in adjectives[own]])
        rows.append(
            f"| {layer.name} | {layer.size} | {dead.sum()} | {100 * with_word:.0f} % | {(words == WORDS[0]).sum()} | "
            f"{(words == WORDS[1]).sum()} | {spread(hertz, tops):.2f} |"
        )
    rng = np.random.default_rng(SEED)
    chance = np.stack([rng.permutation(len(hertz))[: d.k] for _ in range(RANDOM_SETS)])
    return [*rows, f"| random sets of clips | {RANDOM_SETS} | | | | | {spread(hertz, chance):.2f} |"]


def example(d: Dissection, layer: str, unit: int) -> str:
    """Return one hidden neuron as a line."""
    neuron = f"{layer}/{unit}"
    row = d.explanation(neuron)
    clips = ", ".join(str(top.clip.label) for top in d.extreme_clips(neuron))
    return f"- **{neuron}**: {row['adjectives'] or 'no adjective'}; closest class: {row['concept']}; its clips: {clips}"


def report(d: Dissection, median: np.ndarray, numbers: dict[str, Any]) -> str:
    """Return the report as Markdown; equal dissections give equal bytes."""
    n = numbers
    settings = d.manifest.config["target"]["settings"]
    tops = natural_clips(d)
    words = pitch_words(d, "fc")
    units = [
        f"| {HERTZ[u]:.1f} | {f'{median[u]:.1f}' if np.isfinite(median[u]) else 'none'} | {words[u] or 'neither'} | "
        f"{', '.join(str(d.clips[c].label) for c in tops[u])} |"
        for u in range(0, len(HERTZ), 20)
    ]
    rng = np.random.default_rng(SEED)
    hidden = [layer for layer in d.layers if layer.name != "fc"]
    drawn = [(x.name, int(u)) for x in hidden for u in sorted(rng.choice(x.size, 2, replace=False))]
    return "\n".join(
        [
            "# CREPE, as dissected",
            "",
            f"The network of size {settings['size']}, a frame each {settings['step'] / 16:g} ms, pooled by the maximum "
            f"over frames, on {n['clips']} clips: {n['natural']} natural sounds (ESC-10, spoken digits), "
            f"{n['pitched']} of them with a pitch, and {n['clips'] - n['natural']} tones. K = {d.k}.",
            "",
            "## A unit's own pitch and what drives it",
            "",
            f"Spearman's correlation between a unit's pitch and the median pitch of its {d.k} highest natural clips: "
            f"**{n['spearman']:.3f}** over {n['units_measured']} of 360 units, those with at least {PITCHED_CLIPS} "
            f"such clips whose pitch pYIN could measure; with the units shuffled, {n['spearman_shuffled']:.3f}. By the "
            f"measure behind the words it is {n['spearman_simple']:.3f}, over {n['units_measured_simple']}. "
            f"{100 * n['semitone']:.0f} % of pYIN's medians lie within a semitone of the unit.",
            "",
            f'"high-pitched" is said of {n["high"]} units, "low-pitched" of {n["low"]}: of '
            f"**{100 * n['with_word']:.1f} %** of the 360. Of these **{100 * n['right']:.1f} %** lie on the right side "
            f"of the collection's median pitch, {n['middle']:.0f} Hz. With `pitch: spectrum` in place of `fundamental` "
            f"they are said of {100 * n['by_spectrum']['with_word']:.1f} %, {100 * n['by_spectrum']['right']:.1f} % of "
            "them right.",
            "",
            "| unit, Hz | its natural clips, Hz | said | its natural clips |",
            "|---|---|---|---|",
            *units,
            "",
            "## Layers",
            "",
            "| layer | neurons | dead | with an adjective | high-pitched | low-pitched | spread of pitch, octaves |",
            "|---|---|---|---|---|---|---|",
            *layer_rows(d),
            "",
            "Spread: standard deviation over a neuron's high clips, median over neurons; `fc` is the classifier.",
            "",
            "## Hidden neurons, two of each layer, drawn before anything was known of them",
            "",
            *(example(d, *neuron) for neuron in drawn),
            "",
        ]
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--esc10", type=Path, required=True)
    parser.add_argument("--digits", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=cache_root())
    parser.add_argument("--out", type=Path, default=HERE / "report.md")
    parser.add_argument("--numbers", type=Path, help="also write the numbers alone, as JSON")
    options = parser.parse_args()
    write_collection(options.esc10, options.digits, options.cache / "data" / "crepe-sounds")
    d = run(options.cache)
    by_spectrum = run(options.cache, pitch="spectrum")
    clips = natural_clips(d)
    median = median_pitch(by_pyin(d, clips), clips)
    numbers = measure(d, by_spectrum, median)
    text = report(d, median, numbers)
    options.out.write_text(text, encoding="utf-8")
    if options.numbers is not None:
        options.numbers.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
