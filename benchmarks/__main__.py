"""`python -m benchmarks [PART ...]` (extraction, similarity, language, unlearning, analysis, scores, ...): prints the
table as Markdown."""

from __future__ import annotations

import os
import platform
import sys

from benchmarks import (
    analysis,
    browser,
    confidence,
    coverage,
    duplicates,
    extraction,
    growth,
    kept_clips,
    language,
    listening,
    neighbours,
    quantities,
    scores,
    similarity,
    streaming,
    tuning,
    unlearning,
)

PARTS = {
    "extraction": extraction.rows,
    "similarity": similarity.rows,
    "language": language.rows,
    "unlearning": unlearning.rows,
    "analysis": analysis.rows,
    "scores": scores.rows,
    "quantities": quantities.rows,
    "confidence": confidence.rows,
    "tuning": tuning.rows,
    "listening": listening.rows,
    "browser": browser.rows,
    "streaming": streaming.rows,
    "kept_clips": kept_clips.rows,
    "coverage": coverage.rows,
    "duplicates": duplicates.rows,
    "growth": growth.rows,
    "neighbours": neighbours.rows,
}


def main() -> None:
    """Run the chosen parts, or all."""
    chosen = sys.argv[1:] or list(PARTS)
    print(f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    print("| what | measured | limit | held |\n|---|---|---|---|")
    for name in chosen:
        for row in PARTS[name]():
            held = "-" if row.held is None else "yes" if row.held else "**no**"
            print(f"| {row.what} | {row.measured} | {row.limit} | {held} |", flush=True)


if __name__ == "__main__":
    main()
