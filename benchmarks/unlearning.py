"""Ablation against plain evaluation of the tested split, on the demo's AST."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from and_core import Dissection, open_dissection, pipeline
from and_core.audio.decode import resample
from and_core.audio.media import read_flac
from and_core.demo.build import demo_configs
from and_core.store.files import cache_root
from and_core.targets.base import Target
from and_core.unlearn.evaluator import Evaluator, open_evaluator
from and_core.unlearn.request import AblationRequest
from and_core.unlearn.selection import select_neurons
from benchmarks.report import Row, seconds

ROUNDS, CONCEPTS, BATCH, MOST_ONE = 7, 50, 16, 1.1


def plain(target: Target, d: Dissection, clips: np.ndarray) -> np.ndarray:
    """What an evaluation costs without any of this: decode, features, forward, in one loop."""
    found = []
    for start in range(0, len(clips), BATCH):
        waves = [resample(*read_flac(d.audio(int(clip))), target.sample_rate) for clip in clips[start : start + BATCH]]
        with torch.inference_mode():
            found.append(target.forward(target.features(waves)).float().cpu().numpy())
    return np.concatenate(found)


def rows() -> Iterator[Row]:
    """One concept against a plain evaluation, and 50 against 50."""
    config = demo_configs()[0]
    root = cache_root()
    with tempfile.TemporaryDirectory() as spare:
        if not (root / config.name / "manifest.json").exists():
            root = Path(spare)
        pipeline.run(config, root=root)
        d = open_dissection(config.name, root=root)
        evaluator = open_evaluator(d)
        names = d.concept_set
        masks = [
            select_neurons(
                d, AblationRequest(concept=names[i % len(names)], strategy="DB", dose=1.0 if i < len(names) else 0.5)
            ).selection.masks
            for i in range(CONCEPTS)
        ]
        target, clips = evaluator.target, evaluator.clips
        plain(target, d, clips)
        whole, one = [], []
        for i in range(
            ROUNDS
        ):  # by turns, so that both see the same machine; a new evaluator each time has decoded nothing yet
            whole.append(seconds(lambda: plain(target, d, clips)))
            fresh = Evaluator(target, d, clips, BATCH)
            one.append(seconds(lambda: fresh.logits([masks[i]])))  # noqa: B023 - called at once
        ratio = statistics.median(one) / statistics.median(whole)
        said = (
            f"{ratio:.2f}x ({1000 * statistics.median(one):.0f} ms against {1000 * statistics.median(whole):.0f} "
            f"ms, {len(clips)} clips)"
        )
        yield Row(
            "one concept ablated, against a plain evaluation of the tested split",
            said,
            f"{MOST_ONE}x",
            ratio <= MOST_ONE,
        )
        fresh = Evaluator(target, d, clips, BATCH)
        took = seconds(lambda: fresh.logits(masks))
        many = took / statistics.median(whole)
        yield Row(
            f"{CONCEPTS} concepts in one call, in plain evaluations",
            f"{many:.1f} ({took:.1f} s)",
            f"{CONCEPTS}",
            many <= CONCEPTS,
        )
