"""Listening while a user waits: a neuron's ten clips, a sound of one's own, on the demo's AST."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import soundfile as sf

from and_core import open_dissection, pipeline
from and_core.demo.build import demo_configs
from and_core.listen.attribution import shapley_attribution
from and_core.listen.localize import localize, localized_sound
from and_core.store.files import cache_root
from and_core.uploads import sound as own
from benchmarks.report import Row, seconds

CLIPS, MOST_PARTS, MOST_OWN = 10, 1.0, 2.0


def rows() -> Iterator[Row]:
    """Kept and rest of ten clips after the first pass; an upload to named neurons."""
    config = demo_configs()[0]
    pipeline.run(config)
    d = open_dissection(config.name, root=cache_root())
    rng = np.random.default_rng(0)
    layer = d.layers[4]
    localize(
        d, d.neuron_id(layer.offset), d.extreme_clips(d.neuron_id(layer.offset), "high")[0].clip.index
    )  # the first pass loads the network
    took = []
    for unit in rng.choice(layer.size, 5, replace=False):
        neuron = d.neuron_id(layer.offset + int(unit))
        clips = [top.clip.index for top in d.extreme_clips(neuron, "high", CLIPS)]
        took.append(seconds(lambda: [localized_sound(d, neuron, c, what) for c in clips for what in ("kept", "rest")]))  # noqa: B023 - called at once
    worst = max(took)
    said = f"{np.median(took):.2f} s, worst of 5 neurons {worst:.2f} s"
    yield Row(
        f"kept and rest of a neuron's {CLIPS} highest clips, as sound, after the first pass",
        said,
        f"{MOST_PARTS:g} s",
        worst <= MOST_PARTS,
    )
    buffer = io.BytesIO()
    sf.write(buffer, rng.standard_normal(3 * 44_100).astype(np.float32) * 0.1, 44_100, format="FLAC")

    def bring() -> None:
        found = own.react(d, own.read_sound(buffer.getvalue(), "x.flac"))
        for row in own.unusual(d, found.activations):
            d.explanation(row["neuron"])

    took = [seconds(bring) for _ in range(5)]
    yield Row(
        "a sound of one's own to named neurons",
        f"{np.median(took):.2f} s, worst of 5 {max(took):.2f} s",
        f"{MOST_OWN:g} s",
        max(took) <= MOST_OWN,
    )
    neuron = d.neuron_id(layer.offset + 3)
    yield Row(
        "which sounds move a neuron: 3 highest and 3 random clips, 20 orders",
        f"{seconds(lambda: shapley_attribution(d, neuron)):.1f} s",
        "-",
        None,
    )
