"""The pages that compare, keep and correct."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from and_core import open_dissection
from and_core.kept.changes import Change, FigureChange, write_changes
from and_core.kept.database import KeptFile
from and_core.kept.edits import edits, keep_edit, write_corrections
from and_core.kept.lists import keep_star, stars
from and_core.query.counterpart import counterparts
from pages.ui import html
from tests.dashboard import app, page_html

NEURON = "layer2_intermediate/412"
AT = {"layer": "layer2_intermediate", "unit": "412"}


@pytest.fixture(autouse=True)
def root(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(cache / "small", tmp_path / "small")
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    return tmp_path


def test_compare_opens_on_the_most_alike_and_by_address(root: Path) -> None:
    d = open_dissection("small", root=root)
    (best, correlation), *rest = counterparts(d, NEURON, d)
    test = app(**AT).run().switch_page("pages/compare.py").run()
    assert not test.exception
    text = page_html(test)
    assert (test.session_state["with_layer"], test.session_state["with_unit"]) == (best.layer, best.unit)
    for neuron in (NEURON, best):
        assert all(html.text(top.caption) in text for top in d.extreme_clips(neuron))
    assert any(f"{correlation:.2f}" in button.label for button in test.button)
    test.button(key="place_1").click().run()
    assert test.session_state["with_unit"] == rest[0][0].unit and not test.exception
    bad = app(**AT, **{"with": "nope"}).run()
    assert "There is no dissection “nope” here to compare with." in page_html(bad)
    bad = app(**AT, with_layer="fc", with_unit="4000").run()
    assert "fc of small has no neuron “4000”" in page_html(bad)


def test_a_neuron_is_kept_with_a_note_and_exported(root: Path) -> None:
    assert "None yet." in page_html(app().run().switch_page("pages/kept.py").run())
    test = app(**AT).run()
    test.session_state["keep"] = True
    test.run()
    next(area for area in test.text_area if area.label == "Note").set_value("<b>bells</b>").run()
    test.button(key="keep_it").click().run()
    (star,) = stars(KeptFile(root))
    assert (star.dissection, star.neuron, star.note) == ("small", NEURON, "<b>bells</b>")
    assert "Starred: &lt;b&gt;bells&lt;/b&gt;" in page_html(test) and not test.exception
    kept = test.switch_page("pages/kept.py").run()
    assert not kept.exception
    (row,) = kept.dataframe[0].value.to_dict("records")
    assert row["neuron"] == NEURON and row["open"].endswith("layer=layer2_intermediate&unit=412")


def test_a_correction_stands_beside_its_original_and_its_run_is_reported(root: Path) -> None:
    d, file = open_dissection("small", root=root), KeptFile(root)
    top = d.extreme_clips(NEURON)[0]
    test = app(**AT).run()
    test.session_state["correct"] = True
    test.run()
    area = next(area for area in test.text_area if area.label == "As it should be")
    assert area.value == top.caption
    area.set_value("A wolf howls.").run()
    test.button(key="correct_it").click().run()
    (edit,) = edits(file, "small", "caption")
    assert (edit.clip, edit.original, edit.text) == (top.clip.name, top.caption, "A wolf howls.")
    text = page_html(test)
    assert f"the original: “{html.text(top.caption)}”" in text and "has not been run yet" in text
    test.segmented_control(key="correct_kind").set_value("label").run()
    field = next(field for field in test.multiselect if field.label == "As it should be")
    assert field.value == [top.clip.label]
    field.set_value([next(label for label in d.classes if label != top.clip.label), top.clip.label]).run()
    test.button(key="correct_it").click().run()
    (edit,) = edits(file, "small", "label")
    assert edit.original == top.clip.label and set(edit.text.split("; ")) > {top.clip.label}
    path = write_corrections(file, "small", "label")
    assert path is not None and json.loads(Path(path).read_text()) == {top.clip.name: edit.text.split("; ")}
    figures = [FigureChange("clips labelled dog", "6", "7")]
    write_changes(file, "small", ["captions", "texts"], [Change(NEURON, "before it", "after it")], figures)
    page = test.switch_page("pages/kept.py").run()
    assert not page.exception and "1 of " in page_html(page) and "Run anew: captions, texts." in page_html(page)
    shown = [frame.value for frame in page.dataframe]
    assert any("before" in frame and frame["after"][0] == "after it" for frame in shown)
    assert any("what" in frame and frame["after"][0] == "7" for frame in shown)
    assert any("original" in frame and top.caption in set(frame["original"]) for frame in shown)


def test_a_damaged_file_of_what_is_kept_takes_no_page_down(root: Path) -> None:
    file = KeptFile(root)
    keep_star(file, "small", NEURON)
    keep_edit(file, "small", "label", "x.wav", "dog", "wolf")
    for path in file.path.parent.glob("*.sqlite-*"):
        path.unlink()
    file.path.write_bytes(json.dumps(["no database"] * 500).encode())
    test = app(**AT).run()
    assert not test.exception and "can&#x27;t be read now" in page_html(test) and "Highest" in page_html(test)
    kept = test.switch_page("pages/kept.py").run()
    assert not kept.exception and "can&#x27;t be read now" in page_html(kept)
