"""More clips than activations are kept of: statistics over all are those of an ordinary run, whatever happens on the
way."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch

from and_core import open_dissection, pipeline
from and_core.config import RunConfig
from and_core.errors import ANDError, ArtifactError, ConfigError, DataError, TargetError
from and_core.figures.streamed import streamed_sentence
from and_core.pipeline import streaming
from and_core.store.dissection import Dissection
from and_core.store.kept_clips import kept_clips
from and_core.targets.ast import AST
from tests.conftest import ROOT, STREAM, small_config

STAGES = ["clips", "activations", "neurons"]
CLIPS, KEPT, BINS_FROM = 24, 12, 10


def config(activations: dict[str, Any] = STREAM, **changes: Any) -> RunConfig:
    return small_config(**{"activations": activations, **changes})


@pytest.fixture
def root(streamed_cache: Path) -> Path:
    return streamed_cache


@pytest.fixture(scope="module")
def whole(streamed_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    """A dissection of the same clips that keeps all activations."""
    root = tmp_path_factory.mktemp("whole")
    pipeline.run(config({**STREAM, "stream_beyond": CLIPS}), root=root, only=[*STAGES, "captions", "texts", "closed"])
    return open_dissection("small", root=root)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bins are set from few clips, so that chunks come before and after, and statistics are kept after each."""
    monkeypatch.setattr(streaming, "BINS_FROM", BINS_FROM)
    monkeypatch.setattr(streaming, "SAVED_EVERY", 0)


def names_of(d: Dissection, clips: np.ndarray) -> list[list[str | None]]:
    return [[d.clips[c].name if c >= 0 else None for c in row] for row in clips.tolist()]


