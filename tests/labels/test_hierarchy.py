"""The hierarchy of sounds: whole, without circles, and as its words are meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from and_core.config import read_mapping
from and_core.data import bundled
from and_core.labels.hierarchy import children, descendants, name_words, parents, related, spelling

ESC50 = bundled("concepts/esc50.txt").read_text().split("\n")[:50]
CATEGORIES = (
    "animals",
    "natural soundscapes and water sounds",
    "human non-speech sounds",
    "interior/domestic sounds",
    "exterior/urban noises",
)


def test_esc50_has_its_five_categories_of_ten() -> None:
    assert len(ESC50) == 50
    for category in CATEGORIES:
        assert not parents(category), "a top"
        below = {" ".join(name_words(name)) for name in descendants(category)}
        assert sum(" ".join(name_words(label)) in below for label in ESC50) == len(children(category)) == 10, category


def test_every_class_of_audioset_has_a_place(shared: Path) -> None:
    names = (shared / "data" / "audioset_crnn" / "labels.txt").read_text().splitlines()
    assert len(names) == 527
    nowhere = [name for name in names if not parents(name) and not children(name)]
    assert not nowhere, nowhere


def test_nothing_stands_above_itself_or_twice_below_one() -> None:
    edges = read_mapping(bundled("hierarchy.yaml"))
    assert len(edges) > 100
    for parent, below in edges.items():
        assert len({tuple(name_words(name)) for name in below}) == len(below), parent
        assert spelling(parent) not in descendants(parent), parent


def test_ancestors_come_nearest_first() -> None:
    assert parents("Bark") == [
        "Dog",
        "Domestic animals, pets",
        "Canidae, dogs, wolves",
        "animals",
        "Animal",
    ]
    assert parents("rooster")[:2] == ["Chicken, rooster", "Crowing, cock-a-doodle-doo"]
    assert {"Power tool", "Engine"} <= set(parents("chainsaw")), "two parents"
    assert parents("no such sound") == children("no such sound") == descendants("no such sound") == []


@pytest.mark.parametrize("spelt", ["Dishes_pots_and_pans", "dishes, pots & pans", "DISHES, POTS, AND PANS"])
def test_commas_ampersands_and_case_make_no_difference(spelt: str) -> None:
    assert spelling(spelt) == "Dishes, pots, and pans" and parents(spelt) == ["Home", "Sounds of things"]


def test_related_are_above_or_below_but_not_beside() -> None:
    names = ["Animal", "Bark", "Cat", "Dog", "Meow", "Domestic_animals_pets", "no such sound"]
    assert related(names, "dog") == ["Animal", "Bark", "Domestic_animals_pets"]
    assert related(names, "no such sound") == []
    for label in ESC50:
        for name in parents(label):
            assert related([label], name) == [label], "both ways"
