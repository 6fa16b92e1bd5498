"""What runs on the target's device gives what a processor gives; here the same code on a processor, in small blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from and_core.analyze import map as neuron_map
from and_core.dissect import device_statistics, neighbours, products, similarity, statistics


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A device that is not called ``cpu``, of which ten thousand numbers fit into a block."""
    monkeypatch.setattr(similarity, "BLOCK", 10_000)
    return "cpu:0"


def activations(clips: int = 900, neurons: int = 37) -> np.ndarray:
    rng = np.random.default_rng(0)
    u = (rng.standard_normal((clips, 6)) @ rng.standard_normal((6, neurons))).astype(np.float32)
    u += rng.standard_normal(u.shape, np.float32)
    u[:, 3], u[:, 4] = 2.5, u[:, 4].round(0)
    return u


@pytest.mark.parametrize("sourced", [False, True])
def test_statistics_on_a_device_are_those_of_a_processor(elsewhere: str, sourced: bool) -> None:
    u = activations()
    sources = np.arange(900) // 3 if sourced else None
    labels = np.arange(900)[:, None] % 5 == np.arange(6)  # nothing has the sixth
    x = torch.from_numpy(u).to(elsewhere)
    for sign in (1, -1):
        clips, values = device_statistics.extreme(sign * x, sources)
        expected = statistics.extreme(sign * u, sources)
        assert np.array_equal(clips, expected[0]) and np.array_equal(values, expected[1])
    made, exact = device_statistics.moments(x), statistics.moments(u)
    assert made.keys() == exact.keys()
    for name, value in made.items():
        assert np.allclose(value, exact[name], rtol=1e-6, atol=1e-9), name
    assert np.array_equal(device_statistics.histograms(x, 40), statistics.histograms(u, 40))
    means = device_statistics.class_means(x, labels)
    assert np.allclose(means, statistics.class_means(u, labels), atol=1e-5, equal_nan=True)
    assert np.isnan(means[:, 5]).all()


@pytest.mark.parametrize("name", similarity.SIMILARITIES)
def test_scores_on_a_device_are_those_of_a_processor(elsewhere: str, name: str) -> None:
    u = activations()
    features = np.random.default_rng(1).dirichlet(np.ones(12), 900).astype(np.float32)
    parts = [u[:, i : i + 10] for i in range(0, 37, 10)]
    made = similarity.score_in_parts(name, iter(parts), features, elsewhere)
    expected = similarity.score_in_parts(name, iter(parts), features)
    assert np.allclose(np.delete(made, 3, 0), np.delete(expected, 3, 0), rtol=1e-3, atol=1e-3)  # one neuron is dead


def test_axes_and_similar_neurons_on_a_device(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "DIMENSIONS", 24)
    monkeypatch.setattr(neighbours, "CANDIDATES", 12)
    monkeypatch.setattr(neighbours, "BLOCK", 10)
    calls = []
    multiply = products.multiply_on
    monkeypatch.setattr(products, "multiply_on", lambda *given: calls.append(given[0]) or multiply(*given))
    u = activations()
    dead = u.std(0) == 0

    def chunks() -> Iterator[np.ndarray]:
        return (u[i : i + 64] for i in range(0, 900, 64))

    made, exact = (neighbours.alike(chunks, dead, u.mean(0), 6, device) for device in (elsewhere, "cpu"))
    assert set(calls) == {elsewhere}
    assert np.array_equal(made[0], exact[0]) and np.allclose(made[1], exact[1], atol=1e-5, equal_nan=True)
    blocks = lambda: (u.T[i : i + 8] for i in range(0, 37, 8))  # noqa: E731
    axes, same = (neuron_map.leading_axes(blocks, 900, 0, 5, device) for device in (elsewhere, "cpu"))
    assert np.allclose(axes, same, atol=1e-4)
    sums, exact_sums = neuron_map.gram(blocks(), elsewhere), neuron_map.gram(blocks())
    assert np.allclose(sums, exact_sums, rtol=1e-12)
    assert np.allclose(neuron_map.components(sums, 5, elsewhere), neuron_map.components(exact_sums, 5), atol=1e-5)


def test_a_processor_multiplies_by_numpy_alone() -> None:
    assert products.product_on("cpu") is np.matmul
