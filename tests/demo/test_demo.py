"""The embedded default: corpus, captions, shipped weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from and_core.config import PluginConfig
from and_core.corpus import captions
from and_core.corpus import clips as corpus
from and_core.corpus.recipes import CATEGORIES
from and_core.data import bundled
from and_core.datasets.base import DATASETS
from and_core.demo import train_ast, train_beats, train_clap, train_listening
from and_core.demo.train_ast import features
from and_core.demo.training import TEST_FOLD, augment, evaluate, synthesise
from and_core.encoders.base import ENCODERS, TextAudioEncoder
from and_core.listen.faithfulness import fidelity_of
from and_core.listen.listener import load_listener
from and_core.nets.beats import Beats
from and_core.pipeline.listening import BY_DESIGN, POST_HOC
from and_core.targets.base import TARGETS

ESC50 = set(
    "dog rooster pig cow frog cat hen insects sheep crow rain sea_waves crackling_fire crickets chirping_birds "
    "water_drops wind pouring_water toilet_flush "
    "thunderstorm crying_baby sneezing clapping breathing coughing footsteps laughing brushing_teeth snoring "
    "drinking_sipping door_wood_knock mouse_click "
    "keyboard_typing door_wood_creaks can_opening washing_machine vacuum_cleaner clock_alarm clock_tick glass_breaking "
    "helicopter chainsaw siren car_horn "
    "engine train church_bells airplane fireworks hand_saw".split()
)


def test_categories_are_esc50s_own() -> None:
    assert len(CATEGORIES) >= 30 and set(CATEGORIES) <= ESC50
    assert set(captions.NAMES) == set(CATEGORIES)


def test_a_clip_depends_on_its_own_numbers_alone() -> None:
    alone = corpus.make_clip("dog", 3)[0]
    batch = dict(
        zip(
            [("dog", i, 0) for i in range(5)],
            corpus.make_many([("dog", i, 0) for i in range(5)], processes=1),
            strict=True,
        )
    )
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


RECIPES = {
    "ast": train_ast.ASTRecipe,
    "beats-frozen": train_beats.BeatsRecipe,
    "beats-finetuned": train_beats.BeatsRecipe,
    "small-clap": train_clap.ClapRecipe,
}


def report_of(name: str) -> dict:
    return json.loads((bundled("weights") / name / "recipe.json").read_text())


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_weights_are_what_their_recipe_says(name: str) -> None:
    report, weights = report_of(name), bundled("weights") / name / "model.safetensors"
    assert weights.stat().st_size < 3_000_000
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == report["sha256"]
    assert (
        json.loads(json.dumps(asdict(RECIPES[name]()))) == report["recipe"]
        and 500_000 < report["parameters"] < 1_200_000
    )
    clips = report["clips"]
    assert clips["test_fold"] == TEST_FOLD and clips["fingerprint"] == corpus.fingerprint(
        clips["extra_per_category"], clips["seed"]
    )
    assert clips["seed"] != 0, "training draws other clips than the probing corpus"


def test_the_three_training_strategies_stand_in_the_papers_order() -> None:
    frozen, tuned, supervised = (report_of(n)["test_accuracy"] for n in ("beats-frozen", "beats-finetuned", "ast"))
    assert tuned >= 0.8 and supervised >= 0.9 and tuned > frozen
    assert frozen >= report_of("beats-frozen")["test_accuracy_of_random_weights_frozen"] + 0.1


@pytest.fixture(scope="module")
def held_out() -> tuple[list[np.ndarray], list[str]]:
    """Clips of the fold that nothing was trained on, and their labels."""
    dataset = DATASETS.create(PluginConfig(kind="synthetic"))
    refs = [r for r in dataset.references() if r.fold == TEST_FOLD]
    return [dataset.read(r)[0] for r in refs], [str(r.label) for r in refs]


@pytest.mark.parametrize(("name", "kind", "checkpoint"), [
    ("ast", "ast", "demo"), ("beats-finetuned", "beats", "demo-finetuned"), ("beats-frozen", "beats", "demo-frozen")
])  # fmt: skip
def test_shipped_networks_reach_their_stated_accuracy_on_the_held_out_fold(
    name: str, kind: str, checkpoint: str, held_out: tuple
) -> None:
    waves, labels = held_out
    target = TARGETS.create(PluginConfig(kind=kind, checkpoint=checkpoint))
    target.load("cpu")
    with torch.inference_mode():
        predicted = target.forward(target.features(waves)).argmax(1)
    names = target.classes or []
    accuracy = np.mean([names[int(p)] == label for p, label in zip(predicted, labels, strict=True)])
    assert abs(accuracy - report_of(name)["test_accuracy"]) <= 0.02


def test_the_frozen_network_is_the_fine_tuned_one_before_tuning() -> None:
    frozen, tuned = (
        load_file(bundled("weights") / name / "model.safetensors") for name in ("beats-frozen", "beats-finetuned")
    )
    assert frozen.keys() == tuned.keys() and not torch.equal(
        frozen["beats.encoder.layers.0.fc1.weight"], tuned["beats.encoder.layers.0.fc1.weight"]
    )


def test_shipped_text_audio_encoder_hears_what_it_says(held_out: tuple) -> None:
    waves, labels = held_out
    encoder = ENCODERS.create(PluginConfig(kind="small_clap"))
    assert isinstance(encoder, TextAudioEncoder)
    heard = encoder.encode_audio(waves)
    named = (heard @ encoder.encode([c.replace("_", " ") for c in corpus.CATEGORIES]).T).argmax(1)
    accuracy = np.mean([corpus.CATEGORIES[i] == label for i, label in zip(named, labels, strict=True)])
    figures = report_of("small-clap")["retrieval"]
    assert abs(accuracy - figures["classes_named"]) <= 0.02 and accuracy > 0.5 and figures["text_to_audio_r10"] > 0.5


def test_a_few_steps_of_every_recipe_learn(tmp_path: Path) -> None:
    """Pre-training, linear classifier, fine-tuning and contrast on a handful of clips: losses fall, weights come out as
    they are read."""
    categories = ("dog", "rain", "siren")
    sounds = synthesise(extra=8, seed=5, categories=categories)
    assert sounds.waves.shape == (99, corpus.SAMPLES) and int(sounds.test.sum()) == 15 and all(sounds.captions)
    recipe = train_beats.BeatsRecipe(
        layers=1, width=32, mlp=48, heads=2, batch=16, pretrain_epochs=10, finetune_epochs=6, finetune_batch=16
    )
    x = train_beats.features(sounds.waves, recipe.mel_bins)
    (train_x, train_y), (test_x, test_y) = sounds.split(x)
    losses: list[float] = []
    beats = train_beats.pretrain(
        train_x, recipe, lambda stage, done, total: losses.append(float(stage.split("loss ")[1].split(",")[0]))
    )
    assert np.mean(losses[-2:]) < losses[0]  # processors differ in the last digits of half precision
    again = train_beats.pretrain(train_x, recipe)
    assert all(
        torch.equal(a, b) for a, b in zip(beats.state_dict().values(), again.state_dict().values(), strict=True)
    ), "the same seed, the same weights"
    frozen = train_beats.linear_classifier(beats, train_x, train_y, recipe, 3)
    assert all(
        torch.equal(a, b) for a, b in zip(frozen.beats.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert evaluate(frozen, test_x, test_y) > 0.5
    train_beats.finetune(frozen, train_x, train_y, recipe)
    train_beats.save(frozen, tmp_path / "net", recipe, {}, categories)
    target = TARGETS.create(PluginConfig(kind="beats", checkpoint=str(tmp_path / "net")))
    target.load("cpu")
    with torch.inference_mode():
        logits = target.forward(target.features([sounds.waves[0].astype(np.float32) / 32768]))
        assert torch.allclose(logits, frozen(x[:1]), atol=5e-2), "float16 on disk"
    minilm = ENCODERS.create(PluginConfig(kind="minilm", model="bundled"))
    report = train_clap.train(
        tmp_path / "clap", sounds, again, minilm, recipe.mel_bins, train_clap.ClapRecipe(epochs=2, batch=16, width=16)
    )
    encoder = ENCODERS.create(PluginConfig(kind="small_clap", checkpoint=str(tmp_path / "clap")))
    assert isinstance(encoder, TextAudioEncoder)
    assert (
        encoder.encode_audio([sounds.waves[0].astype(np.float32) / 32768]).shape == (1, 16)
        and report["retrieval"]["clips"] == 15
    )


def test_predicting_masked_patches_sees_no_masked_patch() -> None:
    recipe = train_beats.BeatsRecipe(layers=1, width=32, mlp=48, heads=2)
    torch.manual_seed(0)
    model = train_beats.MaskedPrediction(Beats(train_beats.network_config(recipe)), recipe).eval()
    x = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    order = torch.rand(2, 16, generator=torch.Generator().manual_seed(3)).argsort(1)
    hidden = order[:, 4:]
    changed = x.clone()
    for row, tokens in enumerate(hidden):
        for token in tokens.tolist():
            changed[row, token // 4 * 16 : token // 4 * 16 + 16, token % 4 * 16 : token % 4 * 16 + 16] = 7.0
    seen: list[torch.Tensor] = []
    model.decoder.register_forward_hook(lambda m, a, o: seen.append(o))
    with torch.inference_mode():
        for variant in (x, changed):
            model(variant, torch.Generator().manual_seed(3))
    assert torch.allclose(seen[0], seen[1], atol=1e-5), "what is masked must not reach the prediction"
    assert (model.targets(x) != model.targets(changed)).any()


def test_augmentation_keeps_shape_and_is_seeded() -> None:
    x = torch.randn(4, 300, 64, generator=torch.Generator().manual_seed(0))
    one, two = (augment(x, torch.Generator().manual_seed(1), 3.0, 5.0) for _ in range(2))
    assert one.shape == x.shape and torch.equal(one, two)
    still = augment(x, torch.Generator().manual_seed(1), 0.0, 5.0)
    assert (still == 0).any()
    assert features(np.zeros((2, 8_000), np.int16), 64, 300).shape == (2, 300, 64)


def test_evaluate_counts_hits() -> None:
    class Echo(torch.nn.Module):
        def forward(self, x: torch.Tensor):
            return type("Out", (), {"logits": x})

    assert evaluate(Echo(), torch.eye(4), torch.tensor([0, 1, 2, 0])) == 0.75


def test_weights_hold_no_pickle() -> None:
    files = [path for path in bundled("weights").rglob("*") if path.is_file()]
    assert len(files) >= 13 and {path.suffix for path in files} == {".json", ".safetensors"}


def test_shipped_listeners_are_what_their_recipe_says(held_out: tuple) -> None:
    waves, labels = held_out
    report, folder = report_of("listening"), bundled("weights") / "listening"
    files = {name: folder / name / "listener.safetensors" for name in (POST_HOC, BY_DESIGN)}
    assert sum(f.stat().st_size for f in files.values()) <= 3_000_000
    assert {name: hashlib.sha256(f.read_bytes()).hexdigest() for name, f in files.items()} == report["sha256"]
    target = TARGETS.create(PluginConfig(kind="ast", checkpoint="demo"))
    target.load("cpu")
    assert report["network"] == target.fingerprint()[:16] and report["clips"]["test_fold"] == TEST_FOLD
    assert report["recipe"] == train_listening.CONFIG.model_dump(mode="json", exclude={"weights"}) | {
        "seed": train_listening.SEED
    }
    names = target.classes or []
    stacked = np.stack(waves)
    assert (
        abs(
            fidelity_of(load_listener(files[POST_HOC].parent, target), stacked)["top-1"]
            - report["test_fidelity"]["top-1"]
        )
        <= 0.02
    )
    predicted = load_listener(files[BY_DESIGN].parent, target).predict(stacked).argmax(1)
    accuracy = np.mean([names[int(p)] == label for p, label in zip(predicted, labels, strict=True)])
    assert abs(accuracy - report["test_accuracy"][BY_DESIGN]) <= 0.02
