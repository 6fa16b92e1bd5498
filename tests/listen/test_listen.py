"""Listening: the identities that must hold, the metrics by hand, and what is learned, measured and heard on a small
dissection."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.audio.media import clip_wave
from and_core.config import ListeningConfig
from and_core.labels.truth import class_truth
from and_core.listen import dictionary, faithfulness, metrics
from and_core.listen.attribution import (
    shapley,
)
from and_core.listen.listener import NO_EVIDENCE, SILENT
from and_core.listen.maps import MapReader, choose_maps
from and_core.listen.stft import Stft, log_magnitude, with_magnitude
from and_core.listen.training import train_by_design, train_decoder, train_post_hoc
from and_core.listen.training_data import TrainingData, split_clips
from and_core.targets.loaded import open_target
from tests.conftest import tone


def waves_of(d, count: int = 6) -> np.ndarray:
    return np.stack([clip_wave(d, i, 16_000) for i in range(count)])


@pytest.mark.parametrize("samples", [1, 300, 511, 16_000, 48_001])
def test_a_round_trip_gives_the_wave_back(samples: int) -> None:
    wave = torch.from_numpy(np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32) * 0.1)
    stft = Stft()
    spectrum = stft.spectrum(wave)
    assert stft.waves(spectrum, samples).numpy() == pytest.approx(wave.numpy(), abs=1e-5)
    again = stft.waves(with_magnitude(spectrum, log_magnitude(spectrum)), samples)
    assert again.numpy() == pytest.approx(wave.numpy(), abs=1e-4)


def test_a_dictionary_is_sparse_unit_and_as_good_as_scikit_learns() -> None:
    from sklearn.decomposition import NMF

    rng = np.random.default_rng(0)
    true, _ = dictionary.normalise(rng.random((40, 5)) ** 4)
    x = (true @ (rng.random((5, 300)) * (rng.random((5, 300)) < 0.4))).astype(np.float32)
    w = dictionary.learn(x, 5, 0.0, 300)
    h = dictionary.activations(x, w, steps=300)
    assert np.linalg.norm(w, axis=0) == pytest.approx(np.ones(5), abs=1e-5) and (w >= 0).all() and (h >= 0).all()
    peer = NMF(5, solver="mu", init="random", random_state=0, max_iter=300).fit(x.T)
    theirs = np.linalg.norm(x - (peer.transform(x.T) @ peer.components_).T) / np.linalg.norm(x)
    assert dictionary.error(x, w, h) <= 1.1 * theirs + 0.01
    sparse = dictionary.learn(x, 5, 0.8, 300)
    assert np.mean(dictionary.activations(x, sparse, 0.8) < 1e-3) >= np.mean(h < 1e-3) - 0.05
    assert np.array_equal(w, dictionary.learn(x, 5, 0.0, 300))
    with pytest.raises(ValueError, match="components=5"):
        dictionary.learn(x[:, :3], 5, 0.0)


def test_groups_hold_what_is_alike_and_their_masks_sum_to_one() -> None:
    w = np.array([[1, 0.99, 0, 0], [0, 0.1, 1, 0], [0, 0, 0, 1]], np.float32)
    joined = dictionary.groups(w)
    assert joined == [[0, 1], [2], [3]]
    h = np.random.default_rng(0).random((4, 7)).astype(np.float32)
    h[:, 3] = 0
    masks = dictionary.soft_masks(w, h, joined)
    assert masks.sum(0) == pytest.approx(np.ones((3, 7)), abs=1e-5) and (masks >= 0).all()
    assert dictionary.coherence(w)["max"] == pytest.approx(0.995, abs=0.01)


def test_the_fields_metrics_by_hand() -> None:
    p, o, q = np.array([0.5, 0.8, 1.0]), np.array([0.75, 0.4, 1.0]), np.array([0.1, 0.8, 0.4])
    assert metrics.average_increase(p, o) == pytest.approx(100 / 3)
    assert metrics.average_drop(p, o) == pytest.approx(100 * 0.5 / 3)
    assert metrics.average_gain(p, o) == pytest.approx(100 * 0.5 / 3)
    assert metrics.faithfulness(p, q) == pytest.approx(1.0 / 3)
    assert metrics.average_increase(p, p) == metrics.average_drop(p, p) == metrics.average_gain(p, p) == 0
    assert metrics.input_fidelity(np.eye(3), np.array([0, 1, 0])) == pytest.approx(2 / 3)
    assert (
        metrics.fidelity(np.array([[3.0, 2, 1]]), np.array([[1.0, 2, 3]]), 1) == 0
        and metrics.fidelity(np.array([[3.0, 2, 1]]), np.array([[1.0, 2, 3]]), 3) == 100
    )
    assert metrics.sparseness(np.ones(10)) == pytest.approx(0) and metrics.sparseness(np.eye(10)[0]) == pytest.approx(
        0.9
    )
    assert metrics.complexity(np.ones((4, 4))) == (
        pytest.approx(np.log(16)),
        pytest.approx(1.0),
    ) and metrics.complexity(np.eye(4)[:1]) == (0.0, 0.0)
    assert metrics.sparseness(np.zeros(4)) == 0 and metrics.complexity(np.zeros(4)) == (0.0, 0.0)
    clean = np.sin(np.arange(8000) / 5)
    noise = np.cos(np.arange(8000) / 3)
    assert metrics.si_sdr(3 * clean, clean) > 60 and metrics.si_sdr(clean + noise, clean) == pytest.approx(0, abs=0.3)
    both = metrics.multi_label(np.array([[True, False], [False, True]]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert both == {"auprc_macro": 1.0, "auprc_micro": 1.0, "max_f1": 1.0}


@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_shapley_values_sum_to_the_whole_and_are_exact_for_sums(players: int, orders: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    worth = rng.standard_normal((players, 3))
    pair = rng.standard_normal(3)

    def game(kept: np.ndarray) -> np.ndarray:
        return kept @ worth + (kept[:, :1] & kept[:, 1:2]) * pair

    found = shapley(game, players, orders, seed)
    assert found.sum(0) == pytest.approx(worth.sum(0) + pair)
    assert found[2:] == pytest.approx(worth[2:])
    if orders % 2 == 0:  # each order with its reverse: a pair's surplus is halved
        assert found[0] == pytest.approx(worth[0] + pair / 2)


def material_of(d, config: ListeningConfig):
    target = open_target(d)
    waves = waves_of(d, len(d.clips))
    split = split_clips([c.fold for c in d.clips], [c.source for c in d.clips], [2, 3, 4, 5], None, None, 0)
    return (
        target,
        TrainingData(waves, class_truth(d), MapReader(target, choose_maps(target, config.maps)), Stft()),
        split,
    )


def weights(module: torch.nn.Module) -> np.ndarray:
    return np.concatenate([v.detach().numpy().ravel() for v in module.state_dict().values()])


def test_training_leaves_the_network_and_the_dictionary_alone(dissection, tmp_path: Path) -> None:
    config = ListeningConfig(components=4, epochs=1)
    target, data, split = material_of(dissection, config)
    before = weights(target.network)
    made, report = train_post_hoc(target, data, split, config, tmp_path, 0, lambda *a: None)
    assert np.array_equal(before, weights(target.network)) and all(p.grad is None for p in target.network.parameters())
    assert np.array_equal(made.w, np.load(tmp_path / "dictionary.npy")) and report["interpreter"]["epochs"] == 1


def test_a_stopped_training_goes_on_and_ends_with_the_same_weights(dissection, tmp_path: Path) -> None:
    config = ListeningConfig(components=4, epochs=3)

    class Stop(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "listening: interpreter" and done == 2:
            raise Stop

    target, data, split = material_of(dissection, config)
    with pytest.raises(Stop):
        train_post_hoc(target, data, split, config, tmp_path / "a", 0, stop)
    seen: list[tuple[str, int]] = []
    one, _ = train_post_hoc(
        target, data, split, config, tmp_path / "a", 0, lambda stage, done, total: seen.append((stage, done))
    )
    assert seen == [("listening: interpreter", 3)]  # neither the dictionary nor the first passes again
    two, _ = train_post_hoc(target, data, split, config, tmp_path / "b", 0, lambda *a: None)
    assert weights(one.interpreter) == pytest.approx(weights(two.interpreter), abs=1e-6)


def test_by_design_the_network_trains_along_and_the_decoder_needs_gradients(dissection, tmp_path: Path) -> None:
    config = ListeningConfig(components=4, epochs=1)
    target, data, split = material_of(dissection, config)
    listener, _ = train_post_hoc(target, data, split, config, tmp_path, 0, lambda *a: None)
    _, told = train_decoder(listener, data, split, config, tmp_path, 0, lambda *a: None)
    assert told["epochs"] == 1 and all(
        p.grad is None for p in target.network.parameters()
    )  # no gradient reaches the network
    own = copy.deepcopy(target)
    made, _ = train_by_design(own, data, split, config, listener.w, tmp_path, 0, lambda *a: None)
    assert made.by_design and not np.array_equal(weights(own.network), weights(target.network))
    logits = made.predict(data.waves[:2])
    assert logits == pytest.approx(np.stack([made.interpret(w).g for w in data.waves[:2]]), abs=1e-4)


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    from and_core.listen.training import Task, fit

    module = torch.nn.Linear(1, 1)
    scores = iter([1 / 3, 2 / 3, 0.1])  # rounding must not lose the second
    seen: list[float] = []

    def score() -> float:
        seen.append(float(module.weight.detach()))
        return next(scores)

    task = Task(
        "x",
        module,
        [{"params": list(module.parameters()), "lr": 0.1}],
        lambda rows, epoch: (module(torch.ones(1, 1)) - 3).square().mean(),
        score,
    )
    history = fit(task, np.arange(4), ListeningConfig(epochs=3), tmp_path, 0, lambda *a: None)
    assert len(history) == 3 and float(module.weight.detach()) == pytest.approx(seen[1])


def test_controls_take_as_much_energy_as_they_say(listened, listener) -> None:
    waves = waves_of(listened, 8)
    rows = faithfulness.by_threshold(listener, waves, [0.2], draws=2)
    assert abs(rows[0]["energy"] - rows[0]["random energy"]) < 0.15
    assert (
        faithfulness.drops_when_removed(listener, waves, 0.2) is None
        or 0 <= faithfulness.drops_when_removed(listener, waves, 0.2) <= 1
    )


def test_clips_are_split_by_fold_or_by_source() -> None:
    by_fold = split_clips([1, 2, 3, 4, 5, 1], [None] * 6, [2, 3, 4, 5], None, None, 0)
    assert (
        by_fold.test.tolist() == [0, 5] and by_fold.validation.tolist() == [1] and by_fold.train.tolist() == [2, 3, 4]
    )
    sources = [f"s{i // 3}" for i in range(60)]
    found = split_clips([None] * 60, sources, [], None, None, 0)
    parts = [{sources[i] for i in part} for part in (found.train, found.validation, found.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2]) and len(found.train) == 36
    with pytest.raises(ValueError, match="measure on"):
        split_clips([1, 2], [None] * 2, [1, 2], None, [9], 0)


def test_relevances_and_masks_are_the_whole(listened, listener) -> None:
    for wave in waves_of(listened, 4):
        found = listener.interpret(wave)
        if found.remark:
            assert found.remark == NO_EVIDENCE and found.top <= 0
        else:
            assert found.relevance.sum() * found.top == pytest.approx(found.g[found.shown], abs=1e-3)
        masks = listener.component_masks(found.h)
        assert masks.sum(0) == pytest.approx(np.ones_like(masks[0]), abs=1e-4)
        log = log_magnitude(Stft().spectrum(torch.from_numpy(wave)[None] / np.abs(wave).max()))[0].numpy()
        assert (masks * log).sum(0) == pytest.approx(log, abs=1e-3)
        chosen = found.relevance > 0.2
        assert listener.mask_of(found.h, chosen) == pytest.approx(masks[chosen].sum(0), abs=1e-4)
        _, left = listener.render(wave, masks[chosen].sum(0))
        gone = 1 - (left**2).sum() / (wave**2).sum()
        assert listener.energy_lost(log, masks[chosen].sum(0)) == pytest.approx(gone, abs=0.05)


def test_a_round_trip_does_not_change_the_prediction_and_all_ones_is_no_explanation(listened, listener) -> None:
    waves = waves_of(listened)
    kept, left = listener.render_all(waves, faithfulness.all_ones(listener)(waves, np.zeros(len(waves), int)))
    assert listener.predict(kept) == pytest.approx(listener.predict(waves), abs=0.05) and np.abs(left).max() < 1e-5
    found = faithfulness.judge(listener, waves, faithfulness.all_ones(listener))
    assert (
        found["AD"] < 0.5
        and found["AG"] < 0.5
        and found["Fid-In"] == 1
        and found["SPS"] == 0
        and found["COMP share"] == pytest.approx(1)
    )


def test_silence_and_no_evidence_are_said_plainly(listened, listener) -> None:
    assert listener.interpret(np.zeros(listener.samples, np.float32)).remark == SILENT
    assert listener.interpret(listener.fit_length(tone(0.001))).logits.shape == (40,)  # shorter than a frame: padded
    wave = waves_of(listened, 1)[0]
    worst = copy.deepcopy(listener)
    with torch.no_grad():
        worst.interpreter.theta.copy_(-worst.interpreter.theta.abs())
    found = worst.interpret(wave)
    assert found.remark == NO_EVIDENCE and not found.relevance.any() and found.relevant(0.0) == []
