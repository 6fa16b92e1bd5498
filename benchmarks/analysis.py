"""What a network of 55,346 neurons does as a whole: words, clusters, interpretability, acoustics and both maps, on
2,000 clips."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator

from and_core import pipeline
from and_core.store.files import cache_root
from benchmarks.browser import bench_config, build
from benchmarks.report import ROOT, Row, alone, finish

STAGES = ("word_counts", "clusters", "interpretability", "acoustics", "map")
PAGES = ("layers", "words", "strategies")
MOST_SECONDS, MOST_MB, MOST_MS = 300, 6 * 1024, 300


def analyse() -> None:
    """Every stage anew."""
    seen: dict[str, list[float]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        now = time.time()
        seen.setdefault(stage, [now, now])[1] = now

    began = time.time()
    pipeline.run(bench_config(), only=STAGES, force=True, progress=progress)
    finish(seconds=time.time() - began, ends={stage: times[1] - began for stage, times in seen.items()})


def pages() -> None:
    """Each page opened, and drawn again, by Streamlit's own test runner.

    Two copies of the dissection stand beside it.
    """
    from streamlit.testing.v1 import AppTest

    from pages.ui.map import map_figure, titles

    _neighbours()
    found = {}
    for name in PAGES:
        for dissection in (
            "bench-55k-b",
            "bench-55k",
        ):  # the first loads the code, as any page opened before would have; figures are drawn anew
            test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
            test.query_params["dissection"] = dissection
            test.run()
            map_figure.cache_clear()
            titles.cache_clear()
            began = time.time()
            test.switch_page(f"pages/{name}.py").run()
            first = time.time() - began
        began = time.time()
        test.run()
        again = time.time() - began
        if (
            test.exception
            or "has not been run" in " ".join(str(h.proto.body) for h in test.get("html"))
            or not test.get("plotly_chart")
        ):
            raise SystemExit(f"the page {name} did not draw")
        found[name] = (1000 * first, 1000 * again)
    finish(pages=found)


def _neighbours() -> None:
    """The same dissection twice more under other names, its files linked."""
    own = cache_root() / "bench-55k"
    for name in ("bench-55k-b", "bench-55k-c"):
        copy = cache_root() / name
        if not copy.exists():
            shutil.copytree(own, copy, copy_function=os.link)
        manifest = json.loads((own / "manifest.json").read_text())
        (copy / "manifest.json").unlink()
        (copy / "manifest.json").write_text(json.dumps(manifest | {"name": name}))


def rows() -> Iterator[Row]:
    """Time and memory of all stages together, and of the pages that show them."""
    os.environ["AND_CACHE"] = str(cache_root() / "bench")
    alone("benchmarks.analysis", "build")
    found = alone("benchmarks.analysis", "analyse")
    parts, before = [], 0.0
    for stage in STAGES:
        parts.append(f"{stage} {found['ends'][stage] - before:.0f}")
        before = found["ends"][stage]
    said = f"{found['seconds']:.0f} s ({', '.join(parts)}), peak {found['peak_mb'] / 1024:.1f} GB"
    held = found["seconds"] <= MOST_SECONDS and found["peak_mb"] <= MOST_MB
    yield Row(
        "words, clusters, interpretability, acoustics and two maps of 55,346 neurons x 2,000 clips",
        said,
        "300 s, 6 GB",
        held,
    )

    shown = alone("benchmarks.analysis", "pages")["pages"]
    said = "; ".join(f"{name} {first:.0f} ms, again {again:.0f} ms" for name, (first, again) in shown.items())
    yield Row("pages of 55,346 neurons, opened", said, "300 ms", all(first <= MOST_MS for first, _ in shown.values()))


if __name__ == "__main__":
    {"build": build, "analyse": analyse, "pages": pages}[sys.argv[1]]()
