"""Several labels a clip and several classes at once, from the table of labels to the pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from and_core import Dissection, open_dissection, pipeline
from and_core.config import make_config
from and_core.errors import ANDError, DataError
from and_core.labels.outputs import probabilities
from and_core.labels.truth import class_map_of, class_truth, classes_of_concept
from and_core.store.permission import permit_target
from and_core.study.draw import draw_items
from and_core.unlearn.evaluator import open_evaluator
from and_core.unlearn.measure import average_precision
from and_core.unlearn.request import AblationRequest
from and_core.unlearn.result import measure
from and_core.unlearn.runs import read_split
from tests.dashboard import app, page_html
from tests.labels.several import CLASSES, bands, build, collection, configuration
from tests.studies import small_plan


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = collection(tmp_path_factory.mktemp("several"))
    remarks: list[str] = []
    listening = {"components": 4, "epochs": 2, "seconds": 1, "by_design": True, "measured": 6, "maps": ["gru"]}
    pipeline.run(configuration(folder, listening=listening), root=folder / "cache", say=remarks.append)
    (folder / "remarks.txt").write_text("\n".join(remarks))
    return folder


@pytest.fixture(scope="module")
def several(root: Path) -> Dissection:
    return open_dissection("several", root / "cache")


def test_clips_keep_their_labels(several: Dissection) -> None:
    assert several.classes == ["high", "hiss", "low"]
    first = [clip.labels for clip in several.clips[:8]]
    assert first == [
        ("low",), ("high",), ("low", "high"), ("hiss",), ("low", "hiss"), (), ("low", "high", "hiss"), ("low",)
    ]  # fmt: skip
    assert several.clips[6].label == "low; high; hiss" and several.clips[5].label is None
    assert several.notes("clips")["without_label"] == 2
    values = np.asarray(several.activations("gru/0"))
    for name, mean in several.class_means("gru/0").items():
        own = [clip.index for clip in several.clips if name in clip.labels]
        assert mean == pytest.approx(values[own].mean(), abs=1e-5)


def test_truth_is_in_the_networks_classes(several: Dissection) -> None:
    truth = class_truth(several)
    for clip in several.clips:
        tone = "low" in clip.labels or "high" in clip.labels
        assert truth[clip.index].tolist() == ["low" in clip.labels, "high" in clip.labels, tone, "hiss" in clip.labels]
    class_map = class_map_of(several)
    assert classes_of_concept(class_map, CLASSES, "low") == (0,), "tone is broader"
    assert classes_of_concept(class_map, CLASSES, "Tone") == (2,) and not classes_of_concept(class_map, CLASSES, "x")
    assert several.notes("last_layer")["classes"] == 4


def test_outputs_are_those_of_the_network(several: Dissection) -> None:
    split, net = read_split(several), build()[0].eval()
    assert split.multi_label and split.truth.shape == split.before.shape and (split.truth.sum(1) > 1).any()
    from and_core.audio.media import clip_wave

    waves = np.stack([clip_wave(several, int(clip), 8000) for clip in split.clips])
    with torch.no_grad():
        wanted = net(bands(waves))["clip"].numpy()
    assert np.allclose(split.probabilities(split.before), wanted, atol=1e-5)
    assert np.allclose(probabilities(split.before, True), wanted, atol=1e-5)
    precision = average_precision(split.before, split.truth)
    assert several.notes("split")["accuracy"] == pytest.approx(100 * np.nanmean(precision), abs=1e-3)


def test_unlearning_looks_at_the_clips_that_have_the_class(several: Dissection) -> None:
    split = read_split(several)
    permit_target(make_config(several.manifest.config).target)
    ablated = tuple(f"act/{unit}" for unit in range(5))
    request = AblationRequest(strategy="list", neurons=ablated, concept="low")
    result = measure(several, "run", request, open_evaluator(several))
    change, row = result.after - split.before, result.rows[0]
    assert row["ablating"] == pytest.approx(change[split.truth[:, 0], 0].mean(), abs=1e-4)
    others = [change[split.truth[:, c], c].mean() for c in (1, 2, 3)]
    assert row["remaining"] == pytest.approx(np.mean(others), abs=1e-4)
    after = average_precision(result.after, split.truth)
    assert row["concept_accuracy_after"] == pytest.approx(100 * after[0])
    p = split.probabilities(result.after) - split.probabilities(split.before)
    assert row["p_ablating"] == pytest.approx(p[split.truth[:, 0], 0].mean(), abs=1e-4)


def test_listening_judges_each_class_alone(several: Dissection) -> None:
    report = several.listening_report["measured"]
    assert (
        set(report["post-hoc"]["fidelity"]) == {"auprc_macro", "auprc_micro", "max_f1"}
        and 0 <= report["by-design"]["accuracy"] <= 1
    )


def test_labels_and_maps_that_do_not_fit_are_named(root: Path, tmp_path: Path) -> None:
    folder = collection(tmp_path / "other", 8)

    def fails(match: str, **changes: object) -> None:
        with pytest.raises(ANDError, match=match):
            pipeline.run(configuration(folder, **changes), root=tmp_path / "cache", say=lambda text: None)

    (folder / "classes.csv").write_text("class,label\nLoud tone,low\n")
    fails("class='Loud tone' is no class of the network; nearest: Low tone")
    (folder / "classes.csv").write_text("class,label\nLow tone,love\n")
    fails("label='love' is no label of the collection")
    (folder / "classes.csv").write_text("class,label\n")
    fails("no class stands for any label")
    (folder / "labels.csv").write_text("file,label\n00.wav,low\nnowhere.wav,high\n")
    fails("file='nowhere.wav' is not below")
    assert "class_map" not in (root / "remarks.txt").read_text().replace("class_map:", "")


def test_a_clip_without_labels_among_labelled_ones_is_said(root: Path) -> None:
    assert "2 of 32 clips have no label" in (root / "remarks.txt").read_text()


def test_labels_without_a_class_are_said(tmp_path: Path) -> None:
    remarks: list[str] = []
    config = configuration(collection(tmp_path / "plain", 8), unlearning=None, class_map=None)
    pipeline.run(config, root=tmp_path / "cache", only=["clips", "activations"], say=remarks.append)
    assert any("3 of 3 labels are called like no class of the network: high, hiss, low" in line for line in remarks)


def test_one_label_a_clip_is_stored_as_before(tmp_path: Path) -> None:
    folder = collection(tmp_path / "one", 8)
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{i:02d}.wav,low\n" for i in range(8)))
    config = configuration(folder, unlearning=None, class_map=None)
    pipeline.run(config, root=tmp_path / "cache", only=["clips"], say=lambda text: None)
    d = open_dissection("several", tmp_path / "cache")
    assert "labels" not in d.clip_table.column_names and d.clips[0].labels == ("low",)
    with pytest.raises(DataError, match="out of range"):
        d.clip_row(99)


@pytest.mark.parametrize(
    "page", ["neurons", "concepts", "layers", "unlearning", "importance", "listen", "words", "strategies", "sound"]
)
def test_pages_show_several_labels(page: str, root: Path, several: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(root / "cache"))
    permit_target(make_config(several.manifest.config).target)
    test = app(dissection="several").run()
    test = test if page == "neurons" else test.switch_page(f"pages/{page}.py").run()
    assert not test.exception, test.exception
    text = page_html(test)
    wanted = {
        "neurons": "several classes at once (sigmoid)",
        "concepts": "4 classes stand for 3 of 3 labels, as the class map says",
        "unlearning": "mean average precision",
        "importance": "mean average precision",
    }
    assert wanted.get(page, "") in text
    if page == "concepts":
        assert (
            "2 of 32 clips have no label and count for no class" in text and "a clip may have several at once" in text
        )


def test_studies_know_every_label_of_a_clip(several: Dissection) -> None:
    plan = small_plan(
        dissections=["several"], neurons={"per_block": 6}, methods=["DB", "SUM"], tasks=["intruder", "fit"],
        controls={"mismatched": 2, "known": 2, "attention": 0, "training": 0},
    )  # fmt: skip
    items, _ = draw_items(plan, [several])
    intruders = [item.clips for item in items if item.task == "intruder"]
    assert intruders
    for odd, *high in intruders:
        of_high = {label for clip in high for label in several.clips[clip].labels}
        apart = [clip for clip in several.clips if clip.index not in high and not of_high & set(clip.labels)]
        assert not apart or not of_high & set(several.clips[odd].labels) or len(of_high) == 3
    truth = class_truth(several)
    known = [item for item in items if item.control == "known"]
    assert len(known) == 2
    for item in known:
        shared = set.intersection(*(set(several.clips[clip].labels) for clip in item.clips))
        of_class = [CLASSES[c] for c in range(4) if truth[item.clips, c].all()]
        assert shared or of_class, "a high anchor's clips share what it says of them"
