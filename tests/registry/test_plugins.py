"""One contract test per kind of plug-in, over every registered entry."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile as sf

from and_core.captioners.base import CAPTIONERS
from and_core.config import PluginConfig
from and_core.datasets.base import DATASETS
from and_core.dissect.summarize import SUMMARIZERS
from and_core.encoders.base import ENCODERS
from and_core.errors import ANDError, ConfigError, DataError
from and_core.llms.base import LLMS
from and_core.targets.base import TARGETS
from and_core.testing import check_dataset, check_summarizer
from tests.conftest import tone


def esc_folder(root: Path) -> Path:
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    rows = ["filename,fold,target,category,esc10,src_file,take,title"]
    for i in range(4):
        name = f"{i % 2 + 1}-{100 + i // 2}-A-{i % 2}.wav"
        sf.write(root / "audio" / name, tone(0.5, hz=300 + 200 * i), 16_000)
        label = "dog" if i % 2 else "rain"
        rows.append(f"{name},{i % 2 + 1},{i % 2},{label},True,{100 + i // 2},A,my_{label}.wav")
    (root / "meta" / "esc.csv").write_text("\n".join(rows) + "\n")
    return root


def class_folder(root: Path) -> Path:
    for label in ("dog", "rain"):
        (root / label).mkdir(parents=True)
        sf.write(root / label / "a.wav", tone(), 16_000)
    return root


def urban_folder(root: Path) -> Path:
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for i in range(4):
        (root / "audio" / f"fold{i % 2 + 1}").mkdir(parents=True, exist_ok=True)
        sf.write(root / "audio" / f"fold{i % 2 + 1}" / f"{i}-0.wav", tone(0.5, hz=300 + 200 * i), 16_000)
        rows.append(f"{i}-0.wav,{i // 2},0,1,1,{i % 2 + 1},{i % 2},{'dog' if i % 2 else 'rain'}")
    (root / "metadata").mkdir()
    (root / "metadata" / "UrbanSound8K.csv").write_text("\n".join(rows) + "\n")
    return root


def genre_folder(root: Path) -> Path:
    for genre in ("dog", "rain"):
        (root / "genres_original" / genre).mkdir(parents=True)
        sf.write(root / "genres_original" / genre / f"{genre}.00000.wav", tone(), 22_050)
    return root


def hub_folder(root: Path, audio: str = "audio") -> str:
    """A data set as `datasets` saves it for the hub: bytes, class names, a caption."""
    datasets = pytest.importorskip("datasets", reason="the extra hub is not installed")
    rows: dict[str, list] = {audio: [], "label": [], "fold": [], "text": []}
    for i in range(4):
        file = io.BytesIO()
        sf.write(file, tone(0.5, hz=300 + 200 * i), 16_000, format="WAV")
        rows[audio].append({"bytes": file.getvalue(), "path": f"clip{i % 3}.wav"})
        for column, value in (("label", i % 2), ("fold", i + 1), ("text", f"caption {i}")):
            rows[column].append(value)
    features = datasets.Features(
        {
            audio: datasets.Audio(),
            "label": datasets.ClassLabel(names=["dog", "rain"]),
            "fold": datasets.Value("int32"),
            "text": datasets.Value("string"),
        }
    )
    (root / "data").mkdir(parents=True)
    table = datasets.Dataset.from_dict({k: v for k, v in rows.items() if k != audio})
    table = table.add_column(audio, rows[audio]).cast(
        datasets.Features({**{k: features[k] for k in ("label", "fold", "text")}, audio: features[audio]})
    )
    table.to_parquet(str(root / "data" / "train-00000-of-00001.parquet"))
    return str(root)


def test_hub_columns_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub")
    made = DATASETS.create(PluginConfig(kind="hub", id=folder, fold="fold"))
    refs = made.references()
    assert [(r.name, r.label, r.fold, r.extra["text"]) for r in refs][:2] == [
        ("clip0.wav", "dog", 1, "caption 0"),
        ("clip1.wav", "rain", 2, "caption 1"),
    ]
    assert len({r.name for r in refs}) == 4, "two files of one name are told apart"
    for settings, message in (
        ({"audio": "sound"}, "dataset.audio='sound' is no audio column of .*; there are: audio"),
        ({"fold": "part"}, "dataset.fold='part' is no column"),
        ({"split": "test"}, "can't be loaded"),
        ({"id": str(tmp_path / "none")}, "can't be loaded"),
    ):
        with pytest.raises(DataError, match=message):
            DATASETS.create(PluginConfig(kind="hub", **{"id": folder, **settings})).references()


DATASET_SETTINGS: dict[str, Callable[[Path], dict]] = {
    "esc50": lambda p: {"path": str(esc_folder(p / "esc"))},
    "urbansound8k": lambda p: {"path": str(urban_folder(p / "urban"))},
    "gtzan": lambda p: {"path": str(genre_folder(p / "gtzan"))},
    "folder": lambda p: {"path": str(class_folder(p / "folder"))},
    "synthetic": lambda p: {"per_category": 2, "categories": ["dog", "rain"]},
    "hub": lambda p: {"id": hub_folder(p / "hub"), "fold": "fold"},
}


@pytest.mark.parametrize("kind", DATASETS.names())
def test_every_dataset(kind: str, tmp_path: Path) -> None:
    config = PluginConfig(kind=kind, **DATASET_SETTINGS[kind](tmp_path))
    dataset = check_dataset(lambda: DATASETS.create(config))
    assert {ref.label for ref in dataset.references()} == {"dog", "rain"} and dataset.check()[1] == []


def test_missing_files_are_named_before_anything_is_decoded(tmp_path: Path) -> None:
    root = urban_folder(tmp_path / "urban")
    (root / "audio" / "fold1" / "2-0.wav").unlink()
    dataset = DATASETS.create(PluginConfig(kind="urbansound8k", path=str(root)))
    assert dataset.check() == ({"clips": 4, "classes": 2, "folds": 2, "sources": 2}, ["2-0.wav"])
    with pytest.raises(DataError, match="holds no genres_original"):
        DATASETS.create(PluginConfig(kind="gtzan", path=str(root))).references()


def test_a_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    config = PluginConfig(kind="folder", path=str(class_folder(tmp_path / "x")))
    before = DATASETS.create(config).fingerprint()
    sf.write(tmp_path / "x" / "dog" / "a.wav", tone(hz=441), 16_000)
    assert DATASETS.create(config).fingerprint() != before


def test_esc50_faults_are_named(tmp_path: Path) -> None:
    root = esc_folder(tmp_path / "esc")
    table = root / "meta" / "esc.csv"
    good = table.read_text()
    for broken, message in (
        (good.replace("category", "kategorie", 1), "lacks the columns category"),
        (good.replace("1-100-A-0.wav,1,", "../../etc/passwd,1,", 1), "outside audio"),
        (good.replace("1-100-A-0.wav,1,", "1-100-A-0.wav,one,", 1), "fold='one'"),
        (good + "5-1-A-0.wav\n", "line 6: fold, category is empty"),
        (good.replace("rain", "r\udce4in"), "can't be read"),
    ):
        table.write_bytes(broken.encode("utf-8", "surrogateescape"))
        with pytest.raises(DataError, match=message):
            DATASETS.create(PluginConfig(kind="esc50", path=str(root))).references()
    (root / "meta" / "other.csv").write_text(good)
    with pytest.raises(DataError, match="one CSV in meta/ is needed, 2 found"):
        DATASETS.create(PluginConfig(kind="esc50", path=str(root))).references()


@pytest.mark.parametrize("kind", SUMMARIZERS.names())
def test_every_summarizer(kind: str) -> None:
    check_summarizer(lambda: SUMMARIZERS.create(PluginConfig(kind=kind)))


@pytest.mark.parametrize("registry", [DATASETS, TARGETS, CAPTIONERS, ENCODERS, SUMMARIZERS, LLMS])
def test_unknown_names_and_settings_are_refused(registry) -> None:
    with pytest.raises(ConfigError, match=f"{registry.section}.kind='nonsense' is not known; allowed: "):
        registry.get("nonsense")
    kind = registry.names()[0]
    with pytest.raises(ANDError, match="sampel_rate"):
        registry.create(PluginConfig(kind=kind, sampel_rate=3))
