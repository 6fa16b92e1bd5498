"""One chunk of clips: decoded, measured, packed. Runs in worker processes, so it imports nothing heavy."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from and_core.audio.decode import full_scale, resample
from and_core.audio.measures import ANALYSIS_RATE, MEASURES, measure
from and_core.audio.media import flac, spectrogram_jpeg
from and_core.display import whole_characters
from and_core.errors import DataError
from and_core.store.chunks import mark_chunk

MEDIA = ("audio", "spectrogram")
RESERVED = {
    "index",
    "name",
    "label",
    "labels",
    "fold",
    "source",
    "seconds",
    "rate",
    "pack",
    "peak",
    *MEASURES,
    *(f"{m}_{x}" for m in MEDIA for x in ("offset", "bytes")),
}
Job = tuple[Any, int, list[Any], str, str]
"""Dataset, number of the chunk, its clip references, folder of packs, folder of finished chunks."""


def prepare_chunk(job: Job) -> None:
    """Prepare one chunk: write its two packs and its rows, then its mark."""
    dataset, number, refs, out, chunks = job
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    packs: dict[str, list[bytes]] = {what: [] for what in MEDIA}
    for ref in refs:
        try:
            wave, rate = dataset.read(ref)
            row = _row(dataset, ref, wave, rate, packs)
        except DataError as error:
            skipped.append({"name": ref.name, "reason": str(error)})
            continue
        except Exception as error:  # noqa: BLE001 - one clip that a decoder chokes on must not end the run
            skipped.append({"name": ref.name, "reason": f"could not be prepared: {type(error).__name__}: {error}"})
            continue
        row["pack"] = number
        rows.append(row)
    paths = [Path(out) / f"{what}-{number:05d}.pack" for what in MEDIA]
    for path, blobs in zip(paths, packs.values(), strict=True):
        path.write_bytes(b"".join(blobs))
    mark_chunk(Path(chunks) / f"{number:06d}", paths, {"rows": rows, "skipped": skipped})


def _row(dataset: Any, ref: Any, wave: Any, rate: int, packs: dict[str, list[bytes]]) -> dict[str, Any]:
    wave, peak = full_scale(wave)
    analysis = resample(wave, rate, ANALYSIS_RATE)
    row: dict[str, Any] = {
        "name": ref.name,
        "label": ref.label,
        **({"labels": list(ref.labels)} if len(ref.labels) > 1 else {}),
        "fold": ref.fold,
        "source": ref.source,
        "seconds": len(wave) / rate,
        "rate": rate,
        "peak": peak,  # of the file; above 1 the whole clip was scaled down by it
    }
    row |= measure(analysis).as_dict()
    row |= {key: value for key, value in dataset.columns(ref).items() if key not in RESERVED}
    row = {key: _whole(value) for key, value in row.items()}
    blobs = {"audio": flac(wave, rate), "spectrogram": spectrogram_jpeg(analysis)}
    for what, blob in blobs.items():
        row[f"{what}_offset"] = sum(map(len, packs[what]))
        row[f"{what}_bytes"] = len(blob)
        packs[what].append(blob)
    return row


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return whole_characters(value) if isinstance(value, str) else value  # half a character


def leave_with_parent(parent: int) -> None:
    """End this worker when its parent is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
