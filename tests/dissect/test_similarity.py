"""The five similarity functions: golden values, a plain loop of the same formulas, and invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.dissect.similarity import OF_TENSORS, SIMILARITIES, score_as_reference, score_in_parts, top_clips
from and_core.errors import ConfigError


def data(n: int = 60, r: int = 5, m: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = np.exp(rng.standard_normal((n, m)))
    return rng.standard_normal((n, r)).astype(np.float32), (p / p.sum(1, keepdims=True)).astype(np.float32)


def loop(name: str, t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The formulas of the specification, one neuron and one concept at a time, in float64."""
    t, p = t.astype(np.float64), p.astype(np.float64)
    n_clips, n_neurons, n_concepts = len(t), t.shape[1], p.shape[1]
    out = np.zeros((n_neurons, n_concepts))
    soft = lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)  # noqa: E731
    for r in range(n_neurons):
        u = t[:, r]
        order = sorted(range(n_clips), key=lambda i: (-u[i], i))
        for m in range(n_concepts):
            v = p[:, m]
            if name == "cos":
                out[r, m] = u @ v / (np.linalg.norm(u) * np.linalg.norm(v))
            elif name == "cos_cubed":
                a, b = (u - u.mean()) ** 3, (v - v.mean()) ** 3
                out[r, m] = a @ b / (max(np.linalg.norm(a), 1e-3) * max(np.linalg.norm(b), 1e-3))
            elif name == "rank_reorder":
                n = math.floor(0.05 * n_clips)
                top = order[:n]
                q, x = v[top], u[top]
                asc = x[::-1]
                j = np.argsort(q, kind="stable")
                e = np.mean([abs(x[i] - asc[j[i]]) ** 3 for i in range(n)])
                b = np.mean([abs(x[i] - x[k]) ** 3 for i in range(n) for k in range(n)])
                out[r, m] = 0 if b == 0 else -(e / b) / math.sqrt(max(q.mean(), 0))
            elif name == "wpmi":
                q = soft(2 * p)
                out[r, m] = sum(math.log(q[i, m] + 1e-7) for i in order[:28])
            else:
                q = soft(10 * p)
                k = min(100, n_clips)
                out[r, m] = sum(
                    math.log(1 + (0.998 - 0.028 * rank / k) * (q[i, m] - 1) + 1e-7) for rank, i in enumerate(order[:k])
                )
    if name in ("wpmi", "soft_wpmi"):
        lam = 0.6 if name == "wpmi" else 1.0
        prior = np.log(np.exp(out - out.max(0)).sum(0)) + out.max(0) - math.log(n_neurons)
        out -= lam * prior
    return out


