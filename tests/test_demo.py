"""The embedded default: corpus, captions, shipped weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from and_core.config import PluginConfig
from and_core.datasets.base import DATASETS
from and_core.demo import captions, corpus
from and_core.demo.recipes import CATEGORIES
from and_core.demo.train_ast import TEST_FOLD, Recipe, augment, evaluate, features
from and_core.targets.ast import DEMO
from and_core.targets.base import TARGETS

ESC50 = set(
    "dog rooster pig cow frog cat hen insects sheep crow rain sea_waves crackling_fire crickets chirping_birds water_drops wind pouring_water toilet_flush "
    "thunderstorm crying_baby sneezing clapping breathing coughing footsteps laughing brushing_teeth snoring drinking_sipping door_wood_knock mouse_click "
    "keyboard_typing door_wood_creaks can_opening washing_machine vacuum_cleaner clock_alarm clock_tick glass_breaking helicopter chainsaw siren car_horn "
    "engine train church_bells airplane fireworks hand_saw".split()
)


def test_categories_are_esc50s_own() -> None:
    assert len(CATEGORIES) >= 30 and set(CATEGORIES) <= ESC50
    assert set(captions.NAMES) == set(CATEGORIES)


def test_a_clip_depends_on_its_own_numbers_alone() -> None:
    alone = corpus.make_clip("dog", 3)[0]
    batch = dict(zip([("dog", i, 0) for i in range(5)], corpus.make_many([("dog", i, 0) for i in range(5)], processes=1), strict=True))
    assert np.array_equal(alone, batch[("dog", 3, 0)][0])
    assert not np.array_equal(alone, corpus.make_clip("dog", 3, seed=1)[0])
    with pytest.raises(ValueError, match="category='unicorn'"):
        corpus.make_clip("unicorn", 0)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_recipe_varies_and_sounds(category: str) -> None:
    made = [corpus.make_clip(category, i) for i in range(3)]
    for wave, truth in made:
        assert wave.shape == (corpus.SAMPLES,) and wave.dtype == np.float32 and np.isfinite(wave).all()
        assert 0.005 < np.abs(wave).max() <= 1
        name = corpus.clip_name(category, truth.index)
        assert truth.fold == int(name[0]) == truth.index % 5 + 1 and name.endswith(f"-{CATEGORIES.index(category)}.wav")
    assert len({t.level_db for _, t in made}) == 3 and len({t.pitch for _, t in made}) == 3


def test_the_listener_fails_as_often_as_stated() -> None:
    draws = np.random.default_rng(0)
    hedged = wrong = 0
    total = 4000
    for i in range(total):
        category = CATEGORIES[i % len(CATEGORIES)]
        said = captions._identity(draws, category)
        named = bool(said) and any(name in said[0] for name in captions.NAMES[category])
        unsure = not said or "might" in said[0] or "could" in said[0] or "Perhaps" in said[0]
        hedged += unsure
        wrong += bool(said) and not named
    assert hedged / total >= 0.2 and wrong / total >= 0.1


def test_captions_have_two_to_five_sentences_and_are_repeatable() -> None:
    from and_core.audio.measures import measure

    seen = set()
    for category in CATEGORIES[::4]:
        wave, truth = corpus.make_clip(category, 1)
        row = {**measure(wave).as_dict(), **corpus.truth_row(truth), "recipe": f"{category}/1/0"}
        text = captions.write_caption(row)
        assert 2 <= text.count(".") <= 6 and text == captions.write_caption(row)
        seen.add(text)
    assert len(seen) == len(CATEGORIES[::4])


def test_shipped_weights_are_what_their_recipe_says() -> None:
    report = json.loads((DEMO / "recipe.json").read_text())
    weights = DEMO / "model.safetensors"
    assert weights.stat().st_size < 3_000_000
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == report["sha256"]
    assert Recipe(**report["recipe"]) == Recipe() and report["test_fold"] == TEST_FOLD and 500_000 < report["parameters"] < 1_000_000
    recipe = Recipe()
    assert report["data"] == corpus.fingerprint(recipe.extra_per_category, recipe.extra_seed)
    assert recipe.extra_seed != 0, "training draws other clips than the probing corpus"


def test_shipped_ast_reaches_its_stated_accuracy_on_the_held_out_fold() -> None:
    report = json.loads((DEMO / "recipe.json").read_text())
    dataset = DATASETS.create(PluginConfig(kind="synthetic"))
    refs = [r for r in dataset.references() if r.fold == TEST_FOLD]
    target = TARGETS.create(PluginConfig(kind="ast"))
    target.load("cpu")
    waves = [dataset.read(r)[0] for r in refs]
    with torch.inference_mode():
        predicted = target.forward(target.features(waves)).argmax(1)
    names = target.classes or []
    accuracy = np.mean([names[int(p)] == r.label for p, r in zip(predicted, refs, strict=True)])
    assert accuracy >= 0.9 and abs(accuracy - report["test_accuracy"]) <= 0.02


def test_augmentation_keeps_shape_and_is_seeded() -> None:
    x = torch.randn(4, 300, 64, generator=torch.Generator().manual_seed(0))
    one, two = (augment(x, Recipe(), torch.Generator().manual_seed(1), 5.0) for _ in range(2))
    assert one.shape == x.shape and torch.equal(one, two)
    still = augment(x, replace(Recipe(), gain_db=0.0), torch.Generator().manual_seed(1), 5.0)
    assert (still == 0).any()
    assert features(np.zeros((2, 8_000), np.int16), 64, 300).shape == (2, 300, 64)


def test_evaluate_counts_hits() -> None:
    class Echo(torch.nn.Module):
        def forward(self, x: torch.Tensor):
            return type("Out", (), {"logits": x})

    assert evaluate(Echo(), torch.eye(4), torch.tensor([0, 1, 2, 0])) == 0.75  # type: ignore[arg-type]


def test_weights_hold_no_pickle() -> None:
    for path in Path(DEMO).iterdir():
        assert path.suffix in (".json", ".safetensors"), path
