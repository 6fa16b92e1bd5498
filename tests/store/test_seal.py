"""A dissection is data: what a manifest says is checked, nothing leaves the folder, and only what was made here is
taken over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from and_core import open_dissection, pipeline
from and_core.cli.main import app
from and_core.config import make_config
from and_core.errors import ANDError, ArtifactError
from and_core.progress import in_progress
from and_core.store.files import inside, remove, sha256_file
from and_core.store.manifest import Manifest, StageRecord
from and_core.store.seal import HOME, sealed
from and_core.store.writer import StageWriter, sweep, writing
from tests.conftest import small_config
from tests.store.conftest import alter

BAD_STAGES = [
    "/etc/x",
    "../x",
    "a/b",
    "a-b-c",
    "A",
    "",
    "x" * 80,
    "a\n",
    "a\0",
    ".",
    "..",
    "clips-../../../x",
    "{0}",
    "clips /x",
    "ｃlips",
]


BAD_KEYS = [
    "data",
    "../../x",
    "0" * 15,
    "0" * 17,
    "0123456789ABCDEF",
    "0123456789abcdef-",
    "0123456789abcdef-../..",
    "0123456789abcdef\n",
    "",
]


BAD_PATHS = [
    "../x",
    "/etc/passwd",
    "artifacts/clips-0123456789abcdef/../../x",
    "manifest.json",
    "artifacts/x/y",
    "artifacts/clips-0123456789abcdef/",
    "artifacts/clips-0123456789abcdef/./x",
    "artifacts/clips-0123456789abcdef//x",
    "artifacts/clips-0123456789abcdef/a\0",
    "artifacts\\clips",
]


def _stage(name: str, key: str) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw["stages"].update(
        {name: {"key": key, "version": 1, "parameters": {}, "inputs": {}, "notes": {}}}
    )


CHANGES: list[Callable[[dict[str, Any]], None]] = [
    *(_stage(name, "0" * 16) for name in BAD_STAGES),
    *(_stage("clips", key) for key in BAD_KEYS),
    *(
        (lambda raw, path=path: raw["artifacts"]["captions/captions"]["files"][0].update(path=path))
        for path in BAD_PATHS
    ),
    lambda raw: raw["artifacts"]["captions/captions"].update(stage="clips"),
    lambda raw: raw["artifacts"].update({"captions/\x1b[31m": raw["artifacts"]["captions/captions"]}),
    lambda raw: raw["artifacts"]["captions/captions"]["files"][0].update(size=-1),
    lambda raw: raw.update(name="../x"),
    lambda raw: raw.update(name=None),
    lambda raw: raw.update(unknown=1),
    lambda raw: raw.update(format=99),
    lambda raw: raw["stages"]["clips"]["inputs"].update(clips=raw["stages"]["clips"]["key"]),
    lambda raw: raw["stages"]["clips"]["inputs"].update(captions=raw["stages"]["captions"]["key"]),
    lambda raw: raw["stages"]["clips"]["inputs"].update({"../x": "0" * 16}),
]


def test_names_keys_and_paths_that_no_manifest_may_hold_are_refused(own) -> None:
    text = (own.folder / "manifest.json").read_text()
    for number, change in enumerate(CHANGES):
        (own.folder / "manifest.json").write_text(text)
        alter(own.folder, change)
        with pytest.raises(ArtifactError):
            open_dissection(own.folder)
        if number == 0:
            with pytest.raises(ANDError):
                pipeline.run(small_config(), root=own.folder.parent)


@given(st.text(max_size=40))
def test_no_text_as_a_stage_leaves_the_folder(name: str) -> None:
    try:
        made = Manifest(name="x", stages={name: StageRecord(key="0" * 16, version=1, parameters={}, inputs={})})
    except ValueError:
        return
    assert all(c.isalnum() or c in "_-" for stage in made.stages for c in stage)


STRANGE = {
    "deep": lambda text: "[" * 200_000,
    "digits": lambda text: text.replace('"version": 1', '"version": ' + "9" * 5000, 1),
    "nothing": lambda text: "",
    "list": lambda text: "[]",
    "null": lambda text: "null",
    "nan": lambda text: text.replace('"notes": {', '"notes": {"x": NaN,', 1),
    "cut": lambda text: text[:900],
    "latin": lambda text: text + "\udcff",
    "letter": lambda text: text.replace('"clips": 24', '"clips": 25', 1),
}


def test_a_strange_manifest_concerns_its_dissection_alone(own, monkeypatch: pytest.MonkeyPatch) -> None:
    root = own.folder.parent
    text = (own.folder / "manifest.json").read_text()
    for how, change in STRANGE.items():
        (root / how).mkdir()
        (root / how / "manifest.json").write_bytes(change(text).encode("utf-8", "surrogateescape"))
        with pytest.raises(ArtifactError, match=how):
            open_dissection(how, root)
    monkeypatch.setenv("AND_CACHE", str(root))
    for command in (["list"], ["table", "last-layer", "small"], ["info", "small"]):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0 and "small" in done.output, done.output
    assert pipeline.run(small_config(), root=root, only=["clips"]).computed == []


def test_what_is_no_file_is_not_waited_for(own) -> None:
    root = own.folder.parent
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "manifest.json")
    with pytest.raises(ArtifactError, match="no manifest"):
        open_dissection("pipe", root)
    (own.folder / ".seals.json").unlink()
    for name in (".seals.json", ".progress.json"):
        os.mkfifo(own.folder / name)
    assert sealed(own.folder, own.manifest) == set() and in_progress(root) == {}
    file = next(own.folder.glob("artifacts/neurons-*/high_clips.npy"))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ArtifactError, match="truncated or altered"):
        open_dissection(own.folder).array("neurons/high_clips")


@pytest.mark.parametrize(
    "where",
    ["artifacts", ".partial", "views", ".lock", "manifest.json", "views/untested", ".partial/tab-0123456789abcdef"],
)
def test_nothing_is_read_written_or_deleted_through_a_link_that_leaves(own, tmp_path_factory, where: str) -> None:
    outside = tmp_path_factory.mktemp("outside")
    place = own.folder / where
    if place.is_dir() and not place.is_symlink():
        shutil.move(place, outside / "theirs")
    elif place.exists():
        shutil.copy(place, outside / "theirs")
        place.unlink()
    else:
        (outside / "theirs").mkdir()
        place.parent.mkdir(parents=True, exist_ok=True)
    (outside / "precious").write_text("mine")
    place.symlink_to(outside / "theirs")
    before = {p: (p.read_bytes() if p.is_file() else None) for p in outside.rglob("*")}
    try:
        d = open_dissection(own.folder)
        list(d.validate())
        d.caption(0)
        d.view("untested").caption(0)
    except ArtifactError as error:
        assert "outside" in str(error)
    with (
        pytest.raises(ANDError)
        if where not in ("views/untested", ".partial/tab-0123456789abcdef", "views")
        else _nothing()
    ):
        pipeline.run(small_config(), root=own.folder.parent)
    with _ignored():
        manifest = Manifest.load(own.folder)
        sweep(own.folder, manifest)
        with writing(own.folder):
            StageWriter(own.folder, "tab", "0123456789abcdef")
    assert {p: (p.read_bytes() if p.is_file() else None) for p in outside.rglob("*")} == before


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> bool:
        return error[0] is None or issubclass(error[0], ANDError)


_ignored = _nothing


@given(st.lists(st.sampled_from(["..", ".", "a", "/etc", "link", "b/../..", "", "ring"]), max_size=5))
def test_inside_is_inside(tmp_path_factory, parts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("d")
    (folder / "a").mkdir()
    (folder / "link").symlink_to("/etc")
    (folder / "ring").symlink_to(folder / "ring")
    try:
        path = inside(folder, *parts)
    except ArtifactError:
        return
    assert Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    (tmp_path / "d" / "link").symlink_to(tmp_path / "mine")
    remove(tmp_path / "d", tmp_path / "d" / "link")
    assert (tmp_path / "mine" / "file").exists() and not (tmp_path / "d" / "link").is_symlink()
    with pytest.raises(ArtifactError):
        remove(tmp_path / "d", tmp_path / "mine" / "file")


def test_a_file_among_the_activations_that_the_manifest_does_not_list_is_refused(own) -> None:
    root = next((own.folder / "artifacts").glob("activations-*/layer0000"))
    (root / "c" / "0" / "9").symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match="other files"):
        open_dissection(own.folder).activations(f"{own.layers[0].name}/0")


def _forge(folder: Path) -> None:
    """Write other captions under the same key, with hashes that fit, as whoever sends a dissection could."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = next(folder.glob("artifacts/captions-*/captions.parquet"))
    table = pq.read_table(file)
    forged = table.set_column(
        table.schema.get_field_index("text"), "text", pa.array(["a forged caption"] * table.num_rows)
    )
    file.unlink()
    pq.write_table(forged, file)
    alter(
        folder,
        lambda raw: raw["artifacts"]["captions/captions"]["files"][0].update(
            sha256=sha256_file(file), size=file.stat().st_size
        ),
    )


