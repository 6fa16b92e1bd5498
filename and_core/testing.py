"""Contracts of plug-ins, to be run over one of your own as the package runs them over every one of its entries.

Each function raises :class:`AssertionError` with what does not hold. They need nothing but the plug-in; see
`examples/plugin`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from and_core.captioners.base import Captioner, ListeningCaptioner
from and_core.datasets.base import Dataset
from and_core.dissect.summarize import CaptionTexts, Summarizer
from and_core.encoders.base import TextAudioEncoder, TextEncoder
from and_core.llms.base import Ask, LanguageModel, Question
from and_core.registry import Plugin
from and_core.reply import Reply
from and_core.targets.base import Target

SECONDS = (1.0, 0.7)
TEXTS = ("", "a dog barks", "a dog barks loudly, far away " * 40, "rain")


def noise(rate: int, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Return a waveform (samples,) of noise, alike on every call."""
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def check_plugin(make: Callable[[], Plugin[Any]]) -> Plugin[Any]:
    """Check what holds for a plug-in of any kind, and return one.

    Parameters
    ----------
    make : callable
        Gives the plug-in, made anew with the same settings at each call.
    """
    one, other = make(), make()
    assert one.kind, f"{type(one).__name__} has no kind"
    assert isinstance(one.settings, type(one).Settings), (
        f"{one.kind}: its settings are no {type(one).Settings.__name__}"
    )
    assert one.identifying_settings() == other.identifying_settings(), (
        f"{one.kind}: the same settings identify two things"
    )
    assert isinstance(one.settings.reaches(), list), f"{one.kind}: `reaches` gives no list"
    fingerprints = [str(plugin.fingerprint()) for plugin in (one, other)]  # type: ignore[attr-defined]
    assert fingerprints[0] == fingerprints[1], f"{one.kind}: its fingerprint changes from one making to the next"
    line = one.describe()  # type: ignore[attr-defined]
    assert isinstance(line, str) and line and "\n" not in line, (
        f"{one.kind}: `describe` must give one line, it gives {line!r}"
    )
    return one


def check_dataset(make: Callable[[], Dataset[Any]]) -> Dataset[Any]:
    """Check a dataset: clips in one order, names of their own, sound that can be read twice, counts that fit."""
    dataset: Any = check_plugin(make)
    refs = dataset.references()
    names = [ref.name for ref in refs]
    assert refs, "there are no clips"
    assert names == [ref.name for ref in dataset.references()] == [ref.name for ref in make().references()], (
        "clips change their order"
    )
    assert len(set(names)) == len(names), "two clips have one name"
    wave, rate = dataset.read(refs[0])
    assert wave.ndim == 1 and wave.dtype == np.float32 and len(wave), (
        f"a clip is {wave.dtype} of shape {wave.shape}, not mono float32"
    )
    assert np.isfinite(wave).all() and np.abs(wave).max() <= 1, "a clip is not finite, or beyond full scale"
    assert rate >= 8_000, f"a clip's rate is {rate} Hz"
    assert np.array_equal(wave, dataset.read(refs[0])[0]), "a clip is read in two ways"
    assert dataset.provenance in ("computed", "imported", "synthetic"), f"provenance={dataset.provenance!r}"
    counts, missing = dataset.check()
    assert counts["clips"] == len(refs), "`check` counts other clips than there are"
    assert counts["classes"] == len({label for ref in refs for label in ref.labels}), (
        "`check` counts other classes than there are"
    )
    assert set(missing) <= set(names), "`check` misses files that are no clips"
    for what, count in dataset.passed_over().items():
        assert isinstance(what, str) and count > 0, f"passed over: {what!r}: {count!r}"
    return dataset


