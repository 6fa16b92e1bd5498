"""What dissections take on disk and how one is removed; manifests of other formats; keys that must not change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from and_core import list_dissections, open_dissection, pipeline
from and_core.captioners.base import CAPTIONERS
from and_core.datasets.base import DATASETS
from and_core.encoders.base import ENCODERS
from and_core.errors import ArtifactError, BusyError
from and_core.registry import PluginConfig
from and_core.store.disk import disk_use, other_use, remove_dissection
from and_core.store.manifest import FILE, FORMAT, MIGRATIONS, Manifest, content_hash, migrate
from and_core.store.writer import writing
from and_core.targets.base import TARGETS
from tests.conftest import command, small_config


def test_sizes_say_what_is_freed_and_removal_frees_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    shutil.copytree(cache / "small", tmp_path / "small")
    pipeline.run(small_config(name="sibling", calibration={"t": 0.5}), root=tmp_path, reuse=["small"])
    alone, sibling = disk_use(tmp_path / "small"), disk_use(tmp_path / "sibling")
    assert sibling.total == _bytes(tmp_path / "sibling"), "a view's files are links to the dissection's: counted once"
    assert sibling.shared > 0 and sibling.own > 0 and alone.shared == sibling.shared, "they share what is the same"
    listed = command("list", "--sizes")
    assert f"{sibling.own / 1e6:,.1f} MB" in listed and str(tmp_path) in listed.replace(" ", "")
    before = _bytes(tmp_path)
    said = command("rm", "sibling", "--yes")
    assert said.startswith("0 ") and f"{sibling.own / 1e6:,.1f} MB freed" in said
    assert before - _bytes(tmp_path) == sibling.own, "what is shared stays with the other"
    assert list_dissections(tmp_path) == ["small"] and not list(open_dissection("small", root=tmp_path).validate())
    assert disk_use(tmp_path / "small").shared == 0
    (tmp_path / "answers.sqlite").write_bytes(b"x" * 100)
    assert other_use(tmp_path) == {"answers.sqlite": 100}


def _bytes(root: Path) -> int:
    seen = {(s.st_dev, s.st_ino): s.st_size for s in (path.lstat() for path in root.rglob("*") if path.is_file())}
    return sum(seen.values())


def test_only_a_dissection_of_the_cache_is_removed(own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    (tmp_path / "studies").mkdir()
    (tmp_path / "link").symlink_to(own.folder)
    for name in ("studies", "../small", "nowhere", "", "link"):
        with pytest.raises(ArtifactError):
            remove_dissection(tmp_path, name)
    with writing(own.folder), pytest.raises(BusyError):
        remove_dissection(tmp_path, "small")
    assert (own.folder / FILE).is_file()
    assert command("rm", "small").startswith("1 "), "without an answer nothing is deleted"
    assert (own.folder / FILE).is_file()
    (own.folder / FILE).write_text("damaged")
    remove_dissection(tmp_path, "small")
    assert not own.folder.exists(), "a damaged one can be removed too"


def test_older_formats_are_migrated_and_newer_ones_refused(own) -> None:
    assert sorted(MIGRATIONS) == list(range(1, FORMAT)), "each format before the present one has a way to the next"
    steps = {
        1: lambda content: {**content, "name": content["name"].upper()},
        2: lambda content: {**content, "package": "3"},
    }
    assert migrate({"name": "a", "format": 1}, 1, 3, steps) == {"name": "A", "package": "3", "format": 3}
    assert migrate({"name": "a", "format": 2}, 2, 3, steps) == {"name": "a", "package": "3", "format": 3}
    path = own.folder / FILE
    content = json.loads(path.read_text())
    for version, message in (
        (FORMAT + 1, f"has format {FORMAT + 1}: a newer version of Audio Network Dissection wrote it"),
        (0, "formats are numbered"),
        (True, "formats are numbered"),
        ("1", "formats are numbered"),
    ):
        changed = {**content, "format": version}
        changed.pop("sha256")
        path.write_text(json.dumps({**changed, "sha256": content_hash(changed)}))
        with pytest.raises(ArtifactError, match=message):
            Manifest.load(own.folder)


GOLDEN = [
    (DATASETS, {"kind": "esc50", "path": "/data"}, {"kind": "esc50", "max_seconds": 60.0}),
    (
        DATASETS,
        {"kind": "synthetic", "categories": ["dog"]},
        {"kind": "synthetic", "categories": ["dog"], "per_category": 25, "seed": 0},
    ),
    (
        TARGETS,
        {"kind": "ast", "trained_folds": [1]},
        {"kind": "ast", "layers": ["*"], "pooling": "cls", "revision": None, "trained_folds": [1]},
    ),
    (
        TARGETS,
        {"kind": "beats", "checkpoint": "demo-frozen"},
        {"kind": "beats", "classes": None, "layers": ["*"], "pooling": "mean", "trained_folds": []},
    ),
    (
        CAPTIONERS,
        {"kind": "several", "parts": [{"kind": "file", "path": "/x.csv"}, {"kind": "acoustic"}]},
        {"kind": "several", "parts": [{"kind": "file"}, {"kind": "acoustic"}]},
    ),
    (ENCODERS, {"kind": "minilm"}, {"kind": "minilm", "max_tokens": 256, "model": "auto"}),
    (ENCODERS, {"kind": "small_clap"}, {"kind": "small_clap"}),
]


@pytest.mark.parametrize(("registry", "given", "identity"), GOLDEN)
def test_what_identifies_a_result_stays(registry, given: dict, identity: dict) -> None:
    """Results of earlier versions are found again under the same keys; a changed line here makes all of them anew."""
    assert registry.create(PluginConfig(**given)).identifying_settings() == identity


def test_a_setting_that_came_later_counts_only_where_it_differs() -> None:
    pytest.importorskip("torch")
    plain = TARGETS.create(PluginConfig(kind="ast"))
    changed = type(plain.settings)(front_end="torchaudio")
    from and_core.registry import identifying

    assert "front_end" not in plain.identifying_settings()
    assert identifying(type(changed), changed.model_dump(mode="json"))["front_end"] == "torchaudio"
