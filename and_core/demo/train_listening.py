"""Training recipe of the demo's listeners: post-hoc with a mask decoder, and by-design, on the probing corpus."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np

from and_core.config import ListeningConfig, PluginConfig
from and_core.demo import corpus
from and_core.demo.training import Progress, Sounds, silent
from and_core.listen.front import Front
from and_core.listen.maps import MapReader, choose_maps
from and_core.listen.material import Material, split_clips
from and_core.pipeline.listening import train_all
from and_core.targets.base import TARGETS

CONFIG = ListeningConfig(by_design=True, decoder=True)
TRAINED_FOLDS = (2, 3, 4, 5)


def train(folder: Path, network: Path, sounds: Sounds, seed: int = 0, progress: Progress = silent, config: ListeningConfig = CONFIG) -> dict[str, object]:
    """Train on the probing corpus alone, and write one folder per listener with the report.

    Parameters
    ----------
    network : Path
        The demo's AST.
    """
    began = time.time()
    target = TARGETS.create(PluginConfig(kind="ast", checkpoint=str(network)))  # type: ignore[call-arg]
    target.load("cpu")
    jobs = corpus.corpus_jobs()
    waves = sounds.waves[: len(jobs)].astype(np.float32) / 32768
    folds = [index % 5 + 1 for _, index, _ in jobs]
    split = split_clips(folds, [None] * len(jobs), TRAINED_FOLDS, config.validation_fold, config.test_folds, seed)
    material = Material(waves, sounds.labels[: len(jobs)], MapReader(target, choose_maps(target, config.maps)), Front.for_rate(target.sample_rate))
    mark = hashlib.sha256(f"{target.fingerprint()} {seed} {config.model_dump_json()}".encode()).hexdigest()[:12]
    work = folder / f".work-{mark}"
    found, report = train_all(target, material, split, config, work, seed, lambda stage, done, total: progress(done, total, stage))
    for name, listener in found.items():
        listener.save(folder / name, {"checkpoint": target.fingerprint()[:16]})
    told: dict[str, object] = {**report["training"], "seconds": round(time.time() - began), "seed": seed, "config": config.model_dump(mode="json")}
    (folder / "report.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    return told
