"""A corrected caption: only what depends on it is run anew, and what that changes is said."""

from __future__ import annotations

from and_core import open_dissection
from and_core.kept.changes import read_changes
from and_core.kept.database import KeptFile
from and_core.kept.edits import keep_edit
from and_core.pipeline.correcting import corrected_config, run_corrections
from and_core.pipeline.recorded import config_for
from and_core.store.headline import headline_texts

HEARD = "layer2_intermediate/412"
MENDED = "A person is snoring loudly. It is deep and slow."


def test_only_what_depends_on_a_caption_is_run_anew_and_the_original_comes_back(own) -> None:
    d, file = own, KeptFile(own.folder.parent)
    before = headline_texts(d)
    originals = {top.clip.name: top.caption for top in d.extreme_clips(HEARD)}
    kept = {name: d.manifest.stages[name].key for name in ("clips", "activations", "neurons", "similar")}
    for name, caption in originals.items():
        keep_edit(file, "small", "caption", name, caption, MENDED, "Ada")
    done = run_corrections(d)
    again = open_dissection("small", root=d.folder.parent)
    assert "captions" in done.computed and "explanations" in done.computed
    assert not set(kept) & set(done.computed) and all(again.manifest.stages[n].key == key for n, key in kept.items())
    assert [top.caption for top in again.extreme_clips(HEARD)] == [
        "A person is snoring loudly. It is deep and slow."
    ] * 3
    assert done.changes and {c.neuron: c.after for c in done.changes} == {
        str(again.neuron_id(i)): text
        for i, (old, text) in enumerate(zip(before, headline_texts(again), strict=True))
        if old != text
    }
    assert "3 corrected by hand" in again.notes("captions")["captioner"]
    stored = read_changes(file, "small")
    assert stored is not None and stored["changes"] == done.changes and stored["computed"] == done.computed
    assert run_corrections(again).computed == [], "nothing is left to do"
    assert read_changes(file, "small") == stored
    for name, caption in originals.items():
        keep_edit(file, "small", "caption", name, "", caption, "Ada")
    run_corrections(open_dissection("small", root=d.folder.parent))
    back = open_dissection("small", root=d.folder.parent)
    assert headline_texts(back) == before and back.manifest.config["captions"] == {"kind": "corpus"}


def test_only_what_depends_on_a_label_is_run_anew_and_the_original_comes_back(own) -> None:
    d, file = own, KeptFile(own.folder.parent)
    keys = {name: record.key for name, record in d.manifest.stages.items()}
    gone, other = d.classes[:2]
    wrong = [clip for clip in d.clips if clip.label == gone]
    for clip in wrong:
        keep_edit(file, "small", "label", clip.name, gone, other, "Ada")
    run_corrections(d)  # no clip is left of a class that the concept set has from the labels
    without = open_dissection("small", root=d.folder.parent)
    assert gone not in without.classes and len(without.view("first-half").concept_set) == len(without.concept_set)
    for clip in wrong[2:]:
        keep_edit(file, "small", "label", clip.name, "", gone, "Ada")
    done = run_corrections(without)
    again = open_dissection("small", root=d.folder.parent)
    same = {name for name, key in keys.items() if again.manifest.stages[name].key == key}
    assert {"clips", "activations", "neurons", "similar", "captions", "texts", "summaries", "closed", "open"} <= same
    changed = {"explanations", "last_layer", "quantities", "scores", "confidence", "split", "unlearning"}
    assert changed <= set(done.computed) and not changed & same
    assert [again.clips[c.index].label for c in wrong] == [other] * 2 + [gone] * (len(wrong) - 2)
    assert again.clips[wrong[0].index].original_label == gone and again.clips[wrong[2].index].original_label is None
    before, after = d.class_means(HEARD), again.class_means(HEARD)
    members = [c.index for c in d.clips if c.label == other] + [c.index for c in wrong[:2]]
    assert abs(after[other] - d.activations(HEARD)[members].mean()) < 1e-5 and after[other] != before[other]
    named = {figure.what: (figure.before, figure.after) for figure in done.figures}
    assert named["clips labelled " + gone.replace("_", " ")] == ("\u2013", str(len(wrong) - 2))
    kept = read_changes(file, "small")
    assert kept is not None and kept["figures"] == done.figures
    for clip in wrong[:2]:
        keep_edit(file, "small", "label", clip.name, "", gone, "Ada")
    assert again.manifest.config["labels"] and corrected_config(again, config_for(again, None)).labels is None


def test_every_headline_is_that_of_its_neuron(own) -> None:
    assert headline_texts(own) == [own.headline(own.neuron_id(i)).text for i in range(own.neuron_count)]
