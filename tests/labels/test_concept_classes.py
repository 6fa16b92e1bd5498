"""Weights of a network's classes for concepts: golden values by each way, and the file's faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from and_core.errors import DataError
from and_core.labels.concept_classes import (
    check_classes,
    read_concept_classes,
    weigh_classes,
    write_concept_classes,
)

CLASSES = ["Animal", "Dog", "Bark", "Fowl", "Cluck", "Rain", "Rain on surface", "Clapping", "Engine"]
COSINES = np.array([0.1, 0.2, 0.1, 0.0, 0.1, 0.4, 0.3, -0.2, 0.8])


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ("dog", {"Dog": (1.0, "name")}),
        ("rain", {"Rain": (1.0, "name"), "Rain on surface": (0.5, "word")}),
        ("barking dog", {"Dog": (1.0, "word"), "Bark": (1.0, "word")}),
        ("hen", {"Cluck": (1.0, "parent")}),  # Fowl and Animal stand above Cluck
        ("cat", {"Animal": (1.0, "parent")}),
        ("Canidae, dogs, wolves", {"Dog": (1.0, "name")}),
        ("weather", {"Rain": (1.0, "kind"), "Rain on surface": (1.0, "kind")}),
        (
            "gizmo",
            {
                "Engine": (1.0, "embedding"),
                "Rain": (0.0625, "embedding"),
                "Rain on surface": (0.0198, "embedding"),
            },
        ),
        ("...", {}),
    ],
)
def test_weights_by_name_word_kind_parent_and_vector(concept: str, expected: dict[str, tuple[float, str]]) -> None:
    rows = weigh_classes(concept, CLASSES, COSINES)
    assert {row.class_name: (round(row.weight, 4), row.how) for row in rows} == expected
    assert all(row.concept == concept and row.similarity == COSINES[CLASSES.index(row.class_name)] for row in rows)


def test_nothing_is_near_where_every_cosine_is_below_0() -> None:
    assert weigh_classes("gizmo", CLASSES, -np.abs(COSINES) - 0.1) == []


@given(st.text(max_size=20))
def test_weights_are_positive_and_finite_for_any_text(text: str) -> None:
    rows = weigh_classes(text, CLASSES, COSINES)
    assert all(0 < row.weight <= 1 for row in rows)
    assert len({row.class_name for row in rows}) == len(rows)


def test_a_map_is_written_and_read_again(tmp_path: Path) -> None:
    rows = [row for concept in ("rain", "=cmd") for row in weigh_classes(concept, CLASSES, COSINES)]
    write_concept_classes(tmp_path / "map.csv", rows)
    read = read_concept_classes(tmp_path / "map.csv")
    assert read == [(row.concept, row.class_name, round(row.weight, 2)) for row in rows]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty; its first line must be concept,class,weight"),
        ("concept,class,weight\n", "holds no row below its header: no concept stands for any class"),
        ("concept,class\ndog,Dog\n", "lacks the columns weight"),
        ("concept,class,weight\ndog,Dog,nan\n", "line 2: weight='nan' must be a number of at least 0"),
        ("concept,class,weight\ndog,Dog,-1\n", "line 2: weight='-1' must be a number of at least 0"),
        ("concept,class,weight\ndog,Dog,much\n", "line 2: weight='much' must be"),
        ("concept,class,weight\ndog,Dog,inf\n", "line 2: weight='inf' must be"),
        ("concept,class,weight\ndog,,1\n", "line 2: class is empty"),
        ("concept,class,weight\ndog,Dog,1\nDOG,dog,2\n", "line 3: .* stands in line 2 already"),
        ("concept,class,weight\ndog,Dog,0\ndog,Bark,0\n", "concept='dog' has no weight above 0"),
        ("concept,class,weight\ndog,Dog,1,x\n", "more cells than columns"),
    ],
)
def test_faults_of_a_map_are_named(text: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=match):
        read_concept_classes(path)
    with pytest.raises(DataError, match="can't be read"):
        read_concept_classes(tmp_path / "none.csv")


def test_an_unknown_class_is_named_with_the_nearest(tmp_path: Path) -> None:
    check_classes(tmp_path, [("dog", "BARK", 1.0)], CLASSES)
    with pytest.raises(DataError, match="class='Barks' is no class of the network; nearest: Bark"):
        check_classes(tmp_path, [("dog", "Barks", 1.0)], CLASSES)
