"""Listening as a stage, a page and a command: what is learned, measured, kept and heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from and_core import open_dissection, pipeline
from and_core.audio.media import clip_wave, read_flac
from and_core.config import PluginConfig
from and_core.errors import ArtifactError, ConfigError, NotComputed, TargetError
from and_core.listen import dictionary
from and_core.listen.attribution import (
    attribute,
    group_sound,
    keep_groups,
    layer_activations,
    shapley_attribution,
    split_into_groups,
)
from and_core.listen.decision import dissection_listener, interpret, keep_components
from and_core.listen.listener import load_listener
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
from and_core.listen.stft import Stft, log_magnitude
from and_core.query.heard import explained_decision, trusted_mode
from and_core.targets.base import TARGETS
from and_core.targets.loaded import open_target, shared_target
from tests.conftest import small_config, tone
from tests.dashboard import page_text, start
from tests.listen.conftest import QUICK


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


def test_single_decisions_are_measured_and_the_best_of_them_is_shown_first(listened, monkeypatch) -> None:
    rows = listened.decisions.to_pandas()
    held = {clip.index for clip in listened.clips if clip.trained is False}
    assert set(rows["mode"]) == {"post-hoc", "by-design"} and set(rows["clip"]) <= held
    for row in rows.to_dict("records"):
        decision = interpret(listened, *read_flac(listened.audio(row["clip"])), row["mode"])
        kept = keep_components(listened, decision, decision.relevant(0.2), row["mode"])
        assert decision.shown == row["predicted"] and len(decision.relevant(0.2)) == row["components"]
        now = decision.probabilities, kept.kept_probabilities, kept.left_probabilities
        before = row["whole"], row["kept"], row["left"]
        assert [p[decision.shown] for p in now] == pytest.approx(before, abs=1e-3)
    best = explained_decision(listened)
    assert best is not None and best.mode == trusted_mode(listened)
    monkeypatch.setenv("AND_CACHE", str(listened.folder.parent))
    test = start(dissection="small").switch_page("pages/listen.py").run()
    assert not test.exception and test.session_state["listen_clip"] == best.clip
    assert test.session_state["mode"] == best.mode and "How far to trust it" in page_text(test)
    own = start(dissection="small", listen_class="rain").switch_page("pages/listen.py").run()
    assert own.session_state["listen_class"] == "rain", "what the address says goes first"


def test_weights_are_checked_and_given_ones_are_not_trained_again(listened, tmp_path: Path) -> None:
    folder = Path(listened.paths("listening/post-hoc")[0]).parents[0]
    other = TARGETS.create(PluginConfig(kind="beats", checkpoint="demo-frozen"))
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


def test_maps_lie_where_the_sound_is() -> None:
    """A burst late and high in a clip: the map of every kind of network has its change there."""
    rate = 16_000
    quiet = np.random.default_rng(0).standard_normal(3 * rate).astype(np.float32) * 1e-4
    burst = quiet.copy()
    burst[2 * rate : int(2.4 * rate)] += tone(0.4, rate, hz=5_000, level=0.5)
    for config in (
        PluginConfig(kind="ast", checkpoint="demo"),
        PluginConfig(kind="beats", checkpoint="demo-frozen", pooling="mean"),
    ):
        target = TARGETS.create(config)
        target.load("cpu")
        layer = next(iter(target.hook_points()))
        maps, _ = layer_maps(target, [quiet, burst], layer)
        found = place(target, np.abs(maps[1] - maps[0]).sum(0), 3.0)
        row, column = np.unravel_index(found.values.argmax(), found.values.shape)
        assert found.seconds[column] <= 2.4 and found.seconds[column + 1] >= 2.0, target.kind
        assert found.hz is not None and found.hz[row] <= 6_500 and found.hz[row + 1] >= 3_500, target.kind
        assert len(found.seconds) == found.values.shape[1] + 1 and len(found.hz) == found.values.shape[0] + 1
    ast = TARGETS.create(PluginConfig(kind="ast", checkpoint="demo"))
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