def tree(folder: Path) -> dict[str, bytes]:
    """Bytes of the artifacts, whose folders are called by what they were made from."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_statistics_are_those_of_all_activations(root: Path, whole: Dissection) -> None:
    d = open_dissection("small", root=root)
    assert d.streamed is not None and whole.streamed is None
    assert (d.streamed["clips"], d.streamed["kept"], d.streamed["named"]) == (CLIPS, KEPT, len(d.clips))
    for side in ("high", "low"):
        assert names_of(d, d.extreme_indices(side)) == names_of(whole, whole.extreme_indices(side))
        made, expected_values = (np.asarray(x.array(f"neurons/{side}_values")) for x in (d, whole))
        assert np.array_equal(made, expected_values, equal_nan=True)
    for name in ("minimum", "maximum", "dead"):
        assert d.statistics_table[name].equals(whole.statistics_table[name])
    for name in ("mean", "std", "skewness", "kurtosis"):
        one, other = (x.statistics_table[name].to_numpy()[~d.dead] for x in (d, whole))
        assert np.allclose(one, other, rtol=1e-6, atol=1e-7), name
    assert d.classes == whole.classes
    means, expected_means = (np.asarray(x.array("neurons/class_means")) for x in (d, whole))
    assert np.allclose(means, expected_means, rtol=1e-5, atol=1e-6)
    neuron = "layer2_output/5"
    counts, edges = d.histogram(neuron)
    assert counts.sum() == CLIPS and len(edges) == len(counts) + 1 and (np.diff(edges) >= 0).all()
    of = {d.clips[clip].name: trace.values for clip, trace in d.traces(neuron).items()}
    expected = {whole.clips[clip].name: trace.values for clip, trace in whole.traces(neuron).items()}
    assert of.keys() == expected.keys() and all(np.array_equal(of[k], expected[k], equal_nan=True) for k in of)


def test_clips_that_are_kept_come_first_and_all_that_are_named_can_be_heard(root: Path, whole: Dissection) -> None:
    d = open_dissection("small", root=root)
    place = {clip.name: clip.index for clip in whole.clips}
    numbers = [place[clip.name] for clip in d.clips]
    assert numbers[:KEPT] == sorted(numbers[:KEPT]) and numbers[KEPT:] == sorted(numbers[KEPT:])
    layer = "layer1_intermediate"
    assert np.array_equal(d.layer_activations(layer), whole.layer_activations(layer)[numbers[:KEPT]])
    assert [clip.index for clip in d.clips] == list(range(len(d.clips))) and len(d.activation_clips) == KEPT
    for index, number in enumerate(numbers):
        assert d.audio(index) == whole.audio(number) and d.spectrogram(index) == whole.spectrogram(number)
    for name, values in d.measures(["level", "centroid"]).items():
        assert np.array_equal(values, whole.measures([name])[name][numbers], equal_nan=True)
    part = kept_clips(d)
    assert len(part.clips) == len(part.array("texts/caption_embeddings")) == len(part.captioned) == KEPT
    with pytest.raises(DataError, match=f"clip={CLIPS - 1} is among the extreme clips alone"):
        d.clip_activations(CLIPS - 1, layer)
    packs = sum(file.size for file in d.manifest.artifacts["clips/audio"].files)
    assert packs == sum(len(d.audio(index)) for index in range(KEPT)), "the sound of the others was not copied"


def test_functions_that_read_top_clips_alone_are_over_all_clips(root: Path, whole: Dissection) -> None:
    d = open_dissection("small", root=root)
    assert d.notes("closed")["over_all_clips"] == ["wpmi", "soft_wpmi"]
    for name in ("wpmi", "soft_wpmi"):
        assert np.array_equal(d.best_concepts("DB", name), whole.best_concepts("DB", name))
        assert np.array_equal(d.best_concept_scores("DB", name), whole.best_concept_scores("DB", name))
    assert not np.array_equal(d.best_concept_scores("DB", "cos"), whole.best_concept_scores("DB", "cos"))


def test_clips_that_are_left_out_and_sources_that_count_once(tmp_path: Path, few: None) -> None:
    asked = {"probe": {"without_folds": [2]}, "neurons": {"one_per_source": True, "bins": 12}}
    pipeline.run(config(**asked), root=tmp_path, only=STAGES)
    pipeline.run(config({**STREAM, "stream_beyond": CLIPS}, name="whole", **asked), root=tmp_path, only=STAGES)
    d, whole = open_dissection("small", root=tmp_path), open_dissection("whole", root=tmp_path)
    assert d.streamed is not None and d.notes("neurons")["ranked"] == whole.notes("neurons")["ranked"] < CLIPS
    for side in ("high", "low"):
        assert names_of(d, d.extreme_indices(side)) == names_of(whole, whole.extreme_indices(side))
    assert np.allclose(d.activation_mean, whole.activation_mean, rtol=1e-6, atol=1e-7)
    assert d.histogram("layer0_output/3")[0].sum() == d.streamed["counted"] == sum(c.fold != 2 for c in whole.clips)
    assert len(d.histogram("layer0_output/3")[0]) == 12 + 2
    traced = np.unique(np.asarray(d.array("activations/trace_clips")))
    assert all(d.clips[clip].fold != 2 for clip in traced[traced >= 0])


@pytest.mark.parametrize("after", [1, 3])
def test_a_stopped_pass_goes_on_to_the_same_bytes(
    root: Path, tmp_path: Path, few: None, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    extract = streaming.extract
    passed: list[range] = []

    def stopping(target, dissection, clips, *rest):
        if len(passed) == after:
            raise KeyboardInterrupt
        passed.append(clips)
        return extract(target, dissection, clips, *rest)

    monkeypatch.setattr(streaming, "extract", stopping)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(config(), root=tmp_path, only=STAGES)
    chunks = next((tmp_path / "small" / ".partial").glob("activations-*/chunks"))
    if after == 3:  # what was being written when the power went
        for path in chunks.glob("statistics-000002*"):
            path.write_bytes(path.read_bytes()[:100])
    passed.clear()
    monkeypatch.setattr(
        streaming, "extract", lambda t, d, clips, *rest: passed.append(clips) or extract(t, d, clips, *rest)
    )
    pipeline.run(config(), root=tmp_path, only=STAGES)
    # statistics before those that were lost had been let go of; the activations that set the bins had not
    assert passed[0].start == 6 * min(after, 2)
    made, expected = (tree(next((place / "small" / "artifacts").glob("activations-*"))) for place in (tmp_path, root))
    assert made == expected


def test_a_pass_that_is_made_anew_reads_what_was_listed(root: Path, tmp_path: Path, few: None) -> None:
    before = tree(next((root / "small" / "artifacts").glob("activations-*")))
    done = pipeline.run(config(), root=root, only=["activations"], force=True)
    assert done.computed == ["activations"]
    assert tree(next((root / "small" / "artifacts").glob("activations-*"))) == before
    states = dict(pipeline.status(config(), root))
    assert {states[name] for name in ("clips", "activations", "neurons", "captions", "texts", "closed", "map")} == {
        "done"
    }
    again = pipeline.run(config(), root=root)
    assert not again.computed, "nothing is made twice"


def test_a_full_disk_is_told_and_the_pass_goes_on(
    root: Path, tmp_path: Path, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = streaming.StreamedPass._save

    def full(self, number, statistics):
        if number == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, number, statistics)

    monkeypatch.setattr(streaming.StreamedPass, "_save", full)
    with pytest.raises(ANDError, match="is full; what is finished stays"):
        pipeline.run(config(), root=tmp_path, only=STAGES)
    monkeypatch.setattr(streaming.StreamedPass, "_save", save)
    pipeline.run(config(), root=tmp_path, only=STAGES)
    made, expected = (tree(next((place / "small" / "artifacts").glob("activations-*"))) for place in (tmp_path, root))
    assert made == expected


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, sizes = AST.forward, []

    def small_memory(self, features):
        outputs = forward(self, features)  # the layers have spoken already
        sizes.append(len(outputs))
        if len(outputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return outputs

    monkeypatch.setattr(AST, "forward", small_memory)
    monkeypatch.setattr(streaming, "check_company", lambda *_: None)
    remarks: list[str] = []
    pipeline.run(config(), root=tmp_path, only=STAGES, say=remarks.append)
    assert [r for r in remarks if "activations.batch" in r] == [
        "activations.batch: 4 clips do not fit into memory; the run goes on with 2 a batch"
    ]
    assert sizes == [4] + [2] * (CLIPS // 2)
    d = open_dissection("small", root=tmp_path)
    for neuron in ("layer0_output/3", "layer3_output/9"):
        for side in (0, 1):
            clips = np.asarray(d.array("activations/trace_clips"))[d.index(neuron), side]
            assert len(set(clips.tolist())) == 10, "a clip that ran twice counts once"
    monkeypatch.setattr(AST, "forward", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
    with pytest.raises(TargetError, match="one clip does not fit into the memory of cpu"):
        pipeline.run(config(), root=tmp_path, only=["activations"], force=True, say=remarks.append)


def folder_of(path: Path, clips: int = 24) -> dict[str, Any]:
    """A folder of sounds in two classes."""
    rng = np.random.default_rng(0)
    for i in range(clips):
        place = path / ("low" if i % 2 else "high")
        place.mkdir(parents=True, exist_ok=True)
        tone = np.sin(2 * np.pi * (200 + 90 * i) * np.arange(16_000) / 16_000)
        sf.write(place / f"{i:03d}.wav", 0.1 * tone + 0.01 * rng.standard_normal(16_000), 16_000)
    return {"kind": "folder", "path": str(path)}


def test_a_sound_that_changed_or_is_gone_is_listed_and_the_run_goes_on(tmp_path: Path) -> None:
    dataset = folder_of(tmp_path / "sounds")
    asked = config({**STREAM, "stream_beyond": 12, "stream_kept": 6}, dataset=dataset, captions={"kind": "acoustic"})
    pipeline.run(asked, root=tmp_path, only=["clips"])
    listed = open_dissection("small", root=tmp_path).clip_table.to_pylist()
    referenced = [row for row in listed if not row["packed"]]
    assert len(referenced) == 18 and all(Path(row["path"]).is_file() for row in referenced)
    changed, gone = referenced[0], referenced[11]
    sf.write(changed["path"], np.sin(np.arange(16_000)), 16_000)
    Path(gone["path"]).unlink()
    remarks: list[str] = []
    pipeline.run(asked, root=tmp_path, only=["activations", "neurons"], say=remarks.append)
    d = open_dissection("small", root=tmp_path)
    assert d.streamed is not None and (d.streamed["left_out"], d.streamed["counted"]) == (2, 22)
    assert not {clip.name for clip in d.clips} & {changed["name"], gone["name"]}
    rows = {row["name"]: row["reason"] for row in d.table("activations/left_out").to_pylist()}
    assert "has changed since the clips were listed" in rows[changed["name"]]
    assert gone["name"] in rows and len(rows) == 2
    assert any("2 clips have changed or are gone" in remark for remark in remarks)
    assert (np.asarray(d.array("activations/high_clips"))[:, :22] >= 0).all()
    assert (np.asarray(d.array("activations/trace_clips")) < 22).all()
    assert d.histogram("layer0_output/3")[0].sum() == 22


def test_a_sound_that_goes_after_it_was_heard_is_no_extreme_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = folder_of(tmp_path / "sounds", 14)
    asked = config({**STREAM, "stream_beyond": 12, "stream_kept": 6}, dataset=dataset, captions={"kind": "acoustic"})
    lost: list[str] = []

    def losing(run, writer, sounds, named):
        lost.append(str(sounds.reference(int(named[0])).name))
        Path(sounds.reference(int(named[0])).path).unlink()
        return gather(run, writer, sounds, named)

    gather = streaming.gather
    monkeypatch.setattr(streaming, "gather", losing)
    pipeline.run(asked, root=tmp_path, only=STAGES)
    d = open_dissection("small", root=tmp_path)
    assert d.streamed is not None and (d.streamed["counted"], d.streamed["named"]) == (14, 13)
    assert lost[0] not in {clip.name for clip in d.clips}
    assert "One clip has changed or is gone" in (streamed_sentence(d) or "")
    high = d.extreme_indices("high")
    assert (high[:, :13] >= 0).all() and (high[:, 13:] == -1).all()
    values = np.asarray(d.array("neurons/high_values"))
    assert (np.diff(values[:, :13], axis=1) <= 0).all() and np.isnan(values[:, 13:]).all()
    assert d.histogram("layer0_output/3")[0].sum() == 14


def test_what_a_stream_can_not_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="probe.without_share=0.5 leaves out clips by a draw"):
        pipeline.run(config(probe={"without_share": 0.5}), root=tmp_path, only=STAGES)
    pipeline.run(config(), root=tmp_path, only=["clips"])
    d = open_dissection("small", root=tmp_path)
    clip = next(row["index"] for row in d.clip_table.to_pylist() if not row["packed"])
    with pytest.raises(DataError, match=f"clip={clip} is kept by reference"):
        d.audio(clip)
    assert (
        json.loads((tmp_path / "small" / "manifest.json").read_text())["config"]["activations"]["stream_kept"] == KEPT
    )


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from and_core import pipeline
from and_core.pipeline import streaming
from tests.conftest import ROOT, STREAM, small_config

streaming.BINS_FROM, streaming.SAVED_EVERY = 10, 0
pipeline.run(small_config(activations=STREAM), root=Path(sys.argv[2]), only=["clips", "activations", "neurons"])
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_streamed_pass(root: Path, tmp_path: Path) -> None:
    for waited_for in ("000000", "statistics-000002", "sounds/0*"):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(ROOT), str(tmp_path)])
        deadline = time.time() + 120
        while (
            not list((tmp_path / "small" / ".partial").glob(f"activations-*/chunks/{waited_for}"))
            and time.time() < deadline
        ):
            time.sleep(0.002)
        assert child.poll() is None, "the pass was over before the kill"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert subprocess.run([sys.executable, "-c", CHILD, str(ROOT), str(tmp_path)]).returncode == 0
    made, expected = (tree(next((place / "small" / "artifacts").glob("activations-*"))) for place in (tmp_path, root))
    assert made == expected


def test_corrected_labels_hold_for_all_that_is_named(root: Path, tmp_path: Path) -> None:
    d = open_dissection("small", root=root)
    last, first = d.clips[-1], d.clips[0]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({last.name: ["dog", "rain"], first.name: ["siren"]}))
    labelled = config(name="labelled", labels=str(path))
    shutil.copytree(root / "small", tmp_path / "small")
    done = pipeline.run(labelled, root=tmp_path, only=["clips", "activations", "labels", "neurons"], reuse=["small"])
    assert done.taken_over == ["clips", "activations", "neurons"] and done.computed == ["labels"]
    made = open_dissection("labelled", root=tmp_path)
    assert made.clips[-1].labels == ("dog", "rain") and made.clips[0].labels == ("siren",)
    assert kept_clips(made).clips[0].labels == ("siren",) and len(kept_clips(made).clips) == KEPT
    assert made.class_means("layer0_output/3").keys() == d.class_means("layer0_output/3").keys()
    assert "class means" not in (streamed_sentence(made) or "") and "class means" in (streamed_sentence(d) or "")


def test_a_damaged_note_of_a_streamed_pass_is_an_error_of_its_own(root: Path) -> None:
    d = open_dissection("small", root=root)
    for note in ("x", {"kept": 3}, {**(d.streamed or {}), "kept": "3"}):
        d.manifest.stages["activations"].notes["streamed"] = note
        with pytest.raises(ArtifactError, match="does not say what its streamed pass kept"):
            _ = d.clips
