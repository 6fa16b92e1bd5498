"""Learning to listen: the interpreter post-hoc and by-design, and a mask decoder.

Every pass is kept, so that a stopped run goes on.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from and_core.config import ListeningConfig
from and_core.listen import dictionary
from and_core.listen.interpreter import Interpreter, MaskDecoder
from and_core.listen.listener import Listener
from and_core.listen.maps import MapReader, choose_maps
from and_core.listen.stft import Stft, peak
from and_core.listen.training_data import ClipSplit, TrainingData
from and_core.progress import Progress
from and_core.store.files import sync
from and_core.targets.base import Target

RECONSTRUCTION, SPARSE = 5.0, 0.4  # weights of the loss
EARLY, LATE, SWITCH = 0.5, 1.0, 20  # weight of fidelity before and from this epoch
ENCODER_RATE = 0.1  # of the learning rate, for an encoder that trains along
LMAC_IN, LMAC_OUT, LMAC_L1 = 4.0, 0.2, 0.4
DICTIONARY_STEPS = 200
FRAMES = 16_000  # that the dictionary is learned from


@dataclass
class Task:
    """Something to train.

    Attributes
    ----------
    name : str
        Of its files in the work folder.
    module : nn.Module
        All that is trained.
    groups : list
        Parameter groups of Adam.
    loss : callable
        (rows, epoch) -> loss.
    score : callable
        () -> what chooses the epoch, on the validation clips: larger is better.
    """

    name: str
    module: nn.Module
    groups: list[dict[str, Any]]
    loss: Callable[[np.ndarray, int], torch.Tensor]
    score: Callable[[], float]


def fit(
    task: Task, rows: np.ndarray, config: ListeningConfig, work: Path, seed: int, progress: Progress
) -> list[dict[str, float]]:
    """Train, leave the weights of the best epoch in the module, and return loss and score of each epoch.

    After each epoch weights, optimiser and best weights are written to `work`; a run that was stopped goes on with the
    next.
    """
    optimiser = torch.optim.Adam(task.groups)
    history, best = _resume(task, optimiser, work)
    for epoch in range(len(history), config.epochs):
        order = np.random.default_rng([seed, epoch]).permutation(rows)
        total = 0.0
        for start in range(0, len(order), config.batch):
            loss = task.loss(order[start : start + config.batch], epoch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(order[start : start + config.batch])
        score = round(task.score(), 6)
        history.append({"loss": round(total / len(rows), 6), "score": score})
        if score >= max(row["score"] for row in history):  # a tie goes to the later one: it reconstructs better
            best = copy.deepcopy(task.module.state_dict())
        _keep(task, optimiser, history, best, work)
        progress(f"listening: {task.name}", epoch + 1, config.epochs)
    task.module.load_state_dict(best)
    return history


def _keep(
    task: Task,
    optimiser: torch.optim.Optimizer,
    history: list[dict[str, float]],
    best: dict[str, torch.Tensor],
    work: Path,
) -> None:
    work.mkdir(parents=True, exist_ok=True)
    tensors = {f"now.{k}": v for k, v in task.module.state_dict().items()} | {f"best.{k}": v for k, v in best.items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{k}": torch.as_tensor(v, dtype=torch.float32) for k, v in state.items()}
    temporary = work / f"{task.name}.tmp"
    save_file(
        {k: v.detach().clone().contiguous() for k, v in tensors.items()}, temporary, {"history": json.dumps(history)}
    )
    sync(temporary)
    temporary.replace(work / f"{task.name}.safetensors")


def _resume(
    task: Task, optimiser: torch.optim.Optimizer, work: Path
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    path = work / f"{task.name}.safetensors"
    plain = copy.deepcopy(task.module.state_dict())
    try:
        with safe_open(path, "pt") as opened:
            history = json.loads(opened.metadata()["history"])
        tensors = load_file(path)
        task.module.load_state_dict(_part(tensors, "now."))
        best = _part(tensors, "best.")
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError, TypeError):
        task.module.load_state_dict(plain)
        return [], plain
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in _part(tensors, "adam.").items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return history, best


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def agreement(f: torch.Tensor, g: torch.Tensor, multi_label: bool) -> torch.Tensor:
    """Return cross-entropy of g under f's soft decisions: no labels."""
    if multi_label:
        return F.binary_cross_entropy_with_logits(g, torch.sigmoid(f))
    return F.cross_entropy(g, torch.softmax(f, 1))


