"""Training recipe of the demo's listeners: post-hoc with a mask decoder, and by-design, on the probing corpus."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np

from and_core.config import ListeningConfig, PluginConfig
from and_core.corpus import clips as corpus
from and_core.demo.training import TEST_FOLD, Sounds
from and_core.listen.faithfulness import fidelity_of
from and_core.listen.listener import load_listener
from and_core.listen.maps import MapReader, choose_maps
from and_core.listen.stft import Stft
from and_core.listen.training_data import TrainingData, split_clips
from and_core.pipeline.listening import POST_HOC, RECIPE, train_all
from and_core.progress import Progress, silent
from and_core.store.files import sha256_file
from and_core.targets.base import TARGETS

CONFIG = ListeningConfig(by_design=True, decoder=True)
TRAINED_FOLDS = tuple(fold for fold in range(1, 6) if fold != TEST_FOLD)
SEED = 0


def train(
    folder: Path, network: Path, sounds: Sounds, progress: Progress = silent, config: ListeningConfig = CONFIG
) -> dict[str, object]:
    """Train on the probing corpus alone, and write one folder per listener, with `recipe.json` beside them.

    Parameters
    ----------
    network : Path
        The demo's AST.

    Returns
    -------
    dict
        Contents of `recipe.json`: settings, data fingerprint, what training said, figures on the test fold, hashes of
        the weights, seconds.
    """
    began = time.time()
    plugin = PluginConfig(kind="ast", checkpoint=str(network))
    target = TARGETS.create(plugin)
    target.load("cpu")
    jobs = corpus.corpus_jobs()
    waves, labels = sounds.waves[: len(jobs)].astype(np.float32) / 32768, sounds.labels[: len(jobs)]
    truth = labels[:, None] == np.arange(len(target.classes or []))
    folds = [index % 5 + 1 for _, index, _ in jobs]
    split = split_clips(folds, [None] * len(jobs), TRAINED_FOLDS, config.validation_fold, config.test_folds, SEED)
    data = TrainingData(
        waves, truth, MapReader(target, choose_maps(target, config.maps)), Stft.for_rate(target.sample_rate)
    )
    mark = hashlib.sha256(f"{target.fingerprint()} {SEED} {config.model_dump_json()}".encode()).hexdigest()[:12]
    work = folder / f".work-{mark}"
    listeners, report = train_all(target, data, split, config, work, SEED, progress)
    for name, listener in listeners.items():
        listener.save(folder / name, {"checkpoint": target.fingerprint()[:16]})
    shipped = {
        name: load_listener(folder / name, copy.deepcopy(target)) for name in listeners
    }  # measure what is shipped: weights rounded to float16
    about: dict[str, object] = {
        "recipe": {**config.model_dump(mode="json", exclude={"weights"}), "seed": SEED},
        "clips": {"fingerprint": corpus.fingerprint(corpus.PER_CATEGORY, 0), "test_fold": TEST_FOLD},
        "network": target.fingerprint()[:16],
        **report,
        "test_accuracy": {
            name: round(float(np.mean(trained.predict(waves[split.test]).argmax(1) == labels[split.test])), 4)
            for name, trained in shipped.items()
        },
        "test_fidelity": {k: round(v, 4) for k, v in fidelity_of(shipped[POST_HOC], waves[split.test]).items()},
        "seconds": round(time.time() - began),
        "sha256": {name: sha256_file(folder / name / "listener.safetensors") for name in listeners},
    }
    (folder / RECIPE).write_text(json.dumps(about, indent=2) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    return about