@pytest.mark.parametrize("name", SIMILARITIES)
def test_agrees_with_a_plain_loop(name: str) -> None:
    t, p = data()
    assert np.allclose(SIMILARITIES[name](t, p), loop(name, t, p), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_tensors_in_tensors_out(name: str) -> None:
    t, p = data()
    scores = SIMILARITIES[name](torch.from_numpy(t), torch.from_numpy(p))
    assert isinstance(scores, torch.Tensor) and scores.shape == (5, 4)
    arrays = SIMILARITIES[name](t, p)
    assert isinstance(arrays, np.ndarray) and arrays.dtype == np.float32
    assert np.array_equal(arrays, scores.numpy())


@pytest.mark.parametrize("name", SIMILARITIES)
def test_finds_the_concept_that_drives_a_neuron(name: str) -> None:
    rng = np.random.default_rng(1)
    p = np.full((200, 6), 0.02, np.float32)
    p[np.arange(200), rng.integers(0, 6, 200)] = 0.9
    t = np.stack([p[:, m] + 0.05 * rng.standard_normal(200) for m in range(6)], 1).astype(np.float32)
    assert (SIMILARITIES[name](t, p).argmax(1) == np.arange(6)).all()


@given(seed=st.integers(0, 1000), scale=st.floats(0.5, 10), shift=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_invariants(seed: int, scale: float, shift: float) -> None:
    t, p = data(seed=seed)
    for name in ("cos_cubed", "rank_reorder", "wpmi", "soft_wpmi"):
        moved = SIMILARITIES[name]((t * np.float32(scale) + np.float32(shift)).astype(np.float32), p)
        assert np.allclose(moved, SIMILARITIES[name](t, p), rtol=1e-2, atol=1e-2), name
    order = np.random.default_rng(seed).permutation(len(t))
    for name in ("cos", "cos_cubed"):
        assert np.allclose(SIMILARITIES[name](t[order], p[order]), SIMILARITIES[name](t, p), atol=1e-4), name


def test_blocks_do_not_change_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    t, p = data(200, 40, 30)
    whole = {name: f(t, p) for name, f in SIMILARITIES.items()}
    import and_core.dissect.similarity as module

    monkeypatch.setattr(module, "BLOCK", 3000)
    for name, f in SIMILARITIES.items():
        assert np.allclose(f(t, p), whole[name], atol=1e-5), name


def test_the_rank_variant_and_its_corner_cases() -> None:
    t, p = data(100, 3, 3)
    assert not np.allclose(SIMILARITIES["rank_reorder"](t, p), SIMILARITIES["rank_reorder"](t, p, variant="rank"))
    with pytest.raises(ConfigError, match="at least 20 clips"):
        SIMILARITIES["rank_reorder"](*data(19))
    with pytest.raises(ConfigError, match="variant='x'"):
        SIMILARITIES["rank_reorder"](t, p, variant="x")
    flat = SIMILARITIES["rank_reorder"](np.ones((100, 1), np.float32), p)
    assert (flat == 0).all()
    assert np.isneginf(SIMILARITIES["rank_reorder"](t, -p)).all()


def test_scoring_one_neuron_at_a_time_leaves_soft_wpmi_nothing() -> None:
    t, p = data()
    assert np.allclose(SIMILARITIES["soft_wpmi"](t[:, :1], p), 0, atol=1e-5)


def test_reference_scoring_is_one_neuron_at_a_time() -> None:
    t, p = data()
    assert np.allclose(score_as_reference("cos", t, p), SIMILARITIES["cos"](t, p), atol=1e-5)
    assert np.allclose(score_as_reference("soft_wpmi", t, p), 0, atol=1e-5)
    alone = score_as_reference("wpmi", t, p)
    assert np.allclose(alone, 0.4 * (SIMILARITIES["wpmi"](t, p, lam=0.0)), rtol=1e-3)  # the prior is the neuron itself
    tops = top_clips(torch.from_numpy(t), 5).numpy()
    few = score_as_reference("cos", t, p, tops)
    assert np.allclose(few[2], SIMILARITIES["cos"](t[tops[2], 2:3], p[tops[2]])[0], atol=1e-6)


def test_shapes_that_do_not_fit_are_refused() -> None:
    t, p = data()
    with pytest.raises(ConfigError, match="same N"):
        SIMILARITIES["cos"](t[:-1], p)


@given(seed=st.integers(0, 200), k=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_top_clips_break_ties_by_index(seed: int, k: int) -> None:
    u = np.random.default_rng(seed).integers(0, 6, (12, 5)).astype(np.float32)
    expected = np.argsort(-u, axis=0, kind="stable")[:k].T
    assert np.array_equal(top_clips(torch.from_numpy(u), k).numpy(), expected)


@pytest.mark.parametrize("name", SIMILARITIES)
@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_tensors_of_a_gpu_and_compiled_loops_agree(name: str, seed: int) -> None:
    t, p = data(120, 7, 9, seed)
    t, p = t.round(1), p.round(2)  # ties among clips and among features
    whole = OF_TENSORS[name](torch.from_numpy(t), torch.from_numpy(p)).numpy()
    made = SIMILARITIES[name](t, p)
    assert np.array_equal(np.isneginf(made), np.isneginf(whole))
    assert np.allclose(made, whole, rtol=1e-3, atol=1e-3)  # the tensors' soft_wpmi rounds memberships to float32


def test_many_clips_and_other_powers() -> None:
    rng = np.random.default_rng(0)
    t, p = rng.standard_normal((3000, 5)).astype(np.float32), rng.random((3000, 600)).astype(np.float32)
    for options in ({}, {"p": 2.0}, {"variant": "rank"}, {"variant": "rank", "p": 2.0, "scale_p": 1.0}):
        made = SIMILARITIES["rank_reorder"](t, p, **options)
        whole = OF_TENSORS["rank_reorder"](torch.from_numpy(t), torch.from_numpy(p), **options)
        assert np.allclose(made, whole.numpy(), rtol=1e-4), options
    for name in ("cos_cubed", "wpmi", "soft_wpmi"):
        assert np.allclose(SIMILARITIES[name](t, p)[:, 512:], loop(name, t, p[:, :])[:, 512:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_the_same_bytes_on_any_number_of_threads(name: str) -> None:
    t, p = data(700, 1100, 70)
    threads = torch.get_num_threads()
    try:
        made = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            made.append(SIMILARITIES[name](t, p).tobytes())
    finally:
        torch.set_num_threads(threads)
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("name", SIMILARITIES)
def test_neurons_in_parts_share_one_prior(name: str) -> None:
    t, p = data(100, 30, 6)
    parts = score_in_parts(name, (t[:, i : i + 7] for i in range(0, 30, 7)), p)
    assert np.allclose(parts, SIMILARITIES[name](t, p), atol=1e-5)
    if name in ("wpmi", "soft_wpmi"):
        assert not np.allclose(parts[:7], SIMILARITIES[name](t[:, :7], p), atol=1e-3)


def test_loops_are_compiled_where_no_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    from and_core.dissect import similarity_kernels

    plain, tried = numba.njit, []

    def njit(*arguments, cache=False, **options):
        tried.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(*arguments, **options)

    monkeypatch.setattr(similarity_kernels.numba, "njit", njit)
    double = similarity_kernels.compiled("int64(int64)")(lambda x: 2 * x)
    assert double(4) == 8 and tried == [True, False]


@given(
    seed=st.integers(0, 1000),
    k=st.sampled_from([1, 10, 28, 100]),
    kind=st.sampled_from(["normal", "ties", "mostly equal", "sorted", "constant"]),
)
@settings(max_examples=25, deadline=None)
def test_top_clips_among_many_are_exact_whatever_the_sample_says(seed: int, k: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((700, 9)).astype(np.float32)
    if kind == "ties":
        u = u.round(1)
    if kind == "mostly equal":
        u = np.maximum(u, 1.9)
    if kind == "sorted":
        u = np.sort(u, axis=0)[:: rng.choice([1, -1])].copy()
    if kind == "constant":
        u[:] = [0.0, -0.0, 1, -1, np.inf, -np.inf, 2, 3, 4]
    u[::8, 0] = -5  # what the sample sees of one neuron is not what it is
    u[::8, 1] = 5
    expected = np.argsort(-u, axis=0, kind="stable")[:k].T
    assert np.array_equal(top_clips(torch.from_numpy(u), k).numpy(), expected)