def learn_dictionary(
    data: TrainingData, rows: np.ndarray, config: ListeningConfig, work: Path, seed: int, progress: Progress
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return W, and how good it is: reconstruction error on frames it did not learn from are for the caller.

    Coherence here.
    """
    path = work / "dictionary.npy"
    x = data.frames(rows, FRAMES, seed)
    try:
        w = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        w = dictionary.learn(
            x,
            config.components,
            config.sparsity,
            DICTIONARY_STEPS,
            seed,
            lambda done, total: progress("listening: dictionary", done, total),
        )
        work.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        with open(temporary, "wb") as handle:
            np.save(handle, w, allow_pickle=False)
        sync(temporary)
        temporary.replace(path)
    h = dictionary.activations(x, w, config.sparsity)
    return w, {
        "frames": int(x.shape[1]),
        "error": round(dictionary.error(x, w, h), 4),
        "coherence": dictionary.coherence(w),
    }


def shapes_of(data: TrainingData, row: int) -> tuple[list[tuple[int, int, int]], int]:
    """Return shapes of the maps, and the number of classes."""
    logits, maps = data.outputs(np.array([row]))
    return [(int(m.shape[1]), int(m.shape[2]), int(m.shape[3])) for m in maps], int(logits.shape[1])


def train_post_hoc(
    target: Target,
    data: TrainingData,
    split: ClipSplit,
    config: ListeningConfig,
    work: Path,
    seed: int,
    progress: Progress,
) -> tuple[Listener, dict[str, Any]]:
    """Return dictionary, interpreter and, where asked for, mask decoder of a frozen target.

    The listener and the report of its training.
    """
    target.network.requires_grad_(False)  # nothing that is learned here reaches the network
    w, about = learn_dictionary(data, split.train, config, work, seed, progress)
    shapes, classes = shapes_of(data, int(split.train[0]))
    torch.manual_seed(seed)
    interpreter = Interpreter(shapes, config.components, classes)
    dictionary_ = torch.from_numpy(w)
    frames = data.spectra(split.train[:1]).shape[-1]

    def loss(rows: np.ndarray, epoch: int) -> torch.Tensor:
        x = data.spectra(rows)
        f, maps = data.outputs(rows)
        h, _, g = interpreter(maps, frames)
        fidelity = EARLY if epoch < SWITCH else LATE
        return (
            RECONSTRUCTION * F.mse_loss(dictionary_ @ h, x)
            + fidelity * agreement(f, g, config.multi_label)
            + SPARSE * h.abs().mean()
        )

    def score() -> float:
        hits = 0.0
        with torch.no_grad():
            for rows in np.array_split(split.validation, -(-len(split.validation) // 64)):
                f, maps = data.outputs(rows)
                hits += float((interpreter(maps, frames)[2].argmax(1) == f.argmax(1)).sum())
        return hits / len(split.validation)

    task = Task(
        "interpreter",
        interpreter,
        [{"params": list(interpreter.parameters()), "lr": config.learning_rate}],
        loss,
        score,
    )
    history = fit(task, split.train, config, work, seed, progress)
    names = list(choose_maps(target, config.maps))
    listener = Listener(target, w, interpreter, data.waves.shape[1], names)
    report = {"dictionary": about, "interpreter": _best(history)}
    if config.decoder:
        decoder, about_decoder = train_decoder(listener, data, split, config, work, seed, progress)
        listener.decoder = decoder.eval()
        report["decoder"] = about_decoder
    return listener, report


def _best(history: list[dict[str, float]]) -> dict[str, Any]:
    scores = [row["score"] for row in history]
    epoch = max(i for i, s in enumerate(scores) if s == max(scores))
    return {"epochs": len(history), "chosen": epoch + 1, "validation": max(scores), "loss": history[epoch]["loss"]}


def train_by_design(
    target: Target,
    data: TrainingData,
    split: ClipSplit,
    config: ListeningConfig,
    w: np.ndarray,
    work: Path,
    seed: int,
    progress: Progress,
) -> tuple[Listener, dict[str, Any]]:
    """Return a network whose prediction is g = Θ(Ψ(f_I(x))): the target's own head is gone, its encoder trains along at
    a small learning rate.

    The target's weights change in place; give it a network of its own.
    """
    names = list(choose_maps(target, config.maps))
    reader = MapReader(target, choose_maps(target, names))
    shapes, classes = shapes_of(data, int(split.train[0]))
    torch.manual_seed(seed + 1)
    interpreter = Interpreter(shapes, config.components, classes)
    dictionary_ = torch.from_numpy(w)
    frames = data.spectra(split.train[:1]).shape[-1]
    truth = torch.from_numpy(data.truth)
    target.network.requires_grad_(True)

    def loss(rows: np.ndarray, epoch: int) -> torch.Tensor:
        _, maps = reader(target.features(list(data.waves[rows])))
        h, _, g = interpreter(maps, frames)
        y = truth[rows]
        wrong = (
            F.binary_cross_entropy_with_logits(g, y.float())
            if config.multi_label
            else F.cross_entropy(g, y.int().argmax(1))
        )
        return wrong + RECONSTRUCTION * F.mse_loss(dictionary_ @ h, data.spectra(rows)) + SPARSE * h.abs().mean()

    def score() -> float:
        hits = 0.0
        with torch.no_grad():
            for rows in np.array_split(split.validation, -(-len(split.validation) // 64)):
                _, maps = reader(target.features(list(data.waves[rows])))
                best = interpreter(maps, frames)[2].argmax(1)
                hits += float(truth[rows].gather(1, best[:, None]).sum())
        return hits / len(split.validation)

    both = nn.ModuleDict({"network": target.network, "interpreter": interpreter})
    groups = [
        {"params": list(interpreter.parameters()), "lr": config.learning_rate},
        {"params": list(target.network.parameters()), "lr": ENCODER_RATE * config.learning_rate},
    ]
    history = fit(Task("by_design", both, groups, loss, score), split.train, config, work, seed, progress)
    target.network.requires_grad_(False)
    return Listener(target, w, interpreter, data.waves.shape[1], names, by_design=True), {"interpreter": _best(history)}


def train_decoder(
    listener: Listener,
    data: TrainingData,
    split: ClipSplit,
    config: ListeningConfig,
    work: Path,
    seed: int,
    progress: Progress,
) -> tuple[MaskDecoder, dict[str, Any]]:
    """Return a mask decoder after L-MAC: ``4 CE(kept, c) - 0.2 CE(left, c) + 0.4 mean|mask|``, through waveform and
    front end.

    Raises
    ------
    TargetError
        The target's front end has no gradients.
    """
    target, stft = listener.target, Stft.for_rate(listener.target.sample_rate)
    shapes, _ = shapes_of(data, int(split.train[0]))
    torch.manual_seed(seed + 2)
    decoder = MaskDecoder(shapes, stft.bins)
    frames, samples = listener.frames, listener.samples

    def passed(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(data.waves[rows])
        scale = peak(x)
        spectrum = stft.spectrum(x / scale)
        f, maps = data.outputs(rows)
        mask = decoder(maps, frames)
        kept, left = (
            target.forward(target.features_with_grad(stft.waves(spectrum * part, samples) * scale)).float().cpu()
            for part in (mask, 1 - mask)
        )
        return f.argmax(1), mask, kept, left

    def loss(rows: np.ndarray, epoch: int) -> torch.Tensor:
        c, mask, kept, left = passed(rows)
        return LMAC_IN * F.cross_entropy(kept, c) - LMAC_OUT * F.cross_entropy(left, c) + LMAC_L1 * mask.mean()

    def score() -> float:
        """Share of clips that keep their class, plus how much probability what is left loses."""
        score = 0.0
        with torch.no_grad():
            for rows in np.array_split(split.validation, -(-len(split.validation) // 64)):
                c, _, kept, left = passed(rows)
                p = torch.softmax(data.outputs(rows)[0], 1).gather(1, c[:, None])[:, 0]
                q = torch.softmax(left, 1).gather(1, c[:, None])[:, 0]
                score += float((kept.argmax(1) == c).sum() + (p - q).sum())
        return score / len(split.validation)

    task = Task("decoder", decoder, [{"params": list(decoder.parameters()), "lr": config.learning_rate}], loss, score)
    return decoder, _best(fit(task, split.train, config, work, seed, progress))
