"""Stage `decisions`: how well the components explain single decisions, so that one that they explain well can be shown
first."""

from __future__ import annotations

import copy
from typing import Any

import pyarrow as pa

from and_core.listen.faithfulness import clip_by_clip
from and_core.listen.listener import load_listener
from and_core.pipeline.listening import BY_DESIGN, clip_rows, clip_split, clip_waves, tested_clips
from and_core.pipeline.stage import Run, Stage
from and_core.store.writer import StageWriter

MOST = 40  # clips a mode, of those that nothing was learned on
ROWS = pa.schema(
    [
        ("mode", pa.string()),
        ("clip", pa.int32()),
        ("predicted", pa.int32()),
        ("whole", pa.float64()),
        ("kept", pa.float64()),
        ("left", pa.float64()),
        ("random_left", pa.float64()),
        ("kept_predicted", pa.int32()),
        ("components", pa.int32()),
    ]
)


def parameters(run: Run) -> dict[str, Any]:
    """Return how many clips, and what they are drawn by."""
    return {"clips": MOST, "seed": run.config.seed}


def compute(run: Run, writer: StageWriter) -> None:
    """Compute what the network says of each clip, of its relevant components, of what is left without them, and of what
    is left without random components of as much energy.

    Cost: 40 clips a mode.
    """
    config = run.config.listening
    assert config is not None
    target, d = run.network, run.dissection
    rows = clip_rows(run, target, config.seconds)
    clips = rows[tested_clips(clip_split(run, rows, config).test, MOST, run.config.seed)]
    waves = clip_waves(run, target, clips, config.seconds)
    table = []
    for mode in d.listener_modes:
        network = copy.deepcopy(target) if mode == BY_DESIGN else target
        listener = load_listener(d.listener_folder(mode), network)
        for clip, row in zip(
            clips.tolist(), clip_by_clip(listener, waves, config.tau[0], run.config.seed), strict=True
        ):
            table.append({"mode": mode, "clip": clip, **row})
        run.progress("decisions", len(table), len(clips) * len(d.listener_modes))
    writer.table("rows", pa.Table.from_pylist(table, ROWS), {"whole": "probability of the predicted class"})
    writer.notes = {"clips": len(clips), "tau": config.tau[0]}


STAGE = Stage(
    "decisions",
    "Explaining single decisions",
    ("clips", "activations", "listening"),
    parameters,
    compute,
    wanted=lambda run: run.config.listening is not None,
)