def check_target(make: Callable[[], Target[Any]]) -> Target[Any]:
    """Check a target: layers in the order in which they run, activations of one clip that depend on no other, logits
    beside them."""
    import torch

    from and_core.targets.company import check_company
    from and_core.targets.hooks import Capture

    target: Any = check_plugin(make)
    target.load("cpu")
    points, layers = target.hook_points(), target.layers()
    assert layers and list(points) == [layer.name for layer in layers], "`layers` and `hook_points` differ"
    offsets = np.cumsum([0, *(layer.size for layer in layers)])
    assert [layer.offset for layer in layers] == offsets[:-1].tolist(), (
        "offsets do not count the neurons before a layer"
    )
    clips = [noise(target.sample_rate, seconds, seed) for seed, seconds in enumerate(SECONDS)]
    with Capture(points, target.pool) as capture:
        logits = capture.run(lambda: target.forward(target.features(clips)))
    for layer in layers:
        values = capture.outputs.get(layer.name)
        assert values is not None, f"layer {layer.name} never runs"
        assert tuple(values.shape) == (len(clips), layer.size), (
            f"layer {layer.name} gives {tuple(values.shape)} for {len(clips)} clips"
        )
        assert torch.isfinite(values).all(), f"layer {layer.name} gives NaN or infinite values"
    if target.classes is not None and logits is not None:
        assert logits.shape == (len(clips), len(target.classes)), (
            f"{tuple(logits.shape)} logits for {len(target.classes)} classes"
        )
    assert 0 < target.heard_seconds(100.0) <= 100.0, "it hears more than there is"
    times, hz = target.map_edges(2, 4, 1.0)
    assert len(times) == 5 and np.all(np.diff(times) > 0), "edges in time do not rise"
    assert hz is None or (len(hz) == 3 and np.all(np.diff(hz) > 0)), "edges in frequency do not rise"
    check_company(target, SECONDS[0])
    return target


def check_captioner(
    make: Callable[[], Captioner[Any]], rows: list[dict[str, Any]], listen: Callable[[Any], list[Reply]] | None = None
) -> Captioner[Any]:
    """Check a captioner: a text or None for each clip, the same twice, remarks that depend on the rows alone.

    Parameters
    ----------
    rows : list of dict
        Rows of a clips table that the captioner can describe: ``name``, ``label``, ``level`` and the like.
    listen : callable, optional
        Gives a listening captioner's replies, one a row; by default it hears noise.
    """
    captioner: Any = check_plugin(make)
    hear = listen or (lambda one: hear_noise(one, len(rows)))
    texts = captioner.captions(rows, hear)
    assert len(texts) == len(rows), f"{len(texts)} captions for {len(rows)} clips"
    assert all(text is None or (isinstance(text, str) and text.strip()) for text in texts), (
        "a caption is neither a text nor None"
    )
    assert any(texts), "it says nothing of any clip"
    assert texts == captioner.captions(rows, hear), "it says something else the second time"
    assert len(captioner.every(rows, hear)) == len(rows), "`every` does not give a list for each clip"
    assert make().notes(rows) == captioner.notes(rows), "remarks depend on having captioned, not on the rows alone"
    return captioner


def hear_noise(captioner: ListeningCaptioner[Any], count: int) -> list[Reply]:
    """Return a listening captioner's replies to some clips of noise, in order; each must come once."""
    waves = [noise(captioner.sample_rate, 1.0, seed) for seed in range(count)]
    replies = list(captioner.replies(iter(waves)))
    assert sorted(number for number, _ in replies) == list(range(count)), "a clip is answered twice or not at all"
    return [reply for _, reply in sorted(replies, key=lambda pair: pair[0])]


