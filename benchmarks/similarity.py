"""The five similarity functions at the sizes of layers, beside the way of the authors' code in the same run.

That way takes one neuron at a time: its top clips gathered, vectorised over concepts; the top clips of all neurons, and
the softmax of the features or their norms, are computed once before. `cos` and `cos_cubed` are measured beside a bare
matrix product as well.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable

import torch

from and_core.dissect.similarity import SIMILARITIES
from benchmarks.report import Row, alone, finish, seconds

CLIPS, SAMPLE, REPEATS = 2_000, 128, 9
NEURONS, CONCEPTS = (512, 768, 3_072), (50, 527, 2_000)
LEAST = {"rank_reorder": 8, "wpmi": 4, "soft_wpmi": 4}  # times as fast as the authors' way
MOST_PRODUCTS = 1.3  # of a bare matrix product


def prepared(name: str, t: torch.Tensor, p: torch.Tensor, logs_once: bool = False) -> Callable[[int], object]:
    """Return what takes one neuron's number; what the authors' code computes once is computed here.

    Their `wpmi` takes the logarithms of each neuron's clips anew; with `logs_once` they are taken here.
    """
    if name == "cos":
        unit = p / p.norm(dim=0)
        return lambda r: t[:, r] / t[:, r].norm() @ unit
    if name == "cos_cubed":
        cubed = (p - p.mean(0)) ** 3
        cubed = cubed / cubed.norm(dim=0).clamp_min(1e-3)

        def with_cubes(r: int) -> torch.Tensor:
            c = (t[:, r] - t[:, r].mean()) ** 3
            return c / c.norm().clamp_min(1e-3) @ cubed

        return with_cubes
    count = {"rank_reorder": math.floor(0.05 * len(p)), "wpmi": 28, "soft_wpmi": 100}[name]
    tops, best = torch.topk(t, count, dim=0)
    if name == "rank_reorder":

        def reordered(r: int) -> torch.Tensor:
            top, q = tops[:, r], p[best[:, r]]
            j = q.argsort(0)
            e = ((top[:, None] - top.flip(0)[j]).abs() ** 3).mean(0)
            b = ((top[:, None] - top[None]).abs() ** 3).mean()
            return -(e / b) / q.mean(0).clamp_min(0).sqrt()

        return reordered
    soft = torch.softmax((2 if name == "wpmi" else 10) * p, 1)
    if name == "wpmi":
        if logs_once:
            logs = torch.log(soft + 1e-7)
            return lambda r: logs[best[:, r]].sum(0)
        return lambda r: torch.log(soft[best[:, r]] + 1e-7).sum(0)
    member = 0.998 - 0.028 * torch.arange(100) / 100
    return lambda r: torch.log(1 + member[:, None] * (soft[best[:, r]] - 1) + 1e-7).sum(0)


def loop_seconds(name: str, t: torch.Tensor, p: torch.Tensor, logs_once: bool = False) -> float:
    """Time what is computed once, and one neuron after the other, extrapolated from a sample of them."""
    neurons = t.shape[1]
    began = time.perf_counter()
    of_neuron = prepared(name, t, p, logs_once)
    ready = time.perf_counter()
    for r in range(0, neurons, neurons // SAMPLE):
        of_neuron(r)
    return ready - began + (time.perf_counter() - ready) / len(range(0, neurons, neurons // SAMPLE)) * neurons


def peak_mb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(name: str, concepts: int) -> None:
    """Time one function at every number of neurons, and both things that it is held against, in turns; memory is what
    the first call of the largest adds."""
    SIMILARITIES[name](torch.randn(100, 8), torch.rand(100, 8))  # compiled, or loaded
    rng = torch.Generator().manual_seed(0)
    found = {}
    for neurons in sorted(NEURONS, reverse=True):
        t = torch.randn(CLIPS, neurons, generator=rng)
        p = torch.softmax(torch.randn(CLIPS, concepts, generator=rng), 1)
        before = peak_mb()
        SIMILARITIES[name](t, p)
        added = peak_mb() - before
        turns = [
            (
                seconds(lambda: SIMILARITIES[name](t, p)),  # noqa: B023 - called at once
                loop_seconds(name, t, p),
                loop_seconds(name, t, p, logs_once=True) if name == "wpmi" else math.inf,
                seconds(lambda: t.T @ p),  # noqa: B023
            )
            for _ in range(REPEATS)
        ]
        took, looped, logs_once, product = (min(times) for times in zip(*turns, strict=True))
        bytes_mb = (t.nbytes + p.nbytes + 4 * neurons * concepts) / 2**20
        found[neurons] = {
            "took": took,
            "loop": looped,
            "logs_once": logs_once,
            "product": product,
            "added": added,
            "bytes": bytes_mb,
        }
    finish(sizes=found)


def rows() -> list[Row]:
    """Rows of the table."""
    table = []
    for concepts in CONCEPTS:
        for name in SIMILARITIES:
            sizes = alone("benchmarks.similarity", name, str(concepts))["sizes"]
            for neurons in NEURONS:
                r = sizes[str(neurons)]
                faster, products = r["loop"] / r["took"], r["took"] / r["product"]
                measured = f"{1000 * r['took']:.1f} ms; authors' way {1000 * r['loop']:.0f} ms: {faster:.1f}x"
                if name == "wpmi":
                    measured += f", with its logarithms taken once {r['logs_once'] / r['took']:.1f}x"
                if name in LEAST:
                    limit, held = f"{LEAST[name]}x", faster >= LEAST[name]
                else:
                    measured += f"; {products:.2f} bare matrix products"
                    limit, held = f"{MOST_PRODUCTS} products", products <= MOST_PRODUCTS
                if neurons == max(NEURONS):
                    measured += f"; {r['added']:.0f} MB beside inputs and result of {r['bytes']:.0f} MB"
                    limit, held = limit + ", inputs and result", held and r["added"] <= r["bytes"]
                what = f"{name}: {neurons:,} neurons x {CLIPS:,} clips x {concepts:,} concepts"
                table.append(Row(what, measured, limit, held))
    return table


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2]))
