"""A corrected caption: only what depends on it is run anew, and what that changes is said."""

from __future__ import annotations

from and_core import open_dissection
from and_core.kept.changes import read_changes
from and_core.kept.database import KeptFile
from and_core.kept.edits import keep_edit
from and_core.pipeline.correcting import headline_texts, run_corrections

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
