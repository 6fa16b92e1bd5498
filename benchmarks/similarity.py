"""The five similarity functions at the paper's scale, against a torch loop over neurons, vectorised over concepts."""

from __future__ import annotations

import math
import sys

import torch

from and_core.dissect.similarity import SIMILARITIES
from benchmarks.report import Row, alone, finish, seconds

NEURONS, CLIPS, SAMPLE, LIMIT_MB = 55_346, 2_000, 60, 6 * 1024


def loop(name: str, t: torch.Tensor, p: torch.Tensor) -> None:
    """The formulas, one neuron at a time; what is the same for all neurons is computed once before."""
    unit = p / p.norm(dim=0)
    cubed = (p - p.mean(0)) ** 3
    cubed = cubed / cubed.norm(dim=0).clamp_min(1e-3)
    soft2, soft10 = torch.log(torch.softmax(2 * p, 1) + 1e-7), torch.softmax(10 * p, 1)
    member = 0.998 - 0.028 * torch.arange(100) / 100
    n = math.floor(0.05 * len(t))
    for u in t.T:
        if name == "cos":
            u / u.norm() @ unit
        elif name == "cos_cubed":
            c = (u - u.mean()) ** 3
            c / c.norm().clamp_min(1e-3) @ cubed
        elif name == "rank_reorder":
            top, index = u.topk(n)
            q = p[index]
            j = q.argsort(0)
            e = ((top[:, None] - top.flip(0)[j]).abs() ** 3).mean(0)
            b = ((top[:, None] - top[None]).abs() ** 3).mean()
            -(e / b) / q.mean(0).clamp_min(0).sqrt()
        elif name == "wpmi":
            soft2[u.topk(28).indices].sum(0)
        else:
            torch.log(1 + member[:, None] * (soft10[u.topk(100).indices] - 1) + 1e-7).sum(0)


def one(name: str, concepts: int) -> None:
    """Time one function whole, and the loop on a sample of neurons."""
    rng = torch.Generator().manual_seed(0)
    t = torch.randn(CLIPS, NEURONS, generator=rng)
    p = torch.softmax(torch.randn(CLIPS, concepts, generator=rng), 1)
    sample = t[:, :SAMPLE].contiguous()
    looped = min(seconds(lambda: loop(name, sample, p)) for _ in range(2)) / SAMPLE * NEURONS
    took = seconds(lambda: SIMILARITIES[name](t, p))
    finish(seconds=took, loop=looped)


def rows() -> list[Row]:
    """Rows of the table."""
    found = []
    for concepts in (50, 2000):
        for name in SIMILARITIES:
            r = alone("benchmarks.similarity", name, str(concepts))
            what = f"{name}: {NEURONS:,} neurons x {CLIPS:,} clips x {concepts:,} concepts"
            looped = f"loop {r['loop']:.0f} s (from {SAMPLE} neurons, extrapolated): {r['loop'] / r['seconds']:.1f}x"
            measured = f"{r['seconds']:.1f} s, {r['peak_mb'] / 1024:.1f} GB; {looped}"
            found.append(Row(what, measured, "6 GB", r["peak_mb"] < LIMIT_MB))
    return found


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2]))