def test_results_are_taken_over_only_from_what_was_made_here(own, monkeypatch: pytest.MonkeyPatch) -> None:
    root = own.folder.parent
    named = make_config({**small_config().model_dump(), "name": "mine"})
    assert sealed(own.folder, own.manifest) == set(own.manifest.stages)
    _forge(own.folder)
    assert sealed(own.folder, open_dissection(own.folder).manifest) == set(own.manifest.stages) - {"captions"}
    done = pipeline.run(named, root=root, only=["clips", "activations", "captions"])
    assert done.computed == ["captions"] and done.taken_over == ["clips", "activations"]
    assert "forged" not in open_dissection("mine", root).caption(0)
    asked = make_config({**named.model_dump(), "name": "asked"})
    assert "captions" in pipeline.run(asked, root=root, only=["clips", "captions"], reuse=["small"]).taken_over
    assert "forged" in open_dissection("asked", root).caption(0)
    with pytest.raises(ANDError, match="reuse='nobody' is not known"):
        pipeline.run(asked, root=root, reuse=["nobody"])


def test_a_run_does_not_go_on_with_results_from_elsewhere_unasked(
    own, monkeypatch: pytest.MonkeyPatch, tmp_path_factory
) -> None:
    root = own.folder.parent
    monkeypatch.setenv(HOME, str(tmp_path_factory.mktemp("another-home")))
    monkeypatch.setenv("AND_CACHE", str(root))
    with pytest.raises(ArtifactError, match="not made by this installation.*--reuse small"):
        pipeline.run(small_config(), root=root)
    said = CliRunner().invoke(app, ["validate", "small"])
    assert said.exit_code == 0 and "made elsewhere" in said.output and "captions" in said.output
    again = pipeline.run(small_config(scores=None, unlearning=None), root=root, remake=True, only=["clips", "captions"])
    assert again.computed == ["clips", "captions"], "made again where nobody can be asked"
    assert pipeline.run(small_config(), root=root, reuse=["small"]).computed == []
    assert pipeline.run(small_config(), root=root).computed == [], "asked for once, they are one's own"
    assert "made elsewhere" not in CliRunner().invoke(app, ["validate", "small"]).output


