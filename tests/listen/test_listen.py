"""Listening: the identities that must hold, the metrics by hand, and what is learned, measured and heard on a small
dissection."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core import open_dissection, pipeline
from and_core.audio.media import clip_wave
from and_core.config import ListeningConfig, PluginConfig
from and_core.errors import ArtifactError, ConfigError, NotComputed, TargetError
from and_core.listen import dictionary, faithfulness, metrics
from and_core.listen.attribution import (
    attribute,
    group_sound,
    keep_groups,
    layer_activations,
    shapley,
    shapley_attribution,
    split_into_groups,
)
from and_core.listen.decision import dissection_listener
from and_core.listen.listener import NO_EVIDENCE, SILENT, load_listener
from and_core.listen.localize import (
    layer_maps,
    localize,
    localized_picture,
    localized_sound,
    place,
    scale_clips,
    soft_mask,
    split_sound,
)
from and_core.listen.maps import MapReader, choose_maps
from and_core.listen.stft import Stft, log_magnitude, with_magnitude
from and_core.listen.training import train_by_design, train_decoder, train_post_hoc
from and_core.listen.training_data import TrainingData, split_clips
from and_core.targets.base import TARGETS
from and_core.targets.loaded import open_target, shared_target
from tests.conftest import small_config, tone

QUICK = {"components": 6, "epochs": 2, "measured": 6, "by_design": True, "decoder": True, "learning_rate": 0.002}


@pytest.fixture(scope="module")
def listened(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """The small dissection with everything of listening, two passes of training each."""
    root = tmp_path_factory.mktemp("listened")
    shutil.copytree(cache / "small", root / "small")
    pipeline.run(small_config(listening=QUICK), root=root)
    return open_dissection("small", root=root)


@pytest.fixture(scope="module")
def listener(listened):
    return dissection_listener(listened)


def waves_of(d, count: int = 6) -> np.ndarray:
    return np.stack([clip_wave(d, i, 16_000) for i in range(count)])


# -- front end, dictionary
# -------------------------------------------------------------------------------------------------------


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


# -- metrics by hand
# -------------------------------------------------------------------------------------------------------------


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


# -- what is learned
# --------------------------------------------------------------------------------------------------------------


def material_of(d, config: ListeningConfig):
    target = open_target(d)
    waves = waves_of(d, len(d.clips))
    labels = np.array([d.classes.index(c.label) for c in d.clips])
    split = split_clips([c.fold for c in d.clips], [c.source for c in d.clips], [2, 3, 4, 5], None, None, 0)
    return target, TrainingData(waves, labels, MapReader(target, choose_maps(target, config.maps)), Stft()), split


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


# -- what is heard
# ---------------------------------------------------------------------------------------------------------------


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


def test_the_stage_measures_and_stands_on_disk(listened) -> None:
    report = listened.document("listening/report")
    for mode in ("post-hoc", "by-design"):
        found = report["measured"][mode]
        names = [row["method"] for row in found["field"]]
        assert names[:5] == [
            "L2I",
            "energy-matched components",
            "wrong class",
            "randomised weights",
            "all-ones mask",
        ] and ("mask decoder (L-MAC)" in names) == (mode == "post-hoc")
        assert [row["tau"] for row in found["thresholds"]] == [0.1, 0.2, 0.35] and ("fidelity" in found) == (
            mode == "post-hoc"
        )
        assert {row["corruption"] for row in found["corruptions"]} == {"noise at 0 dB", "another class"} and 0 <= found[
            "accuracy"
        ] <= 1
    assert report["published"][1]["FF"] == 0.4
    explained = np.asarray(listened.array("listening/explained"))
    assert (
        explained.shape == (listened.neuron_count,)
        and np.isfinite(explained).mean() > 0.9
        and (explained[np.isfinite(explained)] <= 1).all()
    )
    assert not list(listened.validate())


def test_weights_are_checked_and_given_ones_are_not_trained_again(listened, tmp_path: Path) -> None:
    folder = Path(listened.paths("listening/post-hoc")[0]).parents[0]
    other = TARGETS.create(PluginConfig(kind="beats", checkpoint="demo-frozen"))  # type: ignore[call-arg]
    other.load("cpu")
    with pytest.raises(ArtifactError, match="another network"):
        load_listener(folder, other)
    with pytest.raises(ArtifactError, match="missing or damaged"):
        load_listener(tmp_path, open_target(listened))
    with pytest.raises(ConfigError, match="weights"):
        pipeline.run(small_config(listening={"weights": str(tmp_path)}), root=listened.folder.parent)
    again = pipeline.run(
        small_config(listening={**QUICK, "weights": str(folder.parent)}),
        root=listened.folder.parent,
        only=["listening"],
    )
    assert again.computed == ["listening"]
    pipeline.run(small_config(listening=QUICK), root=listened.folder.parent, only=["listening"])


# -- neurons
# ---------------------------------------------------------------------------------------------------------------------


def test_maps_lie_where_the_sound_is() -> None:
    """A burst late and high in a clip: the map of every kind of network has its change there."""
    rate = 16_000
    quiet = np.random.default_rng(0).standard_normal(3 * rate).astype(np.float32) * 1e-4
    burst = quiet.copy()
    burst[2 * rate : int(2.4 * rate)] += tone(0.4, rate, hz=5_000, level=0.5)
    for config in (
        PluginConfig(kind="ast", checkpoint="demo"),
        PluginConfig(kind="beats", checkpoint="demo-frozen", pooling="mean"),
    ):  # type: ignore[call-arg]
        target = TARGETS.create(config)
        target.load("cpu")
        layer = next(iter(target.modules()))
        maps, _ = layer_maps(target, [quiet, burst], layer)
        found = place(target, np.abs(maps[1] - maps[0]).sum(0), 3.0)
        row, column = np.unravel_index(found.values.argmax(), found.values.shape)
        assert found.seconds[column] <= 2.4 and found.seconds[column + 1] >= 2.0, target.kind
        assert found.hz is not None and found.hz[row] <= 6_500 and found.hz[row + 1] >= 3_500, target.kind
        assert len(found.seconds) == found.values.shape[1] + 1 and len(found.hz) == found.values.shape[0] + 1
    ast = TARGETS.create(PluginConfig(kind="ast", checkpoint="demo"))  # type: ignore[call-arg]
    ast.load("cpu")
    with pytest.raises(TargetError, match="one vector a clip"):
        layer_maps(ast, [quiet], "fc")


def test_kept_and_rest_add_up_and_follow_the_mask() -> None:
    from and_core.listen.localize import PatchMap

    stft, rate = Stft(), 16_000
    wave = np.concatenate([tone(1.0, rate, hz=500), tone(1.0, rate, hz=3_000)])
    found = PatchMap(
        np.array([[1.0, 0.0], [0.0, 0.0]], np.float32), np.array([0.0, 1.0, 2.0]), np.array([0.0, 1_500.0, 8_000.0])
    )
    mask = soft_mask(found, 0.0, 1.0, stft, len(wave) // stft.hop + 1)
    assert mask.shape == (257, 126) and mask.min() >= 0 and mask.max() <= 1
    kept, rest = split_sound(wave, mask, stft)
    assert kept + rest == pytest.approx(wave, abs=1e-6)
    half = rate
    assert np.std(kept[: half // 2]) > 3 * np.std(kept[half + half // 2 :])
    assert not soft_mask(found, 1.0, 1.0, stft, 10).any()
    alone = PatchMap(np.array([[0.0, 1.0]], np.float32), np.array([0.0, 1.0, 2.0]), None)
    over_time = soft_mask(alone, 0.0, 1.0, stft, 126)
    assert (over_time == over_time[:1]).all() and over_time[0, 100] > 0.9 > 0.1 > over_time[0, 5]


def test_a_neurons_parts_are_served_and_shared_by_its_layer(listened, monkeypatch: pytest.MonkeyPatch) -> None:
    neuron = listened.neuron_id(700)
    clip = listened.extreme_clips(neuron)[0].clip.index
    found = localize(listened, neuron, clip)
    assert (
        found.kept + found.rest == pytest.approx(clip_wave(listened, clip, 16_000), abs=1e-5)
        and found.level.min() >= 0
        and found.level.max() <= 1
    )
    assert (
        localized_sound(listened, neuron, clip, "kept")[:4] == b"fLaC"
        and localized_picture(listened, neuron, clip)[:2] == b"\xff\xd8"
    )
    passes = []
    real = shared_target(listened).forward
    monkeypatch.setattr(shared_target(listened), "forward", lambda x: (passes.append(1), real(x))[1])
    localize(listened, neuron._replace(unit=neuron.unit + 1), clip)
    known = set(scale_clips(listened, neuron))
    assert (
        set(scale_clips(listened, neuron._replace(unit=neuron.unit + 1))) <= known or len(passes) == 1
    )  # clips passed before are not passed again
    with pytest.raises(TargetError, match="one vector a clip"):
        localize(listened, listened.neuron_id(listened.neuron_count - 1), clip)


def test_groups_move_a_neuron_with_controls(listened) -> None:
    neuron = listened.neuron_id(700)
    rows = shapley_attribution(listened, neuron, clips=1, orders=4)
    assert rows and {"high", "random", "alone", "control", "own", "others"} <= set(rows[0])
    high = listened.extreme_clips(neuron, "high", 1)[0].clip.index
    listener = dissection_listener(listened)
    parts = split_into_groups(
        listener.fit_length(clip_wave(listened, high, 16_000)), listener.w, dictionary.groups(listener.w), listener.stft
    )
    assert parts.masks.sum(0) == pytest.approx(
        np.ones_like(parts.masks[0]), abs=1e-4
    ) and parts.energy.sum() == pytest.approx(1, abs=1e-3)
    whole = keep_groups(parts, np.ones((1, len(parts.members)), bool), listener.stft)[0]
    assert whole == pytest.approx(parts.wave, abs=1e-3)
    result = attribute(parts, layer_activations(shared_target(listened), neuron.layer), listener.stft, orders=4)
    assert result.values.sum(0) == pytest.approx(result.whole - result.nothing, abs=1e-3)
    for row in rows:
        assert row["holds"] == (row["alone"] > max(0.0, row["control"]) and row["own"] > row["others"])
    sounding = parts.members[:-1] if parts.quiet else parts.members
    for group, at in [(sounding[0], 0), *([([], len(parts.members) - 1)] if parts.quiet else [])]:
        chosen = np.arange(len(parts.members)) == at
        kept, rest, _ = group_sound(listened, high, group)
        assert kept == pytest.approx(keep_groups(parts, chosen[None], listener.stft)[0], abs=1e-5)
        assert rest == pytest.approx(keep_groups(parts, ~chosen[None], listener.stft)[0], abs=1e-5)


def test_what_was_not_learned_is_said(dissection) -> None:
    with pytest.raises(NotComputed, match="listening"):
        dissection_listener(dissection)


@pytest.mark.slow
def test_networks_without_maps_are_refused_and_convolutions_are_read(tmp_path: Path) -> None:
    from torch import nn

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = nn.Linear(16_000, 8), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(torch.relu(self.a(x)))

    class Cnn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = (
                nn.Conv2d(1, 4, 3, padding=1),
                nn.Conv2d(4, 6, 3, stride=2, padding=1),
                nn.Linear(6, 4),
            )

        def forward(self, x):
            x = torch.relu(self.two(torch.relu(self.one(x[:, None]))))
            return self.head(x.mean((2, 3)))

    names = ["clock_tick", "dog", "rain", "siren"]
    stft = Stft()

    def image(waves: np.ndarray) -> torch.Tensor:
        return log_magnitude(stft.spectrum(torch.from_numpy(waves)))[:, ::8, ::4]

    settings_ = {"kind": "module", "title": "mine", "classifier": "head"}
    flat = TARGETS.create(PluginConfig(**settings_)).bind(Flat(), lambda w: torch.from_numpy(w)[:, :16_000], names)  # type: ignore[attr-defined]
    flat.load("cpu")
    with pytest.raises(TargetError, match="one vector a clip"):
        MapReader(flat, choose_maps(flat))(flat.features([tone(1.0)]))
    config = small_config(
        target=settings_, listening={"components": 3, "epochs": 1, "measured": 4, "decoder": False}, k=3
    )
    cnn = TARGETS.create(config.target).bind(Cnn(), image, names)  # type: ignore[attr-defined]
    outcome = pipeline.run(config, root=tmp_path, target=cnn, only=["clips", "activations", "listening"])
    assert "listening" in outcome.computed
    d = open_dissection("small", root=tmp_path)
    assert (
        d.document("listening/report")["measured"]["post-hoc"]["field"][0]["method"] == "L2I"
        and np.isfinite(d.array("listening/explained")).any()
    )
    with pytest.raises(TargetError, match="no gradients"):
        pipeline.run(
            small_config(target=settings_, listening={"components": 3, "epochs": 1, "decoder": True}, k=3),
            root=tmp_path / "b",
            target=cnn,
            only=["clips", "activations", "listening"],
        )
    with pytest.raises(TargetError, match="nothing"):
        choose_maps(cnn, ["nothing"])
