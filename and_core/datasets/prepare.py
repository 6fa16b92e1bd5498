"""One chunk of clips: decoded, measured, packed. Runs in worker processes, so it imports nothing heavy."""

from __future__ import annotations

import hashlib
import math
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
Job = tuple[Any, int, list[Any], str, str, list[int] | None]
"""Dataset, number of the chunk, its clip references, folder of packs, folder of finished chunks, and which of the
references are packed, where the sound of the others stays where it lies (None: all are)."""


def prepare_chunk(job: Job) -> None:
    """Prepare one chunk: write its two packs, where any of its clips is packed, and its rows, then its mark."""
    dataset, number, refs, out, chunks, packed = job
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    packs: dict[str, list[bytes]] = {what: [] for what in MEDIA}
    for place, ref in enumerate(refs):
        try:
            wave, rate = dataset.read(ref)
            if packed is None:
                row = _row(dataset, ref, wave, rate, packs)
            else:
                row = referenced_row(dataset, ref, wave, rate, packs if place in packed else None)
        except DataError as error:
            skipped.append({"name": ref.name, "reason": str(error)})
            continue
        except Exception as error:  # noqa: BLE001 - one clip that a decoder chokes on must not end the run
            skipped.append({"name": ref.name, "reason": f"could not be prepared: {type(error).__name__}: {error}"})
            continue
        row["pack"] = number
        row |= {} if packed is None else {"place": place}  # among the references of the chunk
        rows.append(row)
    paths = [Path(out) / f"{what}-{number:05d}.pack" for what in MEDIA] if packed is None or packs["audio"] else []
    for path, blobs in zip(paths, packs.values(), strict=False):
        path.write_bytes(b"".join(blobs))
    mark_chunk(Path(chunks) / f"{number:06d}", paths, {"rows": rows, "skipped": skipped})


def _row(dataset: Any, ref: Any, wave: Any, rate: int, packs: dict[str, list[bytes]]) -> dict[str, Any]:
    wave, peak = full_scale(wave)
    analysis = resample(wave, rate, ANALYSIS_RATE)
    row = _record(dataset, ref, len(wave) / rate, rate, peak, measure(analysis).as_dict())
    blobs = {"audio": flac(wave, rate), "spectrogram": spectrogram_jpeg(analysis)}
    for what, blob in blobs.items():
        row[f"{what}_offset"] = sum(map(len, packs[what]))
        row[f"{what}_bytes"] = len(blob)
        packs[what].append(blob)
    return row


def referenced_row(
    dataset: Any, ref: Any, wave: Any, rate: int, packs: dict[str, list[bytes]] | None
) -> dict[str, Any]:
    """Return the row of a clip by reference: where its sound lies, and the hash of what it is as FLAC.

    A clip with packs is measured, and packed as well.
    """
    if packs is None:
        wave, peak = full_scale(wave)
        row = _record(dataset, ref, len(wave) / rate, rate, peak, dict.fromkeys(MEASURES, math.nan))
        sound = flac(wave, rate)
    else:
        row = _row(dataset, ref, wave, rate, packs)
        sound = packs["audio"][-1]
    return {**row, "packed": packs is not None, "path": ref.path, "sha256": hashlib.sha256(sound).hexdigest()}


def referenced_sound(dataset: Any, ref: Any, sha256: str) -> bytes:
    """Return the FLAC of a clip that is read where it lies.

    Raises
    ------
    DataError
        Its sound is gone, or is not what it was when the clips were listed.
    """
    try:
        wave, rate = dataset.read(ref)
    except (OSError, DataError) as error:
        raise DataError(f"{ref.name} can't be read any more: {error}") from None
    sound = flac(full_scale(wave)[0], rate)
    if hashlib.sha256(sound).hexdigest() != sha256:
        raise DataError(f"{ref.name} has changed since the clips were listed")
    return sound


def _record(dataset: Any, ref: Any, seconds: float, rate: int, peak: float, measured: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": ref.name,
        "label": ref.label,
        **({"labels": list(ref.labels)} if len(ref.labels) > 1 else {}),
        "fold": ref.fold,
        "source": ref.source,
        "seconds": seconds,
        "rate": rate,
        "peak": peak,  # of the file; above 1 the whole clip was scaled down by it
    }
    row |= measured
    row |= {key: value for key, value in dataset.columns(ref).items() if key not in RESERVED}
    return {key: _whole(value) for key, value in row.items()}


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
