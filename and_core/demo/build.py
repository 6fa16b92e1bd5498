"""The embedded default: dissections of the demo's networks on the synthetic corpus."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from and_core import pipeline
from and_core.config import RunConfig, make_config
from and_core.datasets.prepare import leave_with_parent
from and_core.pipeline.clips import ONE_THREAD
from and_core.progress import Progress, in_progress, silent
from and_core.store.files import cache_root

TRAINING = {"demo-ast": "supervised", "demo-beats-finetuned": "fine-tuned", "demo-beats-frozen": "frozen"}
TRAINED_FOLDS = [2, 3, 4, 5]
CONCEPTS = {"demo-ast": 2}  # unlearned in the build, one elsewhere; `and-dissect prune NAME --all` does the rest
SEEDS = [20, 202]
SHARES = [0.1]
LISTENING = {"weights": "demo", "measured": 8}  # learned in `and-dissect demo train`
NETWORKS = {  # the paper's three training strategies
    "demo-ast": {"kind": "ast", "checkpoint": "demo"},
    "demo-beats-finetuned": {"kind": "beats", "checkpoint": "demo-finetuned"},
    "demo-beats-frozen": {"kind": "beats", "checkpoint": "demo-frozen"},
}


def demo_configs() -> list[RunConfig]:
    """Return one configuration per network; they share clips, captions and texts, which are computed once."""
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
                "scores": {"draws": 20},
                "closed": {"similarity": "wpmi"},  # by planted neurons, see docs/settings.md
                "unlearning": {
                    "concepts": CONCEPTS.get(name, 1),
                    "seeds": SEEDS,
                    "fair": 2,
                    "shares": SHARES,
                    "importance": name == "demo-ast",
                },
                "listening": LISTENING if name == "demo-ast" else None,
                "tuning": {},
                "steering": {} if name == "demo-ast" else None,
            }
        )
        for name, target in NETWORKS.items()
    ]


def build(root: Path | None = None, progress: Progress = silent) -> list[pipeline.Outcome]:
    """Dissect every network of the demo; what is up to date is left alone.

    The first network goes as far as its explanations, so that a dashboard can open on it; meanwhile and afterwards a
    second process works on the others. Each process takes one thread, so that the numbers are the same on any number of
    cores.
    """
    import torch

    root = root or cache_root()
    first, *others = demo_configs()
    explained = pipeline.STAGE_NAMES[: pipeline.STAGE_NAMES.index("explanations") + 1]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _second_process() as second, _watched(root, [config.name for config in others], progress):
            parts = [pipeline.run(first, root=root, only=explained[:1], progress=progress, remake=True)]
            early = second.submit(_run_all, [config.model_dump(mode="json") for config in others], root, explained[:4])
            parts.append(pipeline.run(first, root=root, only=explained, progress=progress, remake=True))
            late = second.submit(_run_all, [config.model_dump(mode="json") for config in others], root, ())
            parts.append(pipeline.run(first, root=root, progress=progress, remake=True))
            outcomes = [_joined(parts), *map(_joined, zip(early.result(), late.result(), strict=True))]
    finally:
        torch.set_num_threads(threads)
    return outcomes


def _run_all(configs: list[dict[str, Any]], root: Path, only: Sequence[str]) -> list[pipeline.Outcome]:
    return [pipeline.run(make_config(raw), root=root, only=only, progress=silent, remake=True) for raw in configs]


def _joined(parts: Sequence[pipeline.Outcome]) -> pipeline.Outcome:
    """Return one outcome of several runs of a dissection, one after the other."""
    computed, taken = ([name for part in parts for name in getattr(part, what)] for what in ("computed", "taken_over"))
    return pipeline.Outcome(
        parts[-1].folder, computed, taken, [name for name in parts[-1].unchanged if name not in (*computed, *taken)]
    )


@contextmanager
def _second_process() -> Iterator[Any]:
    """Return an executor of one process with one thread, which ends with this one, and at once where this one is
    interrupted."""
    from loky import ProcessPoolExecutor

    second = ProcessPoolExecutor(1, initializer=leave_with_parent, initargs=(os.getpid(),), env=ONE_THREAD)
    try:
        yield second
    except BaseException:
        second.shutdown(wait=False, kill_workers=True)
        raise
    second.shutdown()


@contextmanager
def _watched(root: Path, names: Sequence[str], progress: Progress) -> Iterator[None]:
    """Hand on the progress of dissections that another process is making."""
    over = Event()

    def look() -> None:
        while not over.wait(0.5):
            for name, (stage, done, total) in in_progress(root).items():
                if name in names and stage:
                    progress(f"{name}: {stage}", done, total)

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
