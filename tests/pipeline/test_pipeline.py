"""The pipeline end to end on 24 clips: results, caching, choosing stages, bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from and_core import list_dissections, open_dissection, pipeline
from and_core.config import PluginConfig, load_config, make_config
from and_core.datasets.base import DATASETS
from and_core.errors import ANDError, ArtifactError, BusyError, ConfigError, DataError, NotComputed
from and_core.query.search import Query, find_neurons
from and_core.store.writer import writing
from tests.conftest import bad_files, good_files, small_config, tone


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_a_dissection_holds_what_the_reader_promises(dissection) -> None:
    d = dissection
    assert len(d.clips) == 24 and d.classes == ["clock_tick", "dog", "rain", "siren"] and d.neuron_count == 3112
    n = d.neuron_id(700)
    assert d.index(n) == d.index(str(n)) == 700
    u = d.activations(n)
    high, low = d.extreme_clips(n), d.extreme_clips(n, "low")
    assert [t.clip.index for t in high] == np.argsort(-u, kind="stable")[:3].tolist()
    assert [t.clip.index for t in low] == np.argsort(u, kind="stable")[:3].tolist()
    assert high[0].activation == pytest.approx(float(u.max())) and low[0].activation == pytest.approx(float(u.min()))
    assert high[0].caption and high[0].clip.trained == (high[0].clip.fold != 1)
    assert d.clip_activations(5, n.layer)[n.unit] == u[5]
    assert d.statistics(n)["mean"] == pytest.approx(float(u.mean()), abs=1e-5)
    counts, edges = d.histogram(n)
    assert np.array_equal(counts, np.histogram(u, edges)[0]) or counts.sum() == 24
    assert d.class_means(n)["rain"] == pytest.approx(
        float(np.mean([a for a, c in zip(u, d.clips, strict=True) if c.label == "rain"])), abs=1e-5
    )
    other, r = d.similar(n)[0]
    assert r == pytest.approx(float(np.corrcoef(u, d.activations(other))[0, 1]), abs=1e-3) and other != n
    assert d.audio(0)[:4] == b"fLaC" and d.spectrogram(0)[:2] == b"\xff\xd8"
    assert list(d.validate()) == [] and d.skipped == []
    assert d.provenance["synthetic"] is True and d.provenance["K"] == 3
    for artifact in d.manifest.artifacts.values():
        assert artifact.axes is not None and artifact.provenance in ("computed", "imported", "synthetic")
        assert all(len(f.sha256) == 64 for f in artifact.files)


def test_explanations_follow_from_their_parts(dissection) -> None:
    d = dissection
    for index in range(0, d.neuron_count, 331):
        n = d.neuron_id(index)
        e = d.explanation(n)
        kept = [p for p in d.summary(n) if p.kept]
        assert e["summary"].split("\n") == [f"{p.count} of {p.of} clips: {p.text}" for p in kept] or not kept
        assert e["adjectives"] == ", ".join(d.open_concepts(n))
        assert e["concept"] == d.headlines.concept[index] and (
            e["by"] != "DB" or e["concept"] == d.closed_concepts(n)[0].name
        )
        labels = [t.clip.label for t in d.extreme_clips(n)]
        assert (e["class_count"], e["of"]) == (labels.count(e["leading_class"]), len(labels))
        assert e["class_share"] == pytest.approx(labels.count(e["leading_class"]) / len(labels))
    scores = {row["similarity"]: row for row in d.document("last_layer/scores")}
    assert scores["cos_cubed"]["classes"] == 4 and scores["cos_cubed"]["top1"] >= 75
    assert "rank_reorder" in scores  # 24 clips are just enough


def test_search_by_words_meaning_and_filters(dissection) -> None:
    d = dissection
    table = d.table("explanations/explanations")
    found, none = find_neurons(d, Query(concept="rain"))
    assert none is None and set(d.headlines.concept[found]) == {"rain"}
    found, _ = find_neurons(d, Query(adjective="loud", layers=("fc", "layer0_output")))
    assert all("loud" in table["adjectives"][int(i)].as_py() for i in found)
    assert len(find_neurons(d, Query(text="no such word anywhere"))[0]) == 0
    found, similarity = find_neurons(d, Query(text="an ambulance passing by", by="meaning"))
    assert (np.diff(similarity) <= 0).all()
    assert np.mean([table["concept"][int(i)].as_py() == "siren" for i in found[:30]]) > 0.5


def test_a_second_run_computes_nothing_and_a_changed_one_only_what_changed(cache: Path) -> None:
    again = pipeline.run(small_config(), root=cache)
    assert again.computed == [] and set(again.unchanged) == set(pipeline.STAGE_NAMES) - {
        "icl",
        "judged",
        "planted",
        "listening",
        "decisions",
        "tuning",
        "steering",
        "class_map",
        "labels",
    }
    before = open_dissection("small", root=cache)
    kept = {k: s.key for k, s in before.manifest.stages.items()}
    changed = pipeline.run(small_config(calibration={"t": 0.5}), root=cache)
    after = {
        "calibration",
        "open",
        "explanations",
        "word_counts",
        "acoustics",
        "map",
        "scores",
        "confidence",
        "compositions",
        "split",
        "unlearning",
        "importance",
    }
    assert set(changed.computed) == after
    back = pipeline.run(small_config(), root=cache)
    assert set(back.computed) == after
    assert {k: s.key for k, s in open_dissection("small", root=cache).manifest.stages.items()} == kept


def test_the_similarity_that_is_shown_can_be_changed(cache: Path) -> None:
    changed = pipeline.run(small_config(name="shown", closed={"similarity": "soft_wpmi"}), root=cache)
    assert "explanations" in changed.computed and "closed" in changed.taken_over
    d = open_dissection("shown", root=cache)
    best = [d.closed_concepts(f"fc/{i}", "soft_wpmi")[0].name for i in range(8)]
    assert (
        d.similarity == "soft_wpmi"
        and d.table("explanations/explanations")["concept"].to_pylist()[d.layer("fc").offset :][:8] == best
    )
    shutil.rmtree(cache / "shown")


def test_paths_count_from_the_configurations_folder_and_links_stay(tmp_path: Path) -> None:
    from and_core.config import absolute_config

    for name in ("labels.txt", "real", "esc50"):
        (tmp_path / name).write_text("x")
    (tmp_path / "python").symlink_to(tmp_path / "real")
    raw = {
        "target": {"kind": "beats", "classes": "labels.txt", "checkpoint": "nothing"},
        "closed": {"concepts": "esc50"},
        "captions": {"kind": "salmonn", "python": "python"},
        "llm": {"kind": "server", "model": "labels.txt"},
        "dataset": {"kind": "folder", "path": "../x"},
    }
    found = absolute_config(raw, tmp_path)
    assert found["target"] == {"kind": "beats", "classes": str(tmp_path / "labels.txt"), "checkpoint": "nothing"}
    assert found["closed"]["concepts"] == "esc50" and found["llm"]["model"] == "labels.txt", "names stay names"
    assert found["captions"]["python"] == str(tmp_path / "python"), "a virtual environment's interpreter is a link"
    assert found["dataset"]["path"] == str(tmp_path.parent / "x")


def test_equal_stages_are_taken_over_from_a_neighbour(cache: Path) -> None:
    outcome = pipeline.run(small_config(name="sibling", k=2), root=cache)
    assert {"clips", "activations", "captions", "texts"} <= set(outcome.taken_over) and "summaries" in outcome.computed
    assert list(open_dissection("sibling", root=cache).validate()) == []
    shutil.rmtree(cache / "sibling")


def test_choosing_stages(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stage='clip' is not known; allowed: clips"):
        pipeline.run(small_config(), root=tmp_path, only=["clip"])
    with pytest.raises(NotComputed, match="'activations' reads 'clips'"):
        pipeline.run(small_config(), root=tmp_path, only=["activations"])
    assert pipeline.run(small_config(), root=tmp_path, only=["clips"]).computed == ["clips"]
    d = open_dissection("small", root=tmp_path)
    with pytest.raises(NotComputed, match="has not been run yet; run: and-dissect run"):
        d.summary("fc/0")
    unasked = ("icl", "judged", "planted", "listening", "decisions", "tuning", "steering", "class_map", "labels")
    assert dict(pipeline.status(small_config(), tmp_path)) == {
        s: "done" if s == "clips" else "not configured" if s in unasked else "not run" for s in pipeline.STAGE_NAMES
    }
    pipeline.run(small_config(), root=tmp_path, only=["activations", "captions"])
    assert pipeline.run(small_config(), root=tmp_path, only=["captions"], force=True).computed == ["captions"]
    other = small_config(captions={"kind": "acoustic"})
    assert dict(pipeline.status(other, tmp_path))["captions"] == "out of date"
    started = pipeline.run(small_config(), root=tmp_path, start="texts")
    at = pipeline.STAGE_NAMES.index("texts")
    assert set(started.computed) == {*pipeline.STAGE_NAMES[at:], "neurons", "similar"} - {
        "icl",
        "judged",
        "planted",
        "listening",
        "decisions",
        "tuning",
        "steering",
        "class_map",
        "labels",
    }  # before it only what was missing


def test_downstream_of_a_change_is_out_of_date(tmp_path: Path) -> None:
    pipeline.run(small_config(), root=tmp_path)
    pipeline.run(small_config(captions={"kind": "acoustic"}), root=tmp_path, only=["captions"])
    d = open_dissection("small", root=tmp_path)
    assert d.has("captions") and not d.has("summaries")
    with pytest.raises(NotComputed, match="is out of date"):
        d.require("explanations")


def test_a_dissection_of_another_version_is_out_of_date_not_misread(tmp_path: Path, cache: Path) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    path = tmp_path / "small" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["stages"]["explanations"]["version"] -= 1
    path.write_text(json.dumps(manifest | {"sha256": ""}))
    d = open_dissection("small", root=tmp_path)
    assert d.has("closed") and not d.has("explanations")
    with pytest.raises(NotComputed, match="is out of date"):
        d.explanation("fc/0")


def test_bad_files_are_listed_and_the_rest_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    bad = bad_files(folder / "x")
    good = good_files(folder / "x")
    config = make_config(
        {
            "name": "faults",
            "dataset": {"kind": "folder", "path": str(folder), "all_files": True},
            "target": {"kind": "ast"},
            "encoder": {"kind": "minilm", "model": "bundled"},
            "k": 2,
            "captions": {"kind": "acoustic"},
        }
    )
    pipeline.run(config, root=tmp_path)
    d = open_dissection("faults", root=tmp_path)
    assert [c.name for c in d.clips] == [f"x/{name}" for name in good]
    reasons = {s.name.split("/")[1]: s.reason for s in d.skipped}
    assert set(reasons) == set(bad)
    for name, word in bad.items():
        assert word.lower() in reasons[name].lower()
    assert np.isfinite(d.layer_activations("fc")).all() and d.has("explanations") and list(d.validate()) == []
    failed = d.notes("closed")["failed"]
    assert "needs at least 20 clips" in failed["rank_reorder"]
    assert (
        d.document("last_layer/scores") == []
        and d.notes("last_layer")["reason"] == "no class of the network is in the concept set"
    )


def test_only_bad_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.wav").write_bytes(b"")
    config = small_config(
        name="none", dataset={"kind": "folder", "path": str(tmp_path / "x")}, captions={"kind": "acoustic"}
    )
    with pytest.raises(DataError, match="none of the 1 clips can be used: a.wav: empty"):
        pipeline.run(config, root=tmp_path)


def test_faults_of_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="k=30 is more than the 24 usable clips"):
        pipeline.run(small_config(k=30), root=tmp_path)
    for change, message in (
        ({"k": 51}, "k=51"),
        ({"k": 0}, "k=0"),
        ({"name": "../up"}, "name='../up'"),
        ({"calibration": {"t": 2}}, "calibration.t=2"),
        ({"closed": {"template": "x"}}, "closed.template='x'"),
        ({"typo": 1}, "typo=1"),
        ({"closed": {"similarities": ["sine"]}}, "sine"),
    ):
        with pytest.raises(ConfigError, match=message):
            small_config(**change)
    for text, message in (("- a", "must hold a mapping"), ("a: [", "is not YAML"), ("name: x", "dataset")):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_config(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="no configuration at"):
        load_config(tmp_path / "none.yaml")


def test_missing_captions_are_listed_and_left_out_of_db(tmp_path: Path) -> None:
    refs = DATASETS.create(PluginConfig(**small_config().dataset.model_dump())).references()
    (tmp_path / "c.json").write_text(
        json.dumps({r.name: f"This is {r.label}. It is loud." for r in refs[3:]} | {"other.wav": "x"})
    )
    config = small_config(name="gaps", captions={"kind": "file", "path": str(tmp_path / "c.json")})
    pipeline.run(config, root=tmp_path)
    found = open_dissection("gaps", root=tmp_path)
    assert found.table("captions/missing")["name"].to_pylist() == [r.name for r in refs[:3]]
    assert found.notes("closed")["captioned_clips"] == 21 and found.notes("captions")["unknown"] == ["other.wav"]
    assert found.caption(0) is None and found.caption(5)


def test_one_per_source(tmp_path: Path) -> None:
    (tmp_path / "esc" / "audio").mkdir(parents=True)
    (tmp_path / "esc" / "meta").mkdir()
    rows = ["filename,fold,category,src_file"]
    for i in range(8):
        sf.write(tmp_path / "esc" / "audio" / f"{i}.wav", tone(0.5, hz=200 + 90 * i), 16_000)
        rows.append(f"{i}.wav,1,{'a' if i % 2 else 'b'},{i // 4}")
    (tmp_path / "esc" / "meta" / "m.csv").write_text("\n".join(rows))
    config = small_config(
        name="sources",
        k=2,
        dataset={"kind": "esc50", "path": str(tmp_path / "esc")},
        captions={"kind": "acoustic"},
        neurons={"one_per_source": True},
    )
    pipeline.run(config, root=tmp_path)
    d = open_dissection("sources", root=tmp_path)
    for unit in range(5):
        tops = d.extreme_clips(f"fc/{unit}", k=5)
        assert len(tops) == 2 and {t.clip.source for t in tops} == {"0", "1"}


def test_what_a_killed_write_left_behind_goes(own) -> None:
    left = own.folder / ".manifest.json.1.tmp"
    left.write_text("{")
    assert pipeline.run(small_config(), root=own.folder.parent).computed == [] and not left.exists()


def test_a_lost_file_is_computed_again(tmp_path: Path, cache: Path) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    next((tmp_path / "small" / "artifacts").glob("summaries-*/points.parquet")).unlink()
    assert pipeline.run(small_config(), root=tmp_path).computed == ["summaries"]
    assert tree(tmp_path / "small") == tree(cache / "small")


def test_a_wrong_setting_is_said_before_anything_is_computed_and_changes_nothing(tmp_path: Path, cache: Path) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    before = tree(tmp_path / "small")
    for change in (
        {"target": {"kind": "ast", "poling": "x"}},
        {"closed": {"concepts": str(tmp_path / "none.txt")}},
        {"k": 30},
        {"captions": {"kind": "file", "path": str(tmp_path / "none.json")}},
        {"open": {"tagger": "nowhere"}},
    ):
        with pytest.raises(ANDError):
            pipeline.run(small_config(**change), root=tmp_path)
        assert tree(tmp_path / "small") == before, change


def test_a_manifest_that_points_outside_is_refused(tmp_path: Path, cache: Path) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    manifest = tmp_path / "small" / "manifest.json"
    good = json.loads(manifest.read_text())
    for path in ("../../etc/passwd", "/etc/passwd", "artifacts/clips-0123456789abcdef/../../x", "manifest.json"):
        bad = json.loads(json.dumps(good))
        bad["artifacts"]["captions/captions"]["files"][0]["path"] = path
        manifest.write_text(json.dumps(bad))
        with pytest.raises(ArtifactError, match="not a valid manifest"):
            open_dissection("small", root=tmp_path)


@pytest.mark.slow
def test_reference_scoring_shows_the_fault_it_stands_for(tmp_path: Path, cache: Path) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    pipeline.run(small_config(closed={"scoring": "reference"}), root=tmp_path)
    d = open_dissection("small", root=tmp_path)
    rows = {row["similarity"]: row for row in d.document("last_layer/scores")}
    assert (
        rows["soft_wpmi"]["top1"] == 25.0 and rows["cos_cubed"]["top1"] >= 75
    )  # all scores 0: the first concept, for every class
    assert "rank_reorder" in d.notes("closed")["failed"]  # K clips are too few for it


def test_two_runs_at_once(tmp_path: Path) -> None:
    with writing(tmp_path / "small"), pytest.raises(BusyError, match="another run is writing 'small'"):
        pipeline.run(small_config(), root=tmp_path)


def test_damage_is_refused_by_name(cache: Path, tmp_path: Path) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    d = open_dissection("small", root=tmp_path)
    file = tmp_path / "small" / d.manifest.artifacts["captions/captions"].files[0].path
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="'captions/captions' is altered"):
        open_dissection("small", root=tmp_path).caption(0)
    file.write_bytes(bytes(data)[:-10])
    with pytest.raises(ArtifactError, match="'captions/captions' is truncated"):
        open_dissection("small", root=tmp_path).caption(0)
    file.unlink()
    with pytest.raises(ArtifactError, match="'captions/captions' is missing"):
        open_dissection("small", root=tmp_path).caption(0)
    (file.parent / "stray.txt").write_text("x")
    faults = dict(open_dissection("small", root=tmp_path).validate())
    assert set(faults) == {"captions/captions", str((file.parent / "stray.txt").relative_to(tmp_path / "small"))}
    manifest = tmp_path / "small" / "manifest.json"
    manifest.write_text(manifest.read_text()[:-40])
    with pytest.raises(ArtifactError, match=r"manifest.json is truncated or altered"):
        open_dissection("small", root=tmp_path)


def test_names_that_lead_elsewhere_are_refused(cache: Path) -> None:
    for name in ("../small", "small/../small", "a\0b", "<img src=x>", "", "..", "/etc"):
        with pytest.raises(ANDError):
            open_dissection(name, root=cache)
    d = open_dissection("small", root=cache)
    for neuron in ("fc/99999", "fc/-1", "nowhere/0", "fc", "../fc/0", "fc/0\0", "<b>/1"):
        with pytest.raises(DataError):
            d.activations(neuron)
    with pytest.raises(DataError, match="clip=24 is out of range"):
        d.audio(24)
    assert list_dissections(cache) == ["small"]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small file system needs root on Linux"
)
@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path: Path, cache: Path) -> None:
    place = tmp_path / "small-disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this machine does not let tests mount a file system")
    try:
        with pytest.raises(ANDError, match="is full; what is finished stays"):
            pipeline.run(small_config(), root=place)
        assert list(open_dissection("small", root=place).validate()) == []
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        pipeline.run(small_config(), root=place)
        assert tree(place / "small") == tree(cache / "small")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    def full(stage: str, done: int, total: int) -> None:
        if stage == "neurons":
            raise OSError(28, "No space left on device")

    with pytest.raises(ANDError, match="is full; what is finished stays"):
        pipeline.run(small_config(), root=tmp_path, progress=full)
    assert {"clips", "activations"} <= set(open_dissection("small", root=tmp_path).manifest.stages)
    assert "clips" in pipeline.run(small_config(), root=tmp_path).unchanged


def test_equal_runs_give_equal_bytes(cache: Path, tmp_path: Path) -> None:
    pipeline.run(small_config(), root=tmp_path)
    assert tree(tmp_path / "small") == tree(cache / "small")
