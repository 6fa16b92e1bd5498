"""Class maps: read, written, checked, and as truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from and_core.errors import DataError
from and_core.labels.class_map import (
    ClassMap,
    by_name,
    check_class_map,
    label_truth,
    read_class_map,
    truth,
    write_class_map,
)

CLASSES = ["Animal", "Dog", "Chicken, rooster", "Speech"]
LABELS = ["dog", "rooster", "rain"]
MAP = ClassMap((("Dog", "dog"), ("Animal", "dog"), ("animal", "Rooster"), ("Chicken, rooster", "rooster")))


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    write_class_map(path, [("Chicken, rooster", "rooster", "name", 0.871), ("=1+1", "'cello", "word", 1.0)])
    assert (
        path.read_text()
        == "class,label,how,similarity\n\"Chicken, rooster\",rooster,name,0.87\n'=1+1,''cello,word,1.00\n"
    )
    assert read_class_map(path).pairs == (("Chicken, rooster", "rooster"), ("=1+1", "'cello"))
    write_class_map(path, MAP.pairs)
    assert path.read_text().startswith("class,label\nDog,dog\n") and read_class_map(path) == MAP


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_bytes("\ufefflabel,note,class\r\ndog , mine,Dog\r\n".encode())
    assert read_class_map(path).pairs == (("Dog", "dog"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; its first line must be class,label"),
        ("class,label\n", "holds no row"),
        ("class;label\nDog;dog\n", "lacks the columns class, label"),
        ("class,how\nDog,name\n", "lacks the columns label"),
        ("class,label\nDog,\n", "line 2: label is empty"),
        ("class,label\nDog\n", "line 2: label is empty"),
        (
            "class,label\nDog,dog\nAnimal,dog\ndog,Dog\n",
            "line 4: class='dog' with label='Dog' stands in line 2 already",
        ),
        ("class,label\nChicken, rooster,rooster\n", "line 2: more cells than columns"),
        ('class,label\n"Dog,dog\n', "can't be read"),
    ],
)
def test_a_wrong_file_is_refused_by_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="map.csv") as error:
        read_class_map(path)
    assert message in str(error.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError, match="can't be read"):
            read_class_map(path)
    with pytest.raises(DataError, match="can't be written"):
        write_class_map(tmp_path, MAP.pairs)


def test_names_that_do_not_exist_are_named_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text('class,label\nDog,dog\n"Chicken, roster",rooster\n')
    with pytest.raises(
        DataError, match="map.csv line 3: class='Chicken, roster' is no class.*nearest: Chicken, rooster"
    ):
        check_class_map(read_class_map(path), CLASSES, LABELS)
    with pytest.raises(DataError, match=r"class_map\[0\]: label='zzz' is no label.*allowed: dog; rooster; rain"):
        check_class_map(ClassMap((("Dog", "zzz"),)), CLASSES, LABELS)
    with pytest.raises(DataError, match="covers no class.*Animal; Dog.*rain"):
        check_class_map(by_name(["Animal", "Dog"], ["rain"]), ["Animal", "Dog"], ["rain"])


def test_what_is_alone_is_a_warning() -> None:
    assert check_class_map(MAP, CLASSES, LABELS) == [
        "1 of 3 labels without a class: rain",
        "1 of 4 classes without a label: Speech",
    ]
    assert check_class_map(by_name(["dog"], ["Dog"]), ["dog"], ["Dog"]) == []


def test_by_name_is_what_was_always_compared() -> None:
    assert by_name(["Water_drops ", "dog", "DOG"], ["dog", "water drops", "dog"]).pairs == (
        ("Water_drops ", "water drops"),
        ("dog", "dog"),
        ("DOG", "dog"),
    )


def test_truth_of_clips_with_no_label_one_and_several() -> None:
    expected = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    clips = [["dog"], ["rooster"], ["rain", "dog", "Rooster"], [], ["rain"]]
    have = truth(MAP, clips, CLASSES)
    assert have.dtype == bool and have.astype(int).tolist() == expected
    assert label_truth(MAP, CLASSES, LABELS).astype(int).tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert truth(MAP, [], CLASSES).shape == (0, 4)


NAMES = st.sampled_from(["a", "B", "c_d", "e"])


@given(st.sets(st.tuples(NAMES, NAMES)), st.lists(st.lists(NAMES, max_size=3), max_size=5))
def test_a_clip_has_the_classes_of_each_of_its_labels(pairs: set, clips: list) -> None:
    classes, class_map = ["A", "b", "c d", "E"], ClassMap(tuple(pairs))
    have = truth(class_map, clips, classes)
    for row, clip in zip(have, clips, strict=True):
        each = label_truth(class_map, classes, clip)
        assert np.array_equal(row, each.any(1))
