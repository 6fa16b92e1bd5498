"""Several meanings of a neuron, on made data with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_core import open_dissection
from and_core.evaluate.compositions import FORMS, Composition, Predicates, compared, compose, expected_levels, top_two
from and_core.evaluate.ears import rank_shares
from and_core.store.composition import Composed, clips_with, composed
from tests.dashboard import app, page_html

CLIPS, CONCEPTS, WIDTH = 480, 8, 32
NAMES = [f"class_{c}" for c in range(CONCEPTS)]


@pytest.fixture(scope="module")
def world() -> tuple[Predicates, np.ndarray, np.ndarray, np.ndarray]:
    """Clips of eight classes, three adjectives, one category of the first four classes; a layer that hears them."""
    rng = np.random.default_rng(0)
    label = rng.permutation(np.arange(CLIPS) % CONCEPTS)
    of_class = label[:, None] == np.arange(CONCEPTS)
    adjective = rng.random((CLIPS, 3)) < 0.4
    category = of_class[:, :4].any(1, keepdims=True)
    kinds = np.array(["concept"] * CONCEPTS + ["adjective"] * 3 + ["category"])
    predicates = Predicates(
        [*NAMES, "loud", "low", "short", "kind"], kinds, np.concatenate([of_class, adjective, category], 1)
    )
    x = of_class @ rng.standard_normal((CONCEPTS, WIDTH)) + 0.3 * rng.standard_normal((CLIPS, WIDTH))
    first = rng.permutation(CLIPS) < CLIPS // 2
    return predicates, x.astype(np.float32), first, rng.standard_normal((400, CLIPS)).astype(np.float32)


def composition(world, target: np.ndarray, strength: float = 3.0) -> tuple[str, str, str, Composition]:
    predicates, x, first, noise = world
    u = (strength * target + noise[0])[None].astype(np.float32)
    expected = expected_levels(x, predicates.holds[:, :CONCEPTS], first)
    made = compose(u, predicates, first, expected)
    names = [*predicates.names, ""]
    return FORMS[made.form[0]], names[made.first[0]], names[made.second[0]], made


def test_a_second_sense_is_told_with_its_share(world) -> None:
    holds = world[0].holds
    form, one, other, made = composition(world, holds[:, 1] | holds[:, 6])
    assert (form, {one, other}) == ("or", {"class_1", "class_6"})
    assert 0.3 < made.share[0] < 0.7 and made.score[0] > 0.9
    form, one, other, made = composition(world, holds[:, 1] + 0.6 * holds[:, 6])
    assert (form, one, other) == ("or", "class_1", "class_6") and made.share[0] < 0.5


def test_one_sense_is_one_sense(world) -> None:
    form, *_ = composition(world, world[0].holds[:, 1])
    assert form == ""


def test_a_second_concept_that_a_reader_of_the_first_fires_on_too_is_no_second_sense(world) -> None:
    predicates, x, first, noise = world
    u = (3 * (predicates.holds[:, 1] + 0.6 * predicates.holds[:, 6]) + noise[0])[None].astype(np.float32)
    alike = expected_levels(x, predicates.holds[:, :CONCEPTS], first)
    assert np.allclose(np.diag(alike), 1)
    alike[1, 6] = 0.6  # in this layer the two sound alike
    assert FORMS[compose(u, predicates, first, alike).form[0]] == ""


def test_a_category_everything_but_and_conjunctions_are_told(world) -> None:
    holds = world[0].holds
    loud, low = holds[:, CONCEPTS], holds[:, CONCEPTS + 1]
    assert composition(world, holds[:, -1])[:2] == ("category", "kind")
    assert composition(world, -1.0 * holds[:, 2])[:2] == ("not", "class_2")
    assert composition(world, holds[:, 3] * (1 + loud))[:3] == ("and", "class_3", "loud")
    assert composition(world, holds[:, 3] & low)[:3] == ("and", "class_3", "low"), "nothing on the class alone"
    form, one, other, _ = composition(world, loud & low)
    assert (form, {one, other}) == ("both", {"loud", "low"})


def test_an_adjective_says_more_than_two_classes_that_often_have_it(world) -> None:
    predicates, x, first, noise = world
    rng = np.random.default_rng(1)
    loud = predicates.holds[:, [1, 6]].any(1) | (rng.random(CLIPS) < 0.15)
    holds = predicates.holds.copy()
    holds[:, CONCEPTS] = loud
    u = (3.0 * loud + noise[0])[None].astype(np.float32)
    expected = expected_levels(x, holds[:, :CONCEPTS], first)
    heard = Predicates(predicates.names, predicates.kinds, holds)
    assert FORMS[compose(u, heard, first, expected).form[0]] == ""
    deaf = Predicates(predicates.names, predicates.kinds, predicates.holds)
    assert FORMS[compose(u, deaf, first, expected).form[0]] == "or", "without the word the two classes say it"


def test_noise_means_nothing(world) -> None:
    predicates, x, first, noise = world
    made = compose(noise, predicates, first, expected_levels(x, predicates.holds[:, :CONCEPTS], first))
    assert (made.form > 0).mean() <= 0.01


def test_the_order_of_neurons_changes_nothing_and_scale_neither(world) -> None:
    predicates, x, first, noise = world
    u = noise[:20] + 3 * (predicates.holds[:, :CONCEPTS].T.astype(np.float32)[np.arange(20) % CONCEPTS])
    expected = expected_levels(x, predicates.holds[:, :CONCEPTS], first)
    one, back = compose(u, predicates, first, expected), compose(5 * u[::-1] + 2, predicates, first, expected)
    for name in ("form", "first", "second"):
        assert np.array_equal(getattr(one, name), getattr(back, name)[::-1])


def test_without_concepts_adjectives_alone_are_looked_at(world) -> None:
    predicates, _, first, noise = world
    few = Predicates(["loud", "low"], np.array(["adjective"] * 2), predicates.holds[:, CONCEPTS : CONCEPTS + 2])
    u = (3 * few.holds.all(1) + noise[0])[None].astype(np.float32)
    made = compose(u, few, first, np.zeros((0, 0), np.float32))
    assert FORMS[made.form[0]] == "both" and np.isnan(made.alone[0])
    empty = compose(
        u, Predicates([], np.array([], str), np.zeros((CLIPS, 0), bool)), first, np.zeros((0, 0), np.float32)
    )
    assert FORMS[empty.form[0]] == ""


def test_the_strongest_two_are_by_number(world) -> None:
    predicates, _, _, noise = world
    p = compared(noise[:3] + 4 * predicates.holds[:, 5] + 2 * predicates.holds[:, 2], predicates.holds)
    assert top_two(p, predicates.of_kind("concept")).tolist() == [[2, 5]] * 3
    assert np.allclose(p.ranks, rank_shares(p.u))


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Composed("or", "dog", "hand_saw", 0.31, 0.93), "Fires on sounds such as dog; also hand saw (31 %)."),
        (Composed("category", "Animal", "", np.nan, 0.9), "Fires on sounds of a whole category: animal."),
        (Composed("not", "sea_waves", "", np.nan, 0.9), "Fires on everything but sea waves."),
        (Composed("and", "dog", "loud", np.nan, 0.9), "Fires on sounds such as dog, most where they are loud."),
        (Composed("both", "low-pitched", "loud", np.nan, 0.9), "Fires on sounds that are both low-pitched and loud."),
    ],
)
def test_sentences(made: Composed, text: str) -> None:
    assert "".join(part for part, _ in made.parts) == text
    assert "held-out recordings" in made.evidence


def test_the_stage_and_the_page(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    d = open_dissection("small", root=cache)
    table = d.compositions
    assert table.num_rows == d.neuron_count and set(table["form"].to_pylist()) <= {None, *FORMS[1:]}
    assert d.notes("compositions")["concepts_by"] in ("labels", "ears", "nothing")
    for index in range(d.neuron_count):
        made = composed(d, index)
        if made is not None and made.second:
            assert d.headline(d.neuron_id(index)).text.startswith("Fires on")
            assert len(clips_with(d, made.first))
            break
    test = app(dissection="small", layer="layer3_output", unit="5").run()
    assert not test.exception and "Several meanings" in page_html(test)
