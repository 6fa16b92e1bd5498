"""Neuron switches in Chromium on 55,346 neurons x 2,000 different clips of 5 s, made for the purpose by the real
pipeline."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import Any

import numpy as np
import torch

from and_core import pipeline, registry
from and_core.audio.decode import resample
from and_core.config import RunConfig, make_config
from and_core.corpus.clips import make_clip
from and_core.corpus.recipes import CATEGORIES
from and_core.datasets.base import DATASETS, ClipRef, Dataset
from and_core.store.files import cache_root
from and_core.targets.base import TARGETS, Target
from benchmarks.report import ROOT, Row, alone, finish

NAME, SWITCHES, RATE = "bench-55k", 60, 44_100
SIZES = [
    (f"layer{i}_{kind}", size)
    for i in range(12)
    for kind, size in (("attention_output", 768), ("intermediate", 3072), ("output", 768))
] + [("fc", 50)]
TEXT_MS, MEDIA_MS = 150, 350


@DATASETS.register
class BenchClips(Dataset):
    """2,000 clips of 5 s at 44.1 kHz, each made of two synthetic ones of its category."""

    kind = "bench_clips"
    provenance = "synthetic"

    class Settings(registry.Settings):
        """None."""

    def references(self) -> list[ClipRef]:
        """50 clips of each category."""
        return [
            ClipRef(f"{c}-{i}.wav", c, i % 5 + 1, f"{c}-{i}", None, {"recipe": f"{c}/{i}/0"})
            for c in CATEGORIES
            for i in range(2000 // len(CATEGORIES))
        ]

    def read(self, ref: ClipRef) -> tuple[np.ndarray, int]:
        """Two clips in a row, cut at 5 s."""
        category, index, _ = str(ref.extra["recipe"]).split("/")
        wave = np.concatenate([make_clip(category, int(index), seed)[0] for seed in (0, 1)])[: 5 * 16_000]
        return resample(wave, 16_000, RATE), RATE

    def fingerprint(self) -> str:
        """Version."""
        return "1"

    def describe(self) -> str:
        """One line for provenance."""
        return "clips made for the benchmark"


@TARGETS.register
class BenchNetwork(Target):
    """Random linear layers of the paper's sizes on a clip's mean log spectrum:
    the store's contents, not a network's."""

    kind = "bench_network"

    def fingerprint(self) -> str:
        """Version."""
        return "1"

    def describe(self) -> str:
        """One line for provenance."""
        return "random layers of the paper's sizes, made for the benchmark"

    def load(self, device: str) -> None:
        """Draw the weights."""
        torch.manual_seed(0)
        self.net = torch.nn.ModuleDict({name: torch.nn.Linear(64, size) for name, size in SIZES})

    @property
    def classes(self) -> list[str]:
        """Names of the last layer's units."""
        return [f"unit {i}" for i in range(50)]

    def all_modules(self) -> dict[str, torch.nn.Module]:
        """The layers."""
        return dict(self.net.items())

    def features(self, waves: list[np.ndarray]) -> torch.Tensor:
        """(B, 64) mean log power in 64 bands, centred."""
        bands = [
            np.log1p(1e3 * np.abs(np.fft.rfft(w)))[: len(w) // 4 // 64 * 64].reshape(64, -1).mean(1) for w in waves
        ]
        x = torch.from_numpy(np.stack(bands).astype(np.float32))
        return x - x.mean(1, keepdim=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """All layers side by side."""
        return [layer(features) for layer in self.net.values()][-1]


def bench_config() -> RunConfig:
    """55,346 neurons x 2,000 clips."""
    return make_config(
        {
            "name": NAME,
            "dataset": {"kind": "bench_clips"},
            "target": {"kind": "bench_network"},
            "captions": {"kind": "acoustic"},
            "encoder": {"kind": "minilm", "model": "bundled"},
        }
    )


def build() -> None:
    """The dissection; resumes and is kept in the cache."""
    config = bench_config()
    seen: dict[str, float] = {}

    def progress(stage: str, done: int, total: int) -> None:
        seen.setdefault(stage, time.time())
        if done == total:
            print(f"{stage}: {time.time() - seen[stage]:.0f} s", file=sys.stderr, flush=True)

    began = time.time()
    outcome = pipeline.run(config, progress=progress)
    finish(seconds=time.time() - began, computed=outcome.computed)


SWITCH = """(before) => new Promise((resolve) => {
  const began = window.andKeyAt; let text = null;
  const look = () => {
    const parts = [...document.querySelectorAll('[data-and-neuron]')].map((e) => e.dataset.andNeuron);
    const images = [...document.querySelectorAll('.and-pic img')];
    const whole = parts.length >= 6 && parts.every((n) => n === parts[0] && n !== before);
    if (text === null && whole) text = performance.now() - began;
    const loaded = images.length === 10 && images.every((i) => i.complete && i.naturalWidth > 0);
    if (text !== null && loaded) { resolve([text, performance.now() - began]); return; }
    if (performance.now() - began > 20000) { resolve([null, null]); return; }
    requestAnimationFrame(look);
  };
  look();
})"""


def switch() -> None:
    """Jump from neuron to neuron at random and watch until every part of the page speaks of the new one."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.time()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    while time.time() < began + 60:
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
            break
        except OSError:
            time.sleep(0.05)
    health = time.time() - began
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch_persistent_context(
                tempfile.mkdtemp(),
                executable_path=shutil.which("chromium"),
                headless=True,
                viewport={"width": 1440, "height": 900},
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--mute-audio"],
            )
            page = chromium.pages[0]
            began = time.time()
            page.goto(f"{url}/neurons?dissection={NAME}&layer=layer4_intermediate&unit=1000")
            page.wait_for_selector(".and-card")
            first = time.time() - began
            page.wait_for_timeout(4000)
            page.evaluate("addEventListener('keydown', () => { window.andKeyAt = performance.now() }, true)")
            times = []
            for _ in range(SWITCHES):  # any neuron of any layer
                before = page.evaluate("document.querySelector('[data-and-neuron]').dataset.andNeuron")
                page.keyboard.press("n")
                times.append(page.evaluate(SWITCH, before))
                page.wait_for_timeout(700)
            began = time.perf_counter()
            page.locator(".and-play").first.click()
            page.wait_for_function("document.querySelector('audio').currentTime > 0")
            sound = (time.perf_counter() - began) * 1000
            chromium.close()
    finally:
        server.terminate()
        server.wait()
    text, media = zip(
        *((t[0] or 20_000.0, t[1] or 20_000.0) for t in times), strict=True
    )  # a lost switch counts as 20 s
    finish(
        health=health,
        first=first,
        lost=sum(t[0] is None for t in times),
        sound_ms=sound,
        **_quantiles("text", text),
        **_quantiles("media", media),
    )


def _quantiles(name: str, values: tuple[float, ...]) -> dict[str, Any]:
    return {f"{name}_median": statistics.median(values), f"{name}_p95": float(np.quantile(values, 0.95))}


def _limited(what: str, median: float, p95: float, limit: int) -> Row:
    return Row(what, f"{median:.0f} ms ({p95:.0f})", f"{limit} ms", median <= limit)


def rows() -> list[Row]:
    """Rows of the table."""
    made = alone("benchmarks.browser", "build")
    r = alone("benchmarks.browser", "switch")
    stages = f"{len(made['computed'])} stages computed in {made['seconds']:.0f} s, peak {made['peak_mb'] / 1024:.1f} GB"
    return [
        Row(
            "dissection of 55,346 neurons x 2,000 clips of 5 s (acoustic captions, random layers)",
            stages,
            "6 GB",
            made["peak_mb"] < 6 * 1024,
        ),
        _limited(
            f"switch to a random neuron: all text new, median (p95) of {SWITCHES}",
            r["text_median"],
            r["text_p95"],
            TEXT_MS,
        ),
        _limited(
            "the same until all pictures are there (sound loads on the click)",
            r["media_median"],
            r["media_p95"],
            MEDIA_MS,
        ),
        Row("click to sound", f"{r['sound_ms']:.0f} ms", "-", None),
        Row(
            "cold start: server up; then first neuron of a fresh browser",
            f"{r['health']:.1f} s; {r['first']:.1f} s",
            "5 s",
            r["health"] + r["first"] < 5,
        ),
    ]


if __name__ == "__main__":
    os.environ["AND_CACHE"] = str(cache_root() / "bench")  # not among the user's dissections
    build() if sys.argv[1] == "build" else switch()