def check_encoder(
    make: Callable[[], TextEncoder[Any]], texts: Sequence[str] = TEXTS, atol: float = 1e-5
) -> TextEncoder[Any]:
    """Check a text encoder: unit vectors that depend on no other text; of one that hears, the same for clips."""
    encoder: Any = check_plugin(make)
    vectors = encoder.encode(list(texts))
    assert vectors.dtype == np.float32 and len(vectors) == len(texts), (
        f"{len(texts)} texts give {vectors.dtype} of shape {vectors.shape}"
    )
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4), "vectors are not of unit length"
    assert np.allclose(encoder.encode(list(texts[::-1])), vectors[::-1], atol=atol), (
        "a text's vector depends on the order of texts"
    )
    assert np.allclose(encoder.encode([texts[1]])[0], vectors[1], atol=atol), "a text's vector depends on the others"
    assert encoder.encode([]).shape == (0, vectors.shape[1]), "no texts must give no rows"
    if isinstance(encoder, TextAudioEncoder):
        waves = [noise(encoder.sample_rate, seconds, seed) for seed, seconds in enumerate((*SECONDS, 11.0))]
        sounds = encoder.encode_audio(waves)
        assert sounds.dtype == np.float32 and sounds.shape == (len(waves), vectors.shape[1]), (
            "clips and texts do not lie in one space"
        )
        assert np.allclose(np.linalg.norm(sounds, axis=1), 1, atol=1e-4), "a clip's vector is not of unit length"
        for i in (2, 0, 1):
            assert np.allclose(encoder.encode_audio([waves[i]])[0], sounds[i], atol=atol), (
                "a clip's vector depends on others, or on chance"
            )
    return encoder


def check_language_model(make: Callable[[], LanguageModel[Any]]) -> LanguageModel[Any]:
    """Check a language model: every question is answered once, with a text or an error; greedy answers stay.

    Keys tell questions apart.
    """
    model: Any = check_plugin(make)
    questions = [Question(f"say {'very ' * i}something", max_tokens=8) for i in range(7)]
    replies = dict(model.answer(iter(questions)))
    assert sorted(replies) == list(range(len(questions))), "a question is answered twice or not at all"
    assert all((reply.text is None) != (reply.error is None) for reply in replies.values()), (
        "a reply is a text or an error"
    )
    assert any(reply.text for reply in replies.values()), "it answers nothing"
    assert dict(make().answer(questions)) == replies, "greedy answers change"
    others = [Question("x"), Question("x", sample=1), Question("x", temperature=1.0), Question("x", max_tokens=9)]
    assert len({model.key(question) for question in (*questions, *others)}) == len(questions) + len(others), (
        "two questions have one key"
    )
    return model


def check_summarizer(make: Callable[[], Summarizer[Any]], ask: Ask | None = None) -> Summarizer[Any]:
    """Check a summariser: a summary for each row of clips, points of at most so many clips, the same twice.

    Parameters
    ----------
    ask : callable, optional
        Gives replies to questions; by default each is answered with one point.
    """
    summarizer: Any = check_plugin(make)
    texts = CaptionTexts(
        clauses=["a dog barks", "rain falls"],
        embeddings=np.eye(2, dtype=np.float32),
        clip_clauses=np.array([[0], [0], [1], [0]], np.int32),
        values=[("loudness", "loud")],
        clip_values=np.array([[True], [True], [False], [True]]),
        captions=["A dog barks loudly.", "A loud dog barks.", "Rain falls.", ""],
        prompts={"summary": "What do these $count have in common?\n$captions"},
    )
    clips = np.array([[0, 1, 3], [2, 0, -1], [-1, -1, -1]])
    answer = ask or (lambda questions: [Reply("1. a dog barks", None) for _ in questions])
    summaries = summarizer.summarize(texts, clips, answer)
    assert len(summaries) == len(clips), f"{len(summaries)} summaries for {len(clips)} neurons"
    for row, summary in zip(clips, summaries, strict=True):
        there = int((row >= 0).sum())
        assert there or not summary.points, "no clips have nothing in common"
        for point in summary.points:
            assert point.text.strip() and point.of <= there, f"a point of {point.of} clips where there are {there}"
            assert point.count is None or point.count <= point.of, f"{point.count} of {point.of} clips"
    assert summaries == summarizer.summarize(texts, clips, answer), "it says something else the second time"
    if summarizer.asks:
        assert all(isinstance(question, Question) for question in summarizer.requests(texts, clips)), (
            "requests are no questions"
        )
    return summarizer
