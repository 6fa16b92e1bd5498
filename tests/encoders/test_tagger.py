"""A network's classes as text-audio encoder: clips, concepts, the map, and whose network may hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_core.captioners.base import CAPTIONERS
from and_core.config import PluginConfig
from and_core.encoders.base import ENCODERS
from and_core.errors import ConfigError, DataError
from and_core.pipeline.run import run
from and_core.store.dissection import Dissection
from tests.conftest import small_config, tone
from tests.tiny import tiny_ast

CLASSES = ["Dog", "Bark", "Animal", "Rain"]
FACTORY = f"""import torch


class Bands(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(4, 4)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(4) * 2)
            self.head.bias.fill_(-4.0)

    def forward(self, waves):
        power = torch.fft.rfft(waves).abs() ** 2
        edges = [round(power.shape[1] * e) for e in (0, 0.1, 0.3, 0.6, 1)]
        return self.head(torch.stack([power[:, a:b].mean(1).add(1e-3).log10() for a, b in zip(edges, edges[1:])], 1))


def build():
    return Bands(), torch.from_numpy, {CLASSES!r}
"""


@pytest.fixture
def target(tmp_path: Path) -> dict[str, Any]:
    """A network that hears four bands, one a class."""
    (tmp_path / "nets.py").write_text(FACTORY)
    return {"kind": "python", "factory": f"{tmp_path}/nets.py:build", "rate": 8000, "multi_label": True}


def create(target: dict[str, Any], **settings: Any) -> Any:
    return ENCODERS.create(PluginConfig(kind="tagger", target=target, **settings))


def test_a_cosine_is_the_log_probability_up_to_a_factor(target: dict[str, Any]) -> None:
    encoder: Any = create(target, least=1e-3)
    assert encoder.sample_rate == 8000
    waves = [tone(0.5, 8000, 200), tone(0.5, 8000, 800), np.zeros(4000, np.float32)]
    heard = encoder.encode_audio(waves) @ encoder.encode(["rain", "dog"]).T
    network = encoder._network
    logits = np.stack([network.logits(wave) for wave in waves]).astype(np.float64)
    floor = np.log(1e-3)
    expected = (np.maximum(-np.log1p(np.exp(-logits)), floor) - floor) / (-floor * np.sqrt(4))
    assert np.allclose(heard, expected[:, [3, 0]], atol=1e-6)
    assert heard[0, 1] > heard[2, 1] == 0, "a class below the floor is not there"
    nothing = encoder.encode(["", "?!"])
    assert np.allclose(np.linalg.norm(nothing, axis=1), 1) and not (encoder.encode_audio(waves) @ nothing.T).any()


def test_one_of_several_classes_is_read_by_a_softmax(target: dict[str, Any]) -> None:
    encoder = create({**target, "multi_label": False})
    wave = tone(0.5, 8000, 200)
    logits = encoder._network.logits(wave).astype(np.float64)
    share = np.exp(logits) / np.exp(logits).sum()
    row = encoder.encode_audio([wave])[0, :4]
    assert np.allclose(row * -np.log(1e-4) * 2 + np.log(1e-4), np.log(np.maximum(share, 1e-4)), atol=1e-4)


def test_a_network_is_loaded_once_for_all_that_listen_through_it(target: dict[str, Any]) -> None:
    encoder: Any = create(target)
    captioner: Any = CAPTIONERS.create(PluginConfig(kind="tagger", target=target))
    assert encoder._network.loaded is captioner._network.loaded
    assert create({**target, "multi_label": False})._network.loaded is not encoder._network.loaded


def test_the_map_replaces_what_is_proposed(target: dict[str, Any], tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_text("concept,class,weight,how\ndog,Rain,3,mine\ndog,bark,4,mine\nDog,Animal,0,\n")
    plain, mapped = create(target), create(target, map=str(table))
    assert np.allclose(mapped.encode(["Dog"])[0], [0, 0.8, 0, 0.6, 0, 0])
    assert np.array_equal(mapped.encode(["rain"]), plain.encode(["rain"])), "what it does not name stays"
    assert [(r.class_name, r.how) for r in mapped.concept_classes(["dog"])] == [("Rain", "file"), ("Bark", "file")]
    assert plain.fingerprint() != mapped.fingerprint()
    assert mapped.identifying_settings() == plain.identifying_settings(), "two places of one file are one input"
    table.write_text("concept,class,weight\ndog,Barks,1\n")
    with pytest.raises(DataError, match="class='Barks' is no class of the network; nearest: Bark"):
        create(target, map=str(table)).encode(["dog"])


def test_paths_count_from_the_configuration(tmp_path: Path) -> None:
    given = {"kind": "tagger", "target": {"kind": "python", "factory": "nets.py:build"}, "map": "map.csv"}
    made = ENCODERS.absolute(given, tmp_path)
    assert made["map"] == str(tmp_path / "map.csv")
    assert made["target"]["factory"].startswith(str(tmp_path))
    assert ENCODERS.reaches(PluginConfig(**made)), "a factory runs code"


def test_a_network_never_hears_for_its_own_dissection(tmp_path: Path) -> None:
    config = small_config(name="own", audio_encoder={"kind": "tagger", "target": {"kind": "ast"}})
    with pytest.raises(ConfigError, match="audio_encoder.target is the network that is dissected; a network never"):
        run(config, root=tmp_path, say=lambda text: None)
    wrong = tmp_path / "map.csv"
    wrong.write_text("concept,class,weight\n")
    network = {"kind": "ast", "checkpoint": tiny_ast(tmp_path / "net")}
    other = {"kind": "tagger", "target": network, "map": str(wrong)}
    with pytest.raises(DataError, match="no row below its header"):
        run(small_config(name="map", audio_encoder=other), root=tmp_path, say=lambda text: None)
    assert not any((tmp_path / name / "manifest.json").exists() for name in ("own", "map")), "nothing was computed"


def test_tab_by_classes_leaves_the_map_behind(target: dict[str, Any], tmp_path: Path) -> None:
    config = small_config(name="ears", audio_encoder={"kind": "tagger", "target": target})
    stages = ["clips", "activations", "neurons", "captions", "texts", "sounds", "tab"]
    run(config, root=tmp_path, only=stages, say=lambda text: None)
    d = Dissection(tmp_path / "ears")
    rows = d.concept_classes
    assert rows is not None and d.notes("tab")["features"] == "standardized"
    assert set(rows["class_name"].to_pylist()) <= set(CLASSES) and min(rows["weight"].to_pylist()) > 0
    assert set(rows["concept"].to_pylist()) <= set(d.concept_set)