def test_what_is_made_from_somebody_elses_results_gets_no_seal(own, monkeypatch: pytest.MonkeyPatch) -> None:
    root = own.folder.parent
    _forge(own.folder)
    pipeline.run(small_config(), root=root, only=["texts"], force=True, reuse=["small"])
    now = open_dissection(own.folder)
    assert not {"captions", "texts"} & sealed(own.folder, now.manifest)
    mine = make_config({**small_config().model_dump(), "name": "mine"})
    done = pipeline.run(mine, root=root, only=["clips", "captions", "texts"])
    assert done.taken_over == ["clips"] and done.computed == ["captions", "texts"]


def test_unfinished_chunks_from_elsewhere_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory
) -> None:
    (tmp_path / "d").mkdir()
    writer = StageWriter(tmp_path / "d", "tab", "0" * 16)
    assert [int(x["n"]) for x in writer.chunked(2, lambda i: {"n": np.array(i)})] == [0, 1]
    assert [
        int(x["n"]) for x in StageWriter(tmp_path / "d", "tab", "0" * 16).chunked(2, lambda i: {"n": np.array(9)})
    ] == [0, 1]
    monkeypatch.setenv(HOME, str(tmp_path_factory.mktemp("another-home")))
    assert [
        int(x["n"]) for x in StageWriter(tmp_path / "d", "tab", "0" * 16).chunked(2, lambda i: {"n": np.array(9)})
    ] == [9, 9]
