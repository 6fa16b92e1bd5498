"""The embedded default: dissections of the demo's networks on the synthetic corpus."""

from __future__ import annotations

from pathlib import Path

from and_core import pipeline
from and_core.config import RunConfig, make_config
from and_core.pipeline.stage import Progress

TRAINING = {"demo-ast": "supervised", "demo-beats-finetuned": "fine-tuned", "demo-beats-frozen": "frozen"}
TRAINED_FOLDS = [2, 3, 4, 5]
CONCEPTS = 2  # unlearned in the build; `and-dissect prune NAME --all` does the rest
SHARES = [0.06, 0.12]
LISTENING = {"weights": "demo", "measured": 20}  # learned in `and-dissect demo train`
NETWORKS = {  # the paper's three training strategies
    "demo-ast": {"kind": "ast", "checkpoint": "demo"},
    "demo-beats-finetuned": {"kind": "beats", "checkpoint": "demo-finetuned"},
    "demo-beats-frozen": {"kind": "beats", "checkpoint": "demo-frozen"},
}


def demo_configs() -> list[RunConfig]:
    """One configuration per network; they share clips, captions and texts, which are computed once."""
    return [
        make_config(
            {
                "name": name,
                "training": TRAINING[name],
                "dataset": {"kind": "synthetic"},
                "target": {**target, "trained_folds": TRAINED_FOLDS},
                "captions": {"kind": "corpus"},
                "encoder": {"kind": "minilm", "model": "bundled"},
                "audio_encoder": {"kind": "small_clap"},
                "closed": {"similarity": "wpmi"},  # by planted neurons, see docs/settings.md
                "unlearning": {"concepts": CONCEPTS, "fair": 2, "shares": SHARES, "importance": name == "demo-ast"},
                "listening": LISTENING if name == "demo-ast" else None,
            }
        )
        for name, target in NETWORKS.items()
    ]


def build(root: Path | None = None, progress: Progress = lambda stage, done, total: None) -> list[pipeline.Outcome]:
    """Dissect every network of the demo; what is up to date is left alone."""
    return [pipeline.run(config, root=root, progress=progress) for config in demo_configs()]
