"""The embedded default: dissections of the demo's networks on the synthetic corpus."""

from __future__ import annotations

from pathlib import Path

from and_core import pipeline
from and_core.config import RunConfig, make_config
from and_core.pipeline.stage import Progress

DEMO_NAME = "demo-ast"
TRAINED_FOLDS = [2, 3, 4, 5]


def demo_configs() -> list[RunConfig]:
    """One configuration per network; they share clips, captions and texts, which are computed once."""
    return [
        make_config(
            {
                "name": DEMO_NAME,
                "dataset": {"kind": "synthetic"},
                "target": {"kind": "ast", "checkpoint": "demo", "trained_folds": TRAINED_FOLDS},
                "captions": {"kind": "corpus"},
                "encoder": {"kind": "minilm", "model": "bundled"},
            }
        )
    ]


def build(root: Path | None = None, progress: Progress = lambda stage, done, total: None) -> list[pipeline.Outcome]:
    """Dissect every network of the demo; what is up to date is left alone."""
    return [pipeline.run(config, root=root, progress=progress) for config in demo_configs()]
